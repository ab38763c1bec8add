"""What the format makes of configs, held to axolotl 0.19.0: its schema, its normalization, its trainer's arguments."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from planner.trainer_configs.document import read_document
from tests.planner.trainer_configs.formats.test_axolotl import DATA, LIGER, RUNS, read

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("axolotl") is None or importlib.util.find_spec("addict") is None,
    reason="needs axolotl==0.19.0 and addict, without what they require",
)

BASE = {"base_model": "llama-3.1-8b", "datasets": [{"path": "a", "type": "alpaca"}], "learning_rate": 1e-4}
LORA = {"adapter": "lora", "lora_r": 8, "lora_alpha": 16, "lora_target_linear": True}

VARIED: tuple[dict[str, Any], ...] = (
    {},
    {"bf16": None},
    {"bf16": None, "fp16": True},
    {"bf16": False},
    {"bf16": False, "fp16": True},
    {"bf16": True, "fp16": True},
    {"fp16": True},
    {"bf16": False, "float16": True},
    {"bf16": False, "bfloat16": True},
    {"float32": True},
    {**LORA, "load_in_8bit": True, "bf16": False},
    {**LORA, "load_in_8bit": True},
    {**LORA, "load_in_4bit": True, "adapter": "qlora"},
    {**LORA, "trust_remote_code": True},
    {**LORA, "lora_o_kernel": False},
    {**LORA, "rl": "orpo"},
    {"gradient_checkpointing": True},
    {"gradient_checkpointing": "offload"},
    {"gradient_checkpointing": True, "activation_offloading": "hidden_states"},
    {"gradient_checkpointing": True, "activation_offloading": "legacy"},
    {"gradient_checkpointing": True, "unfrozen_parameters": ["lm_head"]},
    {"gradient_checkpointing": True, "rl": "orpo"},
    {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}},
    {"micro_batch_size": 2, "batch_size": 8},
    {"micro_batch_size": 2, "batch_size": 8, "gradient_accumulation_steps": None},
    {"micro_batch_size": 2, "eval_batch_size": 3, "val_set_size": 0.1, "eval_steps": 5},
    {"val_set_size": 0.1},
    {"val_set_size": 0.1, "evals_per_epoch": 1},
    {"val_set_size": 0.1, "evals_per_epoch": 1, "num_epochs": 3},
    {"val_set_size": 0.1, "evals_per_epoch": 0},
    {"val_set_size": 0.1, "evaluation_strategy": "steps"},
    {"val_set_size": 0.1, "eval_strategy": "no"},
    {"eval_steps": 5},
    {"test_datasets": [{"path": "b", "type": "alpaca"}], "eval_steps": 5},
    {"save_steps": 40, "max_steps": 90},
    {"save_steps": 0.3, "max_steps": 90},
    {"saves_per_epoch": 1, "max_steps": 90},
    {"saves_per_epoch": 1, "num_epochs": 4, "max_steps": 90},
    {"save_strategy": "no"},
    {"save_strategy": "epoch"},
    {"flash_attention": True, "sdp_attention": True},
    {"xformers_attention": True, "flash_attention": True},
    {"eager_attention": True},
    {"attn_implementation": "flash_attention_3"},
    {"fsdp_config": {"fsdp_offload_params": False}},
    {"fsdp_config": {"version": 2}},
    {"fsdp_config": {"offload_params": False}, "fsdp_version": 2},
    {"gc_steps": 1},
    {"gc_steps": 1, "gc_collect_steps": 5},
    {"plugins": [LIGER], "liger_swiglu": True},
)
"""Settings over `BASE`, each with one question in it."""


def config_of(case: int) -> dict[str, Any]:
    return {**BASE, **VARIED[case]}


@pytest.fixture(scope="module")
def itself() -> dict[str, Any]:
    """What `axolotl_itself.py` says: first of `VARIED`, then of the files of `RUNS`."""
    configs = [config_of(case) for case in range(len(VARIED))] + [
        dict(read_document(DATA / name).settings) for name in RUNS
    ]
    program = Path(__file__).parent / "axolotl_itself.py"
    ran = subprocess.run(
        [sys.executable, program], input=json.dumps(configs), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


def test_every_setting_of_the_schema_is_known(itself: dict[str, Any]) -> None:
    for name in (*itself["defaults"], *itself["aliases"], *itself["plugin_fields"]):
        for value in (True, {"a": 1}):
            try:
                config = read(**{name: value})
            except ValueError:  # known, and this value makes no sense
                continue
            assert not [s for s in config.uncounted if s.key == name and s.text.startswith("not a setting")], name


DEFAULTS = {
    "method": ("adapter", {None: "full"}),
    "gradient_accumulation_steps": ("gradient_accumulation_steps", {}),
    "micro_batch_size": ("micro_batch_size", {}),
    "sequence_length": ("sequence_len", {}),
    "packing": ("sample_packing", {None: False}),
    "optimizer": ("optimizer", {}),
    "gradient_checkpointing": ("gradient_checkpointing", {}),
    "quantization": ("load_in_4bit", {False: "none"}),
    # transformers' own defaults, as Axolotl has none
    "attention": ("attn_implementation", {None: "sdpa"}),
    "max_grad_norm": ("max_grad_norm", {None: 1.0}),
    "epochs": ("num_epochs", {}),
    "eval_split": ("val_set_size", {}),
}
"""Field -> the setting whose default it is, and what that means for the run."""


@pytest.mark.parametrize("field", DEFAULTS)
def test_defaults_are_the_schemas_own(field: str, itself: dict[str, Any]) -> None:
    setting, meaning = DEFAULTS[field]
    own = itself["defaults"][setting]
    config = read()
    assert {**config.run_defaults, **config.job_defaults}[field] == meaning.get(own, own)


def test_dropout_by_default(itself: dict[str, Any]) -> None:
    assert read(adapter="lora").run_defaults["dropout"] == itself["defaults"]["lora_dropout"]


@pytest.mark.parametrize("case", range(len(VARIED)), ids=lambda case: json.dumps(VARIED[case])[:60])
def test_settings_become_what_axolotl_gives_its_trainer(case: int, itself: dict[str, Any]) -> None:
    compare(config_of(case), itself["configs"][case])


@pytest.mark.parametrize("name", RUNS)
def test_files_become_what_axolotl_gives_its_trainer(name: str, itself: dict[str, Any]) -> None:
    compare(dict(read_document(DATA / name).settings), itself["configs"][len(VARIED) + list(RUNS).index(name)])


def compare(settings: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Every field that Axolotl decides before it has a model."""
    assert "error" not in theirs, theirs["error"]
    cfg, arguments = theirs["cfg"], theirs["arguments"]
    config = read(**settings)
    run, job = {**config.run_defaults, **config.run}, {**config.job_defaults, **config.job}

    assert run["model"] == cfg["base_model"]
    assert run["method"] == (cfg.get("adapter") or "full")
    assert run["micro_batch_size"] == cfg["micro_batch_size"]
    assert run["gradient_accumulation_steps"] == cfg["gradient_accumulation_steps"]
    assert run["sequence_length"] == cfg["sequence_len"]
    assert run["packing"] == bool(cfg.get("sample_packing"))
    assert run["optimizer"] == cfg["optimizer"]
    assert run["max_grad_norm"] == cfg.get("max_grad_norm", 1.0)
    assert job["epochs"] == cfg["num_epochs"]
    assert job.get("max_steps") == cfg.get("max_steps")

    # DeepSpeed's engine casts the model itself, which is not of Axolotl's arguments
    if not cfg.get("deepspeed"):
        assert f"torch.{run['base_dtype']}" == cfg["torch_dtype"]
        mixed = "fp16" if arguments["fp16"] else "bf16" if arguments.get("bf16") else "no"
        assert run["mixed_precision"] == mixed

    asked = cfg.get("attn_implementation") or "sdpa"
    assert run["attention"] == asked or "attention" in {s for u in config.uncounted for s in u.fields} or "/" in asked

    compare_checkpointing(run, cfg, arguments)
    compare_evaluation(run, job, cfg, arguments)

    kernels = any(cfg.get(f"lora_{part}_kernel") for part in ("mlp", "qkv", "o"))
    warned = "lora_mlp_kernel" in {setting.key for setting in config.uncounted}
    # Axolotl leaves them out over FSDP1 where there are several GPUs; here it is told of one
    assert warned == (kernels and not (cfg.get("fsdp_config") and str(cfg.get("fsdp_version")) != "2"))

    if cfg.get("fsdp_config"):
        assert run["strategy"] == ("fsdp2" if str(cfg["fsdp_version"]) == "2" else "fsdp")
    assert run.get("empty_cache", False) == (cfg.get("torch_empty_cache_steps") == 1)


def compare_checkpointing(run: dict[str, Any], cfg: dict[str, Any], arguments: dict[str, Any]) -> None:
    if cfg.get("activation_offloading") not in (None, False, "hidden_states"):
        # Axolotl wraps the blocks itself, and leaves the trainer's own checkpointing off
        assert (run["gradient_checkpointing"], run["checkpoint_offload"]) == (True, True)
    elif not (cfg.get("fsdp_config") or {}).get("activation_checkpointing"):
        assert run["gradient_checkpointing"] == arguments["gradient_checkpointing"]
        if run["gradient_checkpointing"]:
            assert run["use_reentrant"] == arguments["gradient_checkpointing_kwargs"]["use_reentrant"]
        assert run.get("checkpoint_offload", False) == (cfg.get("activation_offloading") == "hidden_states")


def compare_evaluation(
    run: dict[str, Any], job: dict[str, Any], cfg: dict[str, Any], arguments: dict[str, Any]
) -> None:
    evaluates = arguments.get("eval_strategy", "no") != "no"
    assert run["eval_batch_size"] == (cfg["eval_batch_size"] if evaluates else 0)
    if arguments["save_strategy"] == "no":
        assert job["save_steps"] == 0
    elif arguments["save_strategy"] == "epoch" or (arguments["save_steps"] < 1 and not cfg.get("max_steps")):
        assert "save_steps" not in job
    else:
        share = arguments["save_steps"]
        assert job["save_steps"] == (share if share >= 1 else -(-cfg["max_steps"] * share // 1))


def test_what_axolotl_keeps_in_float32(itself: dict[str, Any]) -> None:
    """The reasons for `prepare_kbit` off, for the warning of full fine-tuning, and for `base_dtype` without qlora."""
    half = dict.fromkeys(("embeddings", "head", "norms", "linear layers"), "bfloat16")
    outside = dict.fromkeys(("embeddings", "head", "norms"), "float32")
    assert itself["dtypes"] == {
        "full": half | outside,
        "full, flash attention": half,
        "full over FSDP": half,
        "lora": half,
        "lora with load_in_4bit": half | {"linear layers": "float32"},
        # the linear layers would be int8 here, which is not cast
        "lora with load_in_8bit": half | {"linear layers": "float32"},
    }
