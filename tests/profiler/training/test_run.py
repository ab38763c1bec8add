"""The run of a `Trainer`, against the arguments, models and PEFT configs that it was made with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import LlamaForCausalLM

from planner.errors import Abstention
from planner.plan import plan
from planner.run import TrainingRun
from profiler.training.model import counts, held_bytes
from profiler.training.run import DerivedRun, derived_run
from tests.lora_plan.trainings import arguments, named, tiny_model


def derived(
    model: Any, folder: Path, optimizer: Any = None, *, sequence: int | None = 128, **changes: Any
) -> DerivedRun:
    return derived_run(arguments(folder, **changes), model, optimizer, micro_batch=2, sequence=sequence, folder=folder)


def run_of(model: Any, folder: Path, optimizer: Any = None, **changes: Any) -> TrainingRun:
    return derived(model, folder, optimizer, **changes).run


def adapted(config: peft.PeftConfig) -> Any:
    return peft.get_peft_model(tiny_model(), config)


def test_lora_with_its_settings(tmp_path: Path) -> None:
    model = tiny_model(
        r=4, lora_alpha=12, lora_dropout=0.1, target_modules=["q_proj", "v_proj"], modules_to_save=["lm_head"]
    )
    run = run_of(model, tmp_path)
    assert (run.method, run.rank, run.alpha, run.dropout) == ("lora", 4, 12.0, 0.1)
    assert set(run.target_modules) == {"q_proj", "v_proj"} and run.modules_to_save == ("lm_head",)
    assert run.adapter_dtype == run.base_dtype == "float32" and run.mixed_precision == "no"
    assert (run.micro_batch_size, run.sequence_length) == (2, 128)
    assert (plan(run).parameters.total, plan(run).parameters.trainable) == counts(model)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (peft.LoraConfig(r=2, target_modules="all-linear", use_dora=True, task_type="CAUSAL_LM"), {"method": "dora"}),
        (
            peft.LoraConfig(r=2, target_modules="all-linear", use_rslora=True, task_type="CAUSAL_LM"),
            {"method": "rslora", "target_modules": "all-linear"},
        ),
        (peft.IA3Config(task_type="CAUSAL_LM"), {"method": "ia3"}),
        (peft.PromptTuningConfig(num_virtual_tokens=5, task_type="CAUSAL_LM"), {"num_virtual_tokens": 5}),
        (peft.PrefixTuningConfig(num_virtual_tokens=6, task_type="CAUSAL_LM"), {"method": "prefix_tuning"}),
        (peft.LNTuningConfig(task_type="CAUSAL_LM"), {"method": "ln_tuning"}),
    ],
)
def test_other_methods(tmp_path: Path, config: peft.PeftConfig, expected: dict[str, object]) -> None:
    model = adapted(config)
    run = run_of(model, tmp_path)
    assert {name: getattr(run, name) for name in expected} == expected
    planned = plan(run).parameters
    assert (planned.total, planned.trainable) == counts(model)


def test_full_with_checkpointing_and_what_the_trainer_adds(tmp_path: Path) -> None:
    model = tiny_model().to(torch.bfloat16)
    run = run_of(
        model,
        tmp_path,
        bf16=True,
        gradient_accumulation_steps=4,
        max_grad_norm=0.0,
        eval_strategy="steps",
        eval_steps=5,
        per_device_eval_batch_size=3,
        gradient_checkpointing=True,
        gradient_checkpointing_kwargs={"use_reentrant": True},
        torch_empty_cache_steps=1,
    )
    assert (run.method, run.base_dtype, run.mixed_precision) == ("full", "bfloat16", "bf16")
    assert (run.gradient_accumulation_steps, run.max_grad_norm, run.eval_batch_size) == (4, 0.0, 3)
    assert run.gradient_checkpointing and run.use_reentrant and run.empty_cache


def test_checkpointing_that_was_switched_on_at_the_model(tmp_path: Path) -> None:
    model = tiny_model()
    model.activation_checkpointing_enable()
    found = derived(model, tmp_path)
    assert found.run.gradient_checkpointing
    assert any("switched on at the model" in note for note in found.notes)


@pytest.mark.parametrize(
    ("changes", "optimizer"),
    [({"optim": "adamw_torch"}, "adamw_torch"), ({"optim": "adafactor"}, "adafactor"), ({"optim": "sgd"}, "sgd")],
)
def test_the_optimizer_is_that_of_the_arguments(tmp_path: Path, changes: dict[str, Any], optimizer: str) -> None:
    assert run_of(tiny_model(), tmp_path, **changes).optimizer == optimizer


def test_the_optimizer_that_is_there_counts(tmp_path: Path) -> None:
    model = tiny_model()
    foreach = torch.optim.AdamW(model.parameters(), foreach=True)
    assert run_of(model, tmp_path, foreach, optim="adamw_torch_fused").optimizer == "adamw_torch"
    assert run_of(model, tmp_path, torch.optim.AdamW(model.parameters(), fused=True)).optimizer == "adamw_torch_fused"
    other = derived(model, tmp_path, torch.optim.Adam(model.parameters()))
    assert any("the optimizer is Adam, and not the adamw_torch_fused" in note for note in other.notes)


def test_what_is_loaded_from_a_name_keeps_it(tmp_path: Path) -> None:
    model = named(tiny_model(), tmp_path)
    assert run_of(model, tmp_path / "unused").model == str(tmp_path / "model")
    # another model than the name says is planned as what it is
    model.config.num_hidden_layers = 7
    assert run_of(model, tmp_path).model == str(tmp_path / "LlamaForCausalLM.json")
    assert plan(run_of(model, tmp_path)).parameters.total > counts(model)[0]


def test_a_model_from_nowhere_is_planned_from_its_config(tmp_path: Path) -> None:
    model = tiny_model()
    found = derived(model, tmp_path)
    assert Path(found.run.model).parent == tmp_path
    assert plan(found.run).parameters.total == counts(model)[0]
    assert any("the model's config is in no file here" in note for note in found.notes)


def test_without_a_known_length_the_default_is_planned_and_said(tmp_path: Path) -> None:
    found = derived(tiny_model(), tmp_path, sequence=None)
    assert found.run.sequence_length == 2048 and any("is not known" in note for note in found.notes)


class Quantized:
    """What bitsandbytes leaves of a config; the CPU loads no such weights."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def to_dict(self) -> dict[str, Any]:
        return self.values


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
            ("qlora", "nf4", True),
        ),
        ({"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}, ("qlora", "fp4", False)),
        ({"load_in_8bit": True}, ("lora", "int8", False)),
        ({"quant_method": "gptq", "bits": 4, "group_size": 64}, ("lora", "gptq", False)),
    ],
)
def test_a_quantized_base(tmp_path: Path, values: dict[str, Any], expected: tuple[object, ...]) -> None:
    model = tiny_model(r=4, target_modules=["q_proj"])
    model.config.dtype = torch.bfloat16
    model.config.quantization_config = Quantized(**values)
    model.config.to_json_string = lambda **_: '{"model_type": "llama"}'
    run = _quantized_run(model, tmp_path)
    assert (run.method, run.quantization, run.double_quant) == expected
    if run.quantization != "gptq":
        assert run.prepare_kbit  # the base's parameters are float32, and the config says bfloat16
    assert run.base_dtype == "bfloat16"


def _quantized_run(model: Any, folder: Path) -> TrainingRun:
    named(tiny_model(), folder)
    model.config._name_or_path = "llama-3.2-1b"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("profiler.training.run.model_name", lambda *_: "llama-3.2-1b")
        return run_of(model, folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda model: model.config.__setattr__("_attn_implementation", "flex_attention"),
            "attention 'flex_attention'",
        ),
        (lambda model: model.lm_head.weight.requires_grad_(False), "part of the model is frozen"),
    ],
)
def test_what_a_run_cannot_say_is_refused(tmp_path: Path, change: Any, reason: str) -> None:
    model = tiny_model()
    change(model)
    with pytest.raises(Abstention, match=reason):
        run_of(model, tmp_path)


def test_several_adapters_and_methods_that_the_planner_lacks(tmp_path: Path) -> None:
    model = tiny_model(r=4, target_modules=["q_proj"])
    model.add_adapter("second", peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    with pytest.raises(Abstention, match="2 adapters"):
        run_of(model, tmp_path)
    with pytest.raises(Abstention, match="does not have the method 'vera'"):
        run_of(adapted(peft.VeraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM")), tmp_path)


class Settings:
    """Arguments of a distributed training, which one process cannot make."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self._arguments, self._changes = arguments(folder), {"world_size": 4, "n_gpu": 1, "fsdp": []} | changes

    def __getattr__(self, name: str) -> Any:
        return self._changes[name] if name in self._changes else getattr(self._arguments, name)


@pytest.mark.parametrize(
    ("changes", "strategy"),
    [
        ({}, "ddp"),
        ({"fsdp": ["full_shard"], "fsdp_config": {"version": 1}}, "fsdp"),
        ({"fsdp": ["full_shard"], "fsdp_config": {}}, "fsdp2"),
        ({"deepspeed_plugin": type("Plugin", (), {"zero_stage": 3})}, "zero3"),
    ],
)
def test_strategies(tmp_path: Path, changes: dict[str, Any], strategy: str) -> None:
    found = derived_run(Settings(tmp_path, **changes), tiny_model(), None, micro_batch=1, sequence=64, folder=tmp_path)
    assert (found.run.num_gpus, found.run.strategy) == (4, strategy)


def test_what_trls_config_has_besides(tmp_path: Path) -> None:
    settings = Settings(
        tmp_path, world_size=1, packing=True, loss_type="chunked_nll", activation_offloading=True, torch_compile=True
    )
    found = derived_run(settings, tiny_model(), None, micro_batch=1, sequence=64, folder=tmp_path)
    assert found.run.packing and found.run.chunked_loss
    assert any("TRL keeps activations in host memory" in note for note in found.notes)
    assert any("torch.compile" in note for note in found.notes)


def test_one_process_on_several_cards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Abstention, match="one process trains on 2 cards"):
        derived_run(
            Settings(tmp_path, world_size=1, n_gpu=2), tiny_model(), None, micro_batch=1, sequence=64, folder=tmp_path
        )


def test_bytes_of_4_bit_weights_are_their_storage() -> None:
    import bitsandbytes

    linear = bitsandbytes.nn.Linear4bit(64, 128, bias=False, quant_type="nf4", compress_statistics=False)
    model = torch.nn.Sequential(linear)
    model.to("cpu")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model.append(torch.nn.Linear(128, 2))
    held = held_bytes(model, None)
    # half a byte a weight, a scale of float32 for each 64, and the code book of 16 floats
    assert held["base_weights"] == 64 * 128 // 2 + 64 * 128 // 64 * 4 + 16 * 4
    assert held["adapters"] == (128 * 2 + 2) * 4


def test_a_tied_weight_counts_once() -> None:
    config = tiny_model().config
    config.tie_word_embeddings = True
    tied = LlamaForCausalLM(config)
    assert held_bytes(tied, None)["base_weights"] == counts(tied)[0] * 4 + sum(
        buffer.nbytes for buffer in tied.buffers()
    )
