"""Where a model's `config.json` comes from: a path, the catalogue, the Hugging Face cache or the hub.

Only the JSON is read, never code beside it, and nothing is written.
"""

# os.path answers False for a path that may not be looked at or cannot be one; pathlib raises
# ruff: noqa: PTH110, PTH111, PTH112, PTH113, PTH118

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from planner.catalogue.files import parse_mapping, read_bytes
from planner.catalogue.models import Model, match_model, unknown_model
from planner.catalogue.spelling import shown_path
from planner.errors import InputError

LONGEST_NAME = 500

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
_REVISION = re.compile(r"[0-9A-Za-z]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A model's config and where it is from."""

    config: dict[str, object]
    """The fields of the `config.json`, as they are there. Not to be changed."""

    origin: str
    """How errors and the view name the source."""

    model: Model | None
    """The catalogue's entry, where the config is from there."""

    note: str | None
    """What to tell the user of how the name was read."""


def load_config(model: str) -> LoadedConfig:
    """The config of what `--model` names.

    `model` is tried as a path to a `config.json` (or a folder holding one), as a name of the catalogue, and,
    where it has the form org/name, in the local Hugging Face cache and on the hub (unless HF_HUB_OFFLINE is
    set). Raises `InputError` where none has it, or the file is not a config.
    """
    name = model.strip()
    if not name:
        raise InputError("model is empty; give a name that `lora-plan models` lists", field="model")
    if len(name) > LONGEST_NAME:
        raise InputError(f"model has {len(name):,} characters; give at most {LONGEST_NAME}", field="model")
    path = Path(os.path.expanduser(name))
    if _looks_like_path(name) or _holds_config(path):
        return _from_path(path)
    match = match_model(name)
    if match is not None:
        return LoadedConfig(match.model.config, f"the catalogue's {match.model.id}", match.model, match.note)
    if os.path.isdir(path):
        return _from_path(path)
    if _HUB_ID.fullmatch(name) is None:
        raise InputError(unknown_model(name), field="model")
    return _from_cache(name) or _from_hub(name)


def _looks_like_path(name: str) -> bool:
    return (
        name.startswith((".", "~", "/", "\\"))
        or name.endswith((".json", "/", "\\"))
        or name.count("/") > 1
        or Path(name).is_absolute()
    )


def _holds_config(path: Path) -> bool:
    """Whether `path` is a file, or a folder with a config; a folder of that name may be there by chance."""
    if os.path.isdir(path):
        return os.path.lexists(path / "config.json") or os.path.lexists(path / "adapter_config.json")
    return os.path.exists(path)


def _from_path(path: Path) -> LoadedConfig:
    file = path
    if os.path.isdir(path):
        file = path / "config.json"
        if not _holds_config(path):
            raise InputError(
                f"folder {shown_path(path)} holds no config.json; give the folder of a model", field="model"
            )
        if not os.path.lexists(file):
            raise InputError(
                f"folder {shown_path(path)} holds an adapter (adapter_config.json) and no config.json; "
                "give the model that the adapter was trained on",
                field="model",
            )
    return _read(file, None)


def _read(file: Path, note: str | None) -> LoadedConfig:
    origin = shown_path(file)
    config = parse_mapping(read_bytes(file, field="model"), origin, field="model")
    return LoadedConfig(config, origin, None, note)


def _from_cache(name: str) -> LoadedConfig | None:
    folder = cached_snapshot(name)
    if folder is None or not os.path.isfile(folder / "config.json"):
        return None
    return _read(folder / "config.json", f"'{name}' is read from the local Hugging Face cache")


def cached_snapshot(name: str) -> Path | None:
    """The folder of the cached revision that `main` refers to, laid out as huggingface_hub does."""
    folder = _cache_folder() / f"models--{name.replace('/', '--')}"
    try:
        revision = read_bytes(folder / "refs" / "main", field="model").decode("ascii").strip()
    except (InputError, UnicodeDecodeError):
        return None
    return folder / "snapshots" / revision if _REVISION.fullmatch(revision) is not None else None


def _cache_folder() -> Path:
    """Where huggingface_hub keeps models, by the variables that it reads."""
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    home = os.environ.get("HF_HOME")
    if not home:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
        home = os.path.join(base, "huggingface")
    return Path(os.path.expanduser(cache or os.path.join(home, "hub")))


def _from_hub(name: str) -> LoadedConfig:
    # here, because urllib takes longer to import than a whole plan takes
    from planner.architecture.config_hub import Hub, HubFailure

    hub = Hub.from_environment()
    try:
        data = hub.config(name)
    except HubFailure as failure:
        raise InputError(f"{unknown_model(name)} ({failure})", field="model") from None
    origin = f"the config.json of {name} on {hub.host}"
    return LoadedConfig(parse_mapping(data, origin, field="model"), origin, None, f"'{name}' is read from {hub.host}")
