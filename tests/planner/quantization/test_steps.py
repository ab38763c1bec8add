"""A LoRA step over a quantized Llama, against the real step on CPU tensors with CUDA's operators."""

from __future__ import annotations

from typing import Any

import pytest

from planner.run import TrainingRun
from tests.planner.quantization.real import measured_peak
from tests.support.families import predicted_peak

TINY: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 176,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 8,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
}
CHECKPOINTING: dict[str, dict[str, Any]] = {
    "none": {"gradient_checkpointing": False},
    "non-reentrant": {"gradient_checkpointing": True},
    "reentrant": {"gradient_checkpointing": True, "use_reentrant": True},
}


def run_of(quantization: str, checkpointing: str, **fields: Any) -> TrainingRun:
    settings = CHECKPOINTING[checkpointing] | fields
    return TrainingRun(model="tiny", method="lora", quantization=quantization, rank=4, packing=True, **settings)


@pytest.mark.parametrize("mixed_precision", ["no", "bf16"])
@pytest.mark.parametrize("prepare_kbit", [False, True])
@pytest.mark.parametrize("checkpointing", CHECKPOINTING)
@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_step_peak(quantization: str, checkpointing: str, prepare_kbit: bool, mixed_precision: str) -> None:
    run = run_of(quantization, checkpointing, prepare_kbit=prepare_kbit, mixed_precision=mixed_precision)
    assert predicted_peak(TINY, run) == pytest.approx(measured_peak(TINY, run), rel=0.002)


@pytest.mark.parametrize("fields", [{"vocab_size": 512}, {"intermediate_size": 1024}], ids=str)
def test_qlora_where_the_loss_or_the_weights_decide(fields: dict[str, Any]) -> None:
    run = run_of("nf4", "non-reentrant", double_quant=True, dropout=0.1)
    config = TINY | fields
    assert predicted_peak(config, run) == pytest.approx(measured_peak(config, run), rel=0.002)


def test_non_reentrant_checkpointing_does_not_free_the_inputs_of_int8_layers() -> None:
    """`MatMul8bitLt` keeps them on `ctx`, where no saved-tensor hook sees them; per block of a float32 stream
    that is the two norms' results and the MLP's product in float32 and the attention output in 16 bits."""
    tokens = 2 * 48
    per_block = tokens * (4 * (64 + 64 + 176) + 2 * 64)

    def grown(checkpointing: str) -> tuple[float, float]:
        run = run_of("int8", checkpointing, prepare_kbit=True, mixed_precision="bf16")
        deeper = TINY | {"num_hidden_layers": 4}
        return (
            measured_peak(deeper, run) - measured_peak(TINY, run),
            predicted_peak(deeper, run) - predicted_peak(TINY, run),
        )

    measured, predicted = grown("non-reentrant")
    measured_reentrant, predicted_reentrant = grown("reentrant")
    assert measured - measured_reentrant == predicted - predicted_reentrant == per_block
