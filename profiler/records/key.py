"""Keys: two records have the same one if, and only if, their results can be compared.

A key is worked out from documents (`profiler.documents`), with the fields that they have: a field that a later release
of lora-plan adds to a run is in the keys of its own records, and does not change those of before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import cast

SPELLING = ("model",)
"""Fields of a run that name what the config says."""

MOVES_NOTHING = ("alpha", "use_rslora")
"""Fields of a run that only scale the adapter's output."""

MEASURED_INSTEAD = ("transformers_version", "peft_version")
"""Fields of a run that say which releases to plan for, where a measurement has those that ran."""

IRRELEVANT = ("_name_or_path", "_commit_hash", "transformers_version", "torch_dtype", "dtype")
"""Fields of a model's config that say where it is from, or what the run's base_dtype says."""

DEVICE = ("kind", "name", "memory_bytes", "driver", "runtime", "compute_capability")
"""Fields of a measured device that are no reading of one moment. A MIG slice is in the name."""

READS_ONLY = ("nvidia-ml-py",)
"""Libraries that a measurement looks on with."""

SETTINGS: Mapping[str, tuple[str, ...]] = {
    "cuda": (
        "PYTORCH_ALLOC_CONF",
        "PYTORCH_CUDA_ALLOC_CONF",
        "PYTORCH_HIP_ALLOC_CONF",
        "PYTORCH_NO_CUDA_MEMORY_CACHING",
        "CUBLAS_WORKSPACE_CONFIG",
        "CUDA_LAUNCH_BLOCKING",
    ),
    "xpu": ("PYTORCH_ALLOC_CONF",),
    "mps": ("PYTORCH_MPS_HIGH_WATERMARK_RATIO", "PYTORCH_MPS_LOW_WATERMARK_RATIO"),
    "cpu": ("OMP_NUM_THREADS", "MKL_NUM_THREADS"),
}
"""Kind of device -> variables of the environment that move memory or time on it: the allocator's, the workspaces of
cuBLAS, and on a CPU the threads."""

Document = Mapping[str, object]


def settings(environment: Mapping[str, str], kind: str) -> tuple[tuple[str, str], ...]:
    """The variables of `SETTINGS` that are set, as they are; an empty one is as good as none."""
    set_here = ((name, environment.get(name, "").strip()) for name in SETTINGS.get(kind, ()))
    return tuple((name, value) for name, value in set_here if value)


def key_parts(measurement: Document, config: Document, environment: Document) -> dict[str, object]:
    """Everything that moves the result of a measurement, by its document; JSON values.

    Whether weights are random or real is not in it: they have the same shapes and dtypes, so the same memory and time.
    Of Python only the minor release counts, which moves how fast kernels are launched.
    """
    device = cast("Document", measurement["device"])
    slices = cast("Document | None", measurement["slices"])
    versions = cast("list[list[str]]", measurement["versions"])
    return {
        **run_parts(cast("Document", measurement["run"]), config),
        "device": {name: device[name] for name in DEVICE},
        "versions": {
            name: minor(version) if name == "python" else version
            for name, version in versions
            if name not in READS_ONLY
        },
        "environment": dict(environment),
        "slices": None if slices is None else slices["depths"],
    }


def run_parts(run: Document, config: Document) -> dict[str, object]:
    """What the run and its model are, whatever it was run on: the part of a key that a plan has too."""
    left_out = (*SPELLING, *MOVES_NOTHING, *MEASURED_INSTEAD)
    return {"run": {name: value for name, value in run.items() if name not in left_out}, "config": of_config(config)}


def of_config(config: Document) -> str:
    """SHA-256 of a model's config, of the fields that say what the model is."""
    return digest({name: value for name, value in config.items() if name not in IRRELEVANT})


def digest(parts: Document) -> str:
    """SHA-256 of JSON values, in whatever order they are, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical(parts).encode("ascii")).hexdigest()


def canonical(document: Document) -> str:
    """The one way to write a document: in ASCII, sorted, without spaces."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def minor(version: str) -> str:
    """`3.11` of `3.11.9`."""
    return ".".join(version.split(".")[:2])
