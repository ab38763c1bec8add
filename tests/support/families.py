"""What every model family is held to: transformers' own names, shapes and counts, and a real step's peak."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
import transformers

from planner.architecture.config import Config
from planner.architecture.families import build
from planner.architecture.modules import Architecture
from planner.memory.step import profile_step
from planner.memory.supported import with_supported_attention
from planner.run import TrainingRun
from tests.support.live_bytes import step_peak

BATCH, SEQUENCE = 2, 48


def architecture_of(config: dict[str, Any]) -> Architecture:
    """Our architecture of a config."""
    return build(Config(config, "config.json"))


def model_of(config: dict[str, Any], *, attention: str = "sdpa", dtype: str = "float32") -> Any:
    """transformers' model of a config, with random weights; the multimodal class where there is no causal one."""
    loaded = transformers.AutoConfig.for_model(**copy.deepcopy(config))
    names = {"attn_implementation": attention, "dtype": getattr(torch, dtype)}
    autos = [transformers.AutoModelForCausalLM, transformers.AutoModelForImageTextToText]
    if hasattr(loaded, "vision_config"):
        autos.reverse()  # the causal class of some multimodal configs is their text part alone
    for auto in autos:
        if type(loaded) in auto._model_mapping:
            return auto.from_config(loaded, **names)
    raise AssertionError(f"transformers has no model for {config['model_type']}")


def shapes_of_transformers(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every parameter, built on the meta device (tied parameters once)."""
    with torch.device("meta"):
        model = model_of(config, attention="eager")
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def shapes_of(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every parameter of ours, tied ones once."""
    return {
        f"{name}.{parameter}": shape
        for name, module in architecture.modules()
        for parameter, shape in module.parameters
        if not (module.tied_to and parameter == "weight")
    }


def assert_same_parameters(config: dict[str, Any]) -> None:
    """Names, shapes and count equal transformers' exactly."""
    architecture = architecture_of(config)
    theirs = shapes_of_transformers(config)
    assert shapes_of(architecture) == theirs
    assert architecture.parameters == sum(torch.Size(shape).numel() for shape in theirs.values())


def predicted_peak(config: dict[str, Any], run: TrainingRun, *, batch: int = BATCH, sequence: int = SEQUENCE) -> float:
    """Our largest ledger of a step, beside weights and optimizer states."""
    architecture = architecture_of(config)
    # packed: a real step below has a mask for eager attention alone
    run = run.replace(micro_batch_size=batch, sequence_length=sequence, packing=True)
    profile = profile_step(architecture, with_supported_attention(architecture, run))
    return max(size.at(batch, sequence) for _, ledgers in profile.instants for size, _ in ledgers)


@contextmanager
def ready_to_train(config: dict[str, Any], run: TrainingRun, peft: Any) -> Generator[Any]:
    """transformers' own model of a config, checkpointed and wrapped as the run says, while what it warns of is none of
    ours."""
    torch.manual_seed(0)
    model = model_of(config, attention=run.attention, dtype=run.base_dtype)
    model.config.use_cache = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        # PEFT writes these patterns itself, for the parameters of experts, and then looks among modules only
        warnings.filterwarnings("ignore", r"The following (rank|alpha)_pattern keys", RuntimeWarning)
        if run.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": run.use_reentrant})
        if peft is not None:
            from peft import get_peft_model

            model = get_peft_model(model, peft)
            if run.gradient_checkpointing:
                model.enable_input_require_grads()
        yield model


def measured_peak(
    config: dict[str, Any], run: TrainingRun, *, peft: Any = None, batch: int = BATCH, sequence: int = SEQUENCE
) -> int:
    """The largest sum of live buffers of the same step, run for real on CPU tensors."""
    with ready_to_train(config, run, peft) as model:
        return step_peak(
            model,
            batch=batch,
            sequence=sequence,
            mask=run.attention == "eager",
            autocast=run.mixed_precision == "bf16",
        )
