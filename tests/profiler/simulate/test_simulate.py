"""`simulate` on small models: verdicts, what does not fit, and what is refused."""

from __future__ import annotations

import gc
import importlib
import json
import os
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from planner.catalogue import Gpu, own_gpu
from planner.errors import Abstention, InputError
from planner.memory.levels import cublas_workspaces
from planner.run import TrainingRun
from planner.units import GIB, MIB
from profiler.simulate import stack
from profiler.simulate.allocator import AllocatorSettings
from profiler.simulate.simulate import simulate
from profiler.simulate.types import Simulation
from tests.support.real_steps import written
from tests.support.steps import DECODER

LLAMA: dict[str, Any] = DECODER | {"model_type": "llama", "num_hidden_layers": 2, "vocab_size": 32_000}
"""Most of what it needs are the logits: 8,192 tokens by 32,000 in bfloat16, 500 MiB, and twice that in float32."""
LOGITS = 8192 * 32_000 * 2
TOKENS = {"sequence_length": 2048, "micro_batch_size": 4, "gradient_checkpointing": False}


def card(usable_bytes: float) -> Gpu:
    return own_gpu(16, usable_gib=usable_bytes / GIB)


@pytest.fixture(scope="module")
def run() -> TrainingRun:
    return TrainingRun(model=written(LLAMA, Path(tempfile.mkdtemp())), **TOKENS)


@pytest.fixture(scope="module")
def on_no_card(run: TrainingRun) -> Simulation:
    return simulate(run)


def test_without_a_card_there_is_no_verdict(on_no_card: Simulation) -> None:
    assert (on_no_card.gpu, on_no_card.verdict, on_no_card.out_of_memory) == (None, None, None)
    assert on_no_card.memory.peak_bytes.process is None
    assert on_no_card.memory.basis == "simulation"


def test_what_a_simulation_says(on_no_card: Simulation, run: TrainingRun) -> None:
    said = on_no_card
    assert said.run == run
    assert (said.layers, said.traced_layers, said.steps) == (2, 2, 3)
    assert [name for name, _ in said.versions] == ["torch", "transformers", "peft", "bitsandbytes"]
    assert dict(said.versions) == {name: metadata.version(name) for name, _ in said.versions}
    peak = said.memory.peak_bytes
    assert said.memory.instant == "loss"
    assert peak.allocated == said.memory.peak.allocated_bytes == max(i.allocated_bytes for i in said.memory.instants)
    # in float32 the logits themselves, their softmax and its gradient
    assert 0 <= said.memory.peak.components["logits_and_loss"] - 3 * 2 * LOGITS < 4 * MIB
    assert peak.reserved >= peak.allocated
    assert max(said.timeline.reserved) == peak.reserved
    assert max(said.timeline.allocated) == peak.allocated


def test_parameters_are_those_of_the_model(on_no_card: Simulation) -> None:
    """By hand: 2 layers of attention (64 -> 64, 32, 32, 64), MLP (176) and two norms; embedding, head, norm."""
    layer = 64 * (64 + 32 + 32 + 64) + 3 * 64 * 176 + 2 * 64
    lora = 16 * (2 * (64 + 64) + 2 * (64 + 32) + 3 * (64 + 176))
    assert on_no_card.parameters.trainable == 2 * lora
    assert on_no_card.parameters.total == 2 * (layer + lora) + 2 * 32_000 * 64 + 64


def test_it_fits_on_a_card_with_exactly_what_is_reserved(on_no_card: Simulation, run: TrainingRun) -> None:
    reserved = on_no_card.memory.peak_bytes.reserved
    fits = simulate(run, card(reserved))
    assert (fits.verdict, fits.retries, fits.out_of_memory) == ("fits", 0, None)
    assert fits.gpu is not None
    assert fits.memory.peak_bytes.process == reserved + fits.gpu.context_bytes
    less = simulate(run, card(reserved - 2 * MIB))
    assert (less.verdict, less.retries > 0) == ("does_not_fit", True)
    assert less.memory == fits.memory  # as on a card that is large enough


def test_what_does_not_fit_is_named(run: TrainingRun) -> None:
    """On 0.6 GiB the logits of the first step are too much."""
    usable = card(0.6 * GIB).usable_bytes
    failed = simulate(run, card(0.6 * GIB))
    assert failed.verdict == "does_not_fit"
    found = failed.out_of_memory
    assert found is not None
    assert (found.step, found.instant, found.module, found.operator) == (1, "loss", "lm_head", "aten.mm.default")
    assert (found.requested_bytes, found.capacity_bytes) == (LOGITS, usable)
    assert found.allocated_bytes <= found.reserved_bytes
    assert found.reserved_bytes + found.requested_bytes > usable


def test_a_failure_within_a_layer_names_the_layer(tmp_path: Path) -> None:
    """MLPs of 16,384, of which each layer keeps at least 3 tensors of 64 MiB (2,048 tokens in bfloat16): the sixth
    at the latest is too much for 1 GiB, and the first two are not, though no other layer is above 8."""
    config = LLAMA | {"vocab_size": 8, "intermediate_size": 16_384, "num_hidden_layers": 9}
    run = TrainingRun(model=written(config, tmp_path), **(TOKENS | {"micro_batch_size": 1}))
    found = simulate(run, card(1 * GIB)).out_of_memory
    assert found is not None
    assert (found.step, found.instant, found.requested_bytes) == (1, "end_of_forward", 2048 * 16_384 * 2)
    layer, module = found.module.removeprefix("model.layers.").split(".", 1)
    assert module.startswith("mlp")
    assert 1 * GIB / (8 * 64 * MIB) <= int(layer) <= 1 * GIB / (3 * 64 * MIB)


def test_a_failure_while_loading(tmp_path: Path) -> None:
    config = LLAMA | {"vocab_size": 5_000_000}
    run = TrainingRun(model=written(config, tmp_path), sequence_length=8)
    found = simulate(run, card(1 * GIB)).out_of_memory
    assert found is not None
    assert (found.step, found.instant, found.requested_bytes) == (0, "load", 5_000_000 * 64 * 2)


@pytest.fixture(scope="module")
def evaluated(run: TrainingRun) -> Simulation:
    """An evaluation of five sequences has larger logits than training has, whose segments stay cached beside them."""
    return simulate(run.replace(eval_batch_size=5))


def test_it_is_tight_where_the_cache_has_to_be_given_back(evaluated: Simulation) -> None:
    peak = evaluated.memory.peak_bytes
    assert peak.reserved - peak.allocated > 2 * LOGITS
    tight = simulate(evaluated.run, card(peak.reserved - 2 * MIB))
    assert (tight.verdict, tight.retries, tight.out_of_memory) == ("tight", 1, None)
    assert tight.memory.peak_bytes.reserved < peak.reserved
    assert tight.memory.peak_bytes.allocated == peak.allocated


def test_the_allocators_settings_change_what_is_reserved(evaluated: Simulation) -> None:
    expandable = simulate(evaluated.run, settings=AllocatorSettings(expandable_segments=True)).memory.peak_bytes
    assert expandable.allocated == evaluated.memory.peak_bytes.allocated
    assert expandable.reserved < evaluated.memory.peak_bytes.reserved - 2 * LOGITS


def test_an_evaluation_is_an_instant(evaluated: Simulation, on_no_card: Simulation) -> None:
    found = {instant.name for instant in evaluated.memory.instants}
    assert found - {instant.name for instant in on_no_card.memory.instants} == {"evaluation"}


def test_two_simulations_are_equal_and_leave_the_process_as_it_was(run: TrainingRun, on_no_card: Simulation) -> None:
    import torch
    from transformers.utils import import_utils

    def state() -> tuple[Any, ...]:
        return (
            gc.isenabled(),
            gc.get_threshold(),
            import_utils.is_fake_tensor,
            torch.is_autocast_enabled,
            torch.nn.functional.scaled_dot_product_attention,
            torch.get_default_dtype(),
            torch.compile,
            torch.is_grad_enabled(),
        )

    before = state()
    gc.collect()
    alive = _fake_tensors()
    assert simulate(run) == on_no_card
    assert state() == before
    gc.collect()
    assert _fake_tensors() == alive


def _fake_tensors() -> int:
    from torch._subclasses.fake_tensor import FakeTensor

    return sum(type(found) is FakeTensor for found in gc.get_objects())


def test_progress_is_told_in_order(run: TrainingRun) -> None:
    told: list[tuple[str, float]] = []
    simulate(run, progress=lambda phase, share: told.append((phase, share)))
    assert [phase for phase, _ in told] == [
        "importing the training stack",
        "building the model",
        "tracing a step",
        "tracing the optimizer",
        "replaying the allocator",
    ]
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] < 1


def test_a_card_by_its_name(run: TrainingRun) -> None:
    said = simulate(run, "A100 80GB")
    assert said.gpu is not None
    assert (said.gpu.memory_bytes > 79 * GIB, said.verdict) == (True, "fits")


def test_a_peft_config_stands_for_the_method(run: TrainingRun, tmp_path: Path) -> None:
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({"peft_type": "IA3", "target_modules": ["k_proj"], "feedforward_modules": []}))
    said = simulate(run, peft_config=str(path))
    assert (said.peft_type, said.parameters.trainable) == ("IA3", 2 * 32)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "gpt5"}, "gpt5"),
        ({"hidden_size": 63}, "hidden_size 63 .* is not a multiple"),
        ({"hidden_size": "wide"}, "write an integer"),
        ({"hidden_act": "warm"}, "warm"),
    ],
    ids=str,
)
def test_a_config_that_cannot_be_built_is_refused(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    run = TrainingRun(model=written(LLAMA | changes, tmp_path))
    with pytest.raises((InputError, Abstention), match=says) as caught:
        simulate(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"num_gpus": 2}, "2 GPUs.*--gpus 1"),
        ({"optimizer": "galore_adamw"}, "galore"),
        ({"quantization": "gptq"}, "kernels of gptq are not simulated"),
        ({"quantization": "awq"}, "kernels of awq are not simulated"),
    ],
    ids=str,
)
def test_what_is_not_simulated_is_said(run: TrainingRun, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Abstention, match=says):
        simulate(run.replace(**fields))


def test_an_operator_without_a_fake_kernel_is_named_with_its_module(
    run: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.llama import modeling_llama

    monkeypatch.setattr(modeling_llama.LlamaMLP, "forward", lambda self, x: x[x > 0])
    with pytest.raises(Abstention, match=r"operator aten\.\w+\.\w+ in model\.layers\.0\.mlp \(forward\)"):
        simulate(run)


@pytest.mark.parametrize("library", stack.LIBRARIES)
def test_a_library_that_is_missing_is_named(run: TrainingRun, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    really = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name == library:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return really(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(InputError, match=rf'{library} is not installed; pip install "lora-plan\[verify\]"'):
        simulate(run)


def test_the_environment_says_that_there_is_no_network(run: TrainingRun) -> None:
    simulate(run)
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_live_bytes_are_those_asked_for_and_no_workspaces(run: TrainingRun, on_no_card: Simulation) -> None:
    """What tensors ask for is in blocks of 512 bytes otherwise, and cuBLAS' workspaces are beside them."""
    live = simulate(run, live=True).memory
    counted = on_no_card.memory
    workspaces = counted.instants[-1].components["runtime"]
    assert workspaces == cublas_workspaces(None)
    assert [instant.name for instant in live.instants] == [instant.name for instant in counted.instants]
    for ours, others in zip(live.instants, counted.instants, strict=True):
        assert ours.components["runtime"] == 0
        rounding = others.allocated_bytes - others.components["runtime"] - ours.allocated_bytes
        assert 0 <= rounding < 0.01 * ours.allocated_bytes + MIB  # a block above 1 MiB may have as much left over
    # what is known of the weights: two layers of four projections and three products, in bfloat16
    weights = 2 * 32_000 * 64 + 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 176 + 2 * 64) + 64
    rotary = 2 * (64 // 4 // 2) * 4
    assert live.instants[0].components["base_weights"] == 2 * weights + rotary
    assert live.peak_bytes.allocated == max(instant.allocated_bytes for instant in live.instants)
