"""The same run twice: as our `TrainingRun` and as the PEFT config that means it."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import peft
import torch
import transformers

from planner.run import TrainingRun
from tests.support.families import model_of

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 176,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
}

MIXTRAL: dict[str, Any] = LLAMA | {
    "model_type": "mixtral",
    "num_hidden_layers": 3,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
}

GPT2: dict[str, Any] = {
    "model_type": "gpt2",
    "n_embd": 64,
    "n_layer": 3,
    "n_head": 4,
    "vocab_size": 512,
    "n_positions": 256,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "resid_pdrop": 0.0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}

_LORA = {
    "rank": "r",
    "dropout": "lora_dropout",
    "target_modules": "target_modules",
    "target_parameters": "target_parameters",
    "modules_to_save": "modules_to_save",
    "bias": "bias",
    "use_dora": "use_dora",
    "use_rslora": "use_rslora",
}


def peft_config(run: TrainingRun) -> peft.PeftConfig:
    """The PEFT config of a run."""
    task: dict[str, Any] = {"task_type": "CAUSAL_LM"}
    if run.method in ("lora", "qlora", "dora", "rslora"):
        fields = {theirs: _plain(getattr(run, ours)) for ours, theirs in _LORA.items()}
        return peft.LoraConfig(**(fields | {"modules_to_save": fields["modules_to_save"] or None}), **task)
    targets = {"target_modules": _plain(run.target_modules) or None}
    saved = {"modules_to_save": list(run.modules_to_save) or None}
    tokens = {"num_virtual_tokens": run.num_virtual_tokens}
    if run.method == "ia3":
        feedforward: dict[str, Any] = {"feedforward_modules": []} if run.target_modules else {}
        return peft.IA3Config(**targets, **saved, **feedforward, **task)
    if run.method == "ln_tuning":
        return peft.LNTuningConfig(**targets, **saved, **task)
    if run.method == "prompt_tuning":
        # it does not use the number of heads, but refuses a config that calls it otherwise (MPT, DBRX)
        return peft.PromptTuningConfig(**tokens, num_attention_heads=1, **task)
    if run.method == "p_tuning":
        width: Any = run.encoder_hidden_size
        return peft.PromptEncoderConfig(**tokens, encoder_hidden_size=width, **task)
    if run.method == "prefix_tuning":
        inner = {"encoder_hidden_size": run.encoder_hidden_size, "prefix_projection": run.prefix_projection}
        return peft.PrefixTuningConfig(**tokens, **inner, **task)
    assert run.method == "trainable_tokens"
    return peft.TrainableTokensConfig(token_indices=list(range(run.trainable_token_count)), **task)


def peft_model(config: dict[str, Any], run: TrainingRun, *, meta: bool = True) -> Any:
    """transformers' model of a config, wrapped by PEFT as the run says."""
    with warnings.catch_warnings(), torch.device("meta" if meta else "cpu"):
        warnings.simplefilter("ignore")
        transformers.utils.logging.set_verbosity_error()
        model = model_of(config, attention="eager", dtype=run.base_dtype)
        return peft.get_peft_model(model, peft_config(run))


def shortened(config: dict[str, Any], layers: int = 2) -> dict[str, Any]:
    """The same config with its first `layers` layers."""
    config = copy.deepcopy(config)
    for part in (config, config.get("text_config", {})):
        for key in ("num_hidden_layers", "n_layer", "n_layers", "num_layers"):
            if isinstance(part.get(key), int):
                part[key] = min(part[key], layers)
        for key in ("layer_types", "no_rope_layers"):
            if isinstance(part.get(key), list):
                part[key] = part[key][:layers]
        if part.get("cross_attention_layers"):
            part["cross_attention_layers"] = [1]
    return config


def _plain(value: str | tuple[str, ...]) -> str | list[str]:
    return list(value) if isinstance(value, tuple) else value
