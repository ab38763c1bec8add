"""What Axolotl itself makes of configs, without a GPU: run as a program of its own, JSON in and JSON out.

Its schema validates each config, its `normalize_config` derives from that what the trainer is given, and three methods
of its trainer builder are run as they stand in its source, whose module cannot be imported without all of TRL. What
asks for the model's config, which would be downloaded, is given that of a llama; the GPU is said to have bfloat16.
Axolotl is installed without what it requires: `pip install --no-deps axolotl==0.19.0 addict==2.4.0`.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
import re
import sys
import types
from pathlib import Path
from typing import Any

import axolotl
from axolotl.utils import config as normalizing
from axolotl.utils.dict import DictDefault
from axolotl.utils.schemas.config import AxolotlConfigWCapabilities, AxolotlInputConfig

ROOT = Path(axolotl.__file__).parent
CAPABILITIES = {"bf16": True, "fp8": True, "tf32": True, "n_gpu": 1, "compute_capability": "sm_90"}
METHODS = (
    "_configure_precision_settings",
    "_configure_save_and_eval_strategy",
    "_configure_gradient_checkpointing",
)


LOADED: dict[str, dict[str, Any]] = {
    "full": {"attn_needs_dtype_cast": False},
    "full, flash attention": {"attn_needs_dtype_cast": True},
    "full over FSDP": {"attn_needs_dtype_cast": False, "fsdp_config": {"offload_params": False}},
    "lora": {"adapter": "lora"},
    "lora with load_in_4bit": {"adapter": "lora", "load_in_4bit": True},
    "lora with load_in_8bit": {"adapter": "lora", "load_in_8bit": True},
}
"""What a model in bfloat16 is loaded for."""


def main() -> None:
    configs = json.load(sys.stdin)
    fields = AxolotlInputConfig.model_fields
    answer = {
        "defaults": {name: field.get_default(call_default_factory=True) for name, field in fields.items()},
        "aliases": [field.alias for field in fields.values() if field.alias],
        "plugin_fields": sorted(name for model in plugin_models().values() for name in model.model_fields),
        "configs": [made(config) for config in configs],
        "dtypes": {name: dtypes(**settings) for name, settings in LOADED.items()},
    }
    json.dump(answer, sys.stdout, default=str)


@functools.cache
def plugin_models() -> dict[str, Any]:
    """The settings of Axolotl's plugins: plugin -> the class that its `get_input_args` names."""
    found: dict[str, Any] = {}
    for path in sorted((ROOT / "integrations").glob("*/args.py")):
        spec = importlib.util.spec_from_file_location(f"args_of_{path.parent.name}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        sources = "".join(source.read_text() for source in path.parent.glob("*.py"))
        named = re.search(r"def get_input_args.*?\"axolotl\.integrations\.[\w.]+\.(\w+)\"", sources, re.DOTALL)
        assert named is not None, path
        found[path.parent.name] = getattr(module, named[1])
    return found


@functools.cache
def methods_of(path: str) -> dict[str, Any]:
    """The functions of a module, from its source, with nothing around them but what is put there."""
    tree = ast.parse((ROOT / path).read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and not node.decorator_list]
    space: dict[str, Any] = {}
    code = "from __future__ import annotations\n" + "\n".join(ast.unparse(function) for function in functions)
    exec(compile(code, path, "exec"), space)
    return space


def made(config: dict[str, Any]) -> dict[str, Any]:
    """The config as the trainer sees it, and arguments that it is given; or the error."""
    bases = [plugin_models()[name.split(".")[2]] for name in config.get("plugins") or ()]
    schema = type("Schema", (AxolotlConfigWCapabilities, *bases), {})
    try:
        values = schema(**config, capabilities=CAPABILITIES, env_capabilities={"torch_version": "2.13.0"})
    except ValueError as error:
        return {"error": str(error)}
    cfg = DictDefault(dict(values.model_dump(exclude_none=True)))
    normalizing.normalize_config(cfg)
    arguments: dict[str, Any] = {}
    builder = types.SimpleNamespace(cfg=cfg, eval_dataset=bool(cfg.test_datasets) or bool(cfg.val_set_size))
    for name in METHODS:
        methods_of("core/builders/base.py")[name](builder, arguments)
    return {"cfg": cfg.to_dict(), "arguments": arguments}


def dtypes(**settings: Any) -> dict[str, str]:
    """The dtypes of a tiny llama after `ModelLoader` is done with them: `_configure_embedding_dtypes`."""
    import logging
    import os

    import torch
    from axolotl.loaders.utils import get_linear_embedding_layers
    from peft import prepare_model_for_kbit_training
    from transformers import LlamaConfig, LlamaForCausalLM

    space = methods_of("loaders/model.py")
    space |= {"torch": torch, "os": os, "LOG": logging.getLogger(), "is_deepspeed_zero3_enabled": lambda: False}
    space["get_linear_embedding_layers"] = get_linear_embedding_layers
    space["get_fp32_norm_patterns"] = lambda cfg: None
    space["prepare_model_for_kbit_training"] = prepare_model_for_kbit_training
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
    model = LlamaForCausalLM(LlamaConfig(**sizes, vocab_size=16)).to(torch.bfloat16)
    loader = types.SimpleNamespace(
        cfg=DictDefault({"model_config_type": "llama", "torch_dtype": torch.bfloat16, **settings}),
        model=model,
        model_config=model.config,
        is_fsdp_enabled="fsdp_config" in settings,
        is_qlora_and_fsdp_enabled=False,
    )
    for name in ("_convert_embedding_modules_dtype", "_prepare_model_for_quantization"):
        setattr(loader, name, types.MethodType(space[name], loader))
    space["_configure_embedding_dtypes"](loader)
    parts = {
        "embeddings": model.model.embed_tokens,
        "head": model.lm_head,
        "norms": model.model.layers[0].input_layernorm,
        "linear layers": model.model.layers[0].self_attn.q_proj,
    }
    return {name: str(part.weight.dtype).removeprefix("torch.") for name, part in parts.items()}


def without_hardware() -> None:
    """Put something in the place of what downloads a model's config, and of what asks the driver."""
    patches = types.ModuleType("axolotl.loaders.patch_manager")
    vars(patches)["PatchManager"] = types.SimpleNamespace(apply_pre_config_load_patches=lambda cfg: None)
    sys.modules[patches.__name__] = patches
    vars(normalizing)["load_model_config"] = lambda cfg: types.SimpleNamespace(model_type="llama")
    vars(normalizing)["is_torch_bf16_gpu_available"] = lambda: True


if __name__ == "__main__":
    without_hardware()
    main()
