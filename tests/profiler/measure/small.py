"""Small runs and their models, as real steps need them."""

from __future__ import annotations

import contextlib
import gc
import tempfile
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import torch

from planner.architecture.config_file import LoadedConfig
from planner.run import TrainingRun
from profiler.measure.build import Built, build
from profiler.simulate import stack
from tests.support.real_steps import written
from tests.support.steps import DECODER

CPU = torch.device("cpu")
LAYERS = 3
"""A first one, a last one, and one between them."""
LLAMA: dict[str, Any] = DECODER | {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 80,
    "vocab_size": 96,
    "num_hidden_layers": LAYERS,
}
SCHEMES: dict[str, dict[str, Any]] = {
    "nf4": {"quantization": "nf4"},
    "nf4-dq": {"quantization": "nf4", "double_quant": True},
    "fp4": {"quantization": "fp4"},
    "int8": {"quantization": "int8"},
}


def of_config(config: dict[str, Any]) -> LoadedConfig:
    return LoadedConfig(config, "config.json", None, None)


def run_of(config: dict[str, Any] = LLAMA, **fields: Any) -> TrainingRun:
    """A run of few tokens, whose model is written to a file of its own."""
    given = {"sequence_length": 16, "micro_batch_size": 2, "attention": "eager", "mixed_precision": "no"}
    return TrainingRun(model=written(config, Path(tempfile.mkdtemp())), **(given | fields))


def built(
    run: TrainingRun,
    config: dict[str, Any] = LLAMA,
    done: Callable[[str], None] = lambda _: None,
    weights: str | None = None,
) -> Built:
    """The run's model on the CPU; what libraries say of it is not of interest."""
    with quiet(), stack.quiet():
        return build(run, of_config(config), CPU, weights=weights, done=done)


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """One thread, which is faster for tensors this small, and nothing of what libraries have to say.

    What is alive as it begins is none of the collector's affair within: a collection, of which each step that is
    followed has one, takes half a second of the modules that are loaded by then.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    _within.append(threads)
    if len(_within) == 1:
        gc.freeze()
    try:
        with stack.silenced("bitsandbytes"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        _within.pop()
        if not _within:
            gc.unfreeze()
        torch.set_num_threads(threads)


_within: list[int] = []
"""The `quiet` that are open."""
