"""Which runs can be measured: said before anything is imported or loaded."""

from __future__ import annotations

from planner.errors import Abstention, InputError
from planner.run import TrainingRun

_NOT_MEASURED = {
    "gptq": "weights of gptq cannot be made up: its packed integers come from a calibration",
    "awq": "weights of awq cannot be made up: its packed integers come from a calibration",
    "unsloth": "unsloth patches models in its own way as they load",
    "foak": "fms-acceleration's kernels are put in by its own trainer plugin",
    "foak-liger": "fms-acceleration's kernels are put in by its own trainer plugin",
}
"""Quantizations and kernels that no steps are run with, and why."""


def check_measurable(run: TrainingRun, device_kind: str | None = None) -> None:
    """Raise `Abstention` for what cannot be run with made-up weights or on this kind of device (None: not known yet),
    and `InputError` for releases of libraries that are named: what runs is what is installed."""
    for setting in (run.quantization, run.kernels):
        if setting in _NOT_MEASURED:
            raise Abstention(f"{setting} is not measured: {_NOT_MEASURED[setting]}", way_out="plan or simulate it")
    if run.num_gpus > 1:
        raise Abstention(
            f"runs on {run.num_gpus} GPUs (strategy {run.strategy}) are not measured yet",
            way_out="verify one of them with --gpus 1",
        )
    if run.checkpoint_offload and device_kind == "cpu":
        raise Abstention("there is nothing to offload to from a CPU", way_out="leave out checkpoint_offload")
    if run.kernels == "liger" and device_kind == "cpu":
        raise Abstention("liger's kernels do not run on a CPU", way_out="use --kernels hf, or simulate them")
    if run.transformers_version or run.peft_version:
        raise InputError(
            "real steps run what is installed; leave out transformers_version and peft_version, or install those "
            "releases",
            field="transformers_version" if run.transformers_version else "peft_version",
        )
