"""What is refused before anything is loaded, and why."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import Abstention, InputError
from planner.run import TrainingRun
from profiler.measure.measurable import check_measurable

Config = dict[str, Any]

REFUSED = [
    ({"quantization": "gptq"}, "cpu", "gptq is not measured: weights of gptq cannot be made up"),
    ({"quantization": "awq"}, "cuda", "awq is not measured: weights of awq cannot be made up"),
    ({"kernels": "unsloth"}, "cuda", "unsloth is not measured: unsloth patches models"),
    ({"num_gpus": 2, "strategy": "ddp"}, "cuda", "runs on 2 GPUs (strategy ddp) are not measured yet"),
    ({"checkpoint_offload": True, "gradient_checkpointing": True}, "cpu", "there is nothing to offload to from a CPU"),
    ({"kernels": "liger"}, "cpu", "liger's kernels do not run on a CPU"),
]


@pytest.mark.parametrize(("fields", "kind", "says"), REFUSED, ids=str)
def test_what_is_not_measured_says_why(fields: Config, kind: str, says: str) -> None:
    with pytest.raises(Abstention) as raised:
        check_measurable(TrainingRun(model="tiny", **fields), kind)
    assert str(raised.value).startswith(says)
    assert raised.value.way_out


@pytest.mark.parametrize("field", ["transformers_version", "peft_version"])
def test_other_releases_than_the_installed_are_refused(field: str) -> None:
    run = TrainingRun(model="tiny", **{field: "4.44.0" if field.startswith("t") else "0.12.0"})
    with pytest.raises(InputError, match="real steps run what is installed") as raised:
        check_measurable(run, "cpu")
    assert raised.value.field == field


@pytest.mark.parametrize("fields", [{}, {"kernels": "liger"}, {"checkpoint_offload": True}], ids=str)
def test_what_is_measured_on_cuda(fields: Config) -> None:
    check_measurable(TrainingRun(model="tiny", gradient_checkpointing=True, **fields), "cuda")
