"""Real weights from a folder, checked before anything is loaded from it: safetensors only, nothing is unpickled."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from planner.catalogue.spelling import shown, shown_path
from planner.errors import InputError
from planner.run import TrainingRun

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
ADAPTER = "adapter_config.json"

_HEADER = 8
"""Bytes of the length of a safetensors header, which the file begins with."""
_LARGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors library itself."""


def check_weights(folder: str) -> Path:
    """The folder, once every file of its weights is there and whole.

    Raises `InputError` for a folder without weights in safetensors, and for one that is not downloaded completely.
    """
    path = _expanded(folder)
    name = shown_path(path)
    if not path.is_dir():
        raise _refused(f"{name} is no folder; give the folder of a downloaded model")
    if (path / ADAPTER).exists():
        # which `from_pretrained` would load too, or the model that it names in place of this one
        raise _refused(f"{name} holds an adapter; give the folder of a model without {ADAPTER}")
    for file in _files(path, name):
        if not file.is_file():
            raise _refused(f"{name} lacks {shown(file.name)}, which its index names; download the model again")
        _check_whole(file)
    return path


def load_model(meta: Any, run: TrainingRun, folder: str, device: Any) -> Any:
    """The class and config of `meta`, a model on the meta device, with the weights of a folder, on `device`.

    Raises `InputError` where they are another model's.
    """
    from profiler.simulate.build.model import layers_of
    from profiler.simulate.build.quantize import settings_of

    path = check_weights(folder)
    # a config can name a file that was not checked
    meta.config.transformers_weights = None
    try:
        model, info = type(meta).from_pretrained(
            str(path),
            config=meta.config,
            dtype=meta.dtype,
            device_map={"": device},
            quantization_config=settings_of(run),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:
        said = " ".join(str(error).split())[:300].rstrip(".")
        raise _refused(
            f"the weights in {shown_path(path)} cannot be loaded ({said}); give those of this model"
        ) from None
    layers = f"{layers_of(meta)[0]}."
    deeper = [key for key in map(str, info.get("unexpected_keys") or ()) if layers in f"model.{key}"]
    for what, keys in (
        ("lacks {} of", info.get("missing_keys")),
        ("has another shape for {} of", info.get("mismatched_keys")),
        ("is deeper, with {} beside those of", deeper),
    ):
        if keys:
            first = shown(sorted(map(str, keys))[0], 120)
            found = f"{first} and {len(keys) - 1:,} more weights" if len(keys) > 1 else first
            raise _refused(
                f"the model in {shown_path(path)} {what.format(found)} {run.model}; give the weights of this model"
            )
    model.config.use_cache = False
    return model


def _expanded(folder: str) -> Path:
    try:
        return Path(folder).expanduser()
    except RuntimeError:  # there is no such user
        return Path(folder)


def _files(path: Path, name: str) -> list[Path]:
    index = path / INDEX
    if (path / SINGLE).is_file():
        return [path / SINGLE]  # `from_pretrained` looks for it first
    if not index.is_file():
        raise _refused(f"{name} holds no weights in safetensors; give the folder of a downloaded model")
    try:
        content: object = json.loads(index.read_text(encoding="utf-8"))
        shards = cast("dict[str, dict[str, str]]", content)["weight_map"].values()
        names = sorted(set(shards))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _refused(f"{shown_path(index)} is no index of weights; download the model again") from None
    if not all(isinstance(item, str) and Path(item).name == item for item in cast("list[object]", names)):
        raise _refused(f"{shown_path(index)} names files outside of its folder; download the model again")
    if not all(item.endswith(".safetensors") for item in names):
        raise _refused(f"{shown_path(index)} names files that are not safetensors; download the model again")
    return [path / item for item in names]


def _check_whole(file: Path) -> None:
    """A safetensors file says in its header how long it is: the offsets of its tensors end where it ends."""
    unfinished = _refused(f"{shown_path(file)} is not whole; download the model again")
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(_HEADER), "little")
            if length > min(size - _HEADER, _LARGEST_HEADER):
                raise unfinished
            header: object = json.loads(opened.read(length))
        tensors = cast("dict[str, dict[str, list[int]]]", header)
        ends = [item["data_offsets"][1] for name, item in tensors.items() if name != "__metadata__"]
        whole = _HEADER + length + max(ends, default=0) == size
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise unfinished from None
    if not whole:
        raise unfinished


def _refused(message: str) -> InputError:
    return InputError(message, field="weights")
