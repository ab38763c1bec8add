"""The file of `lora-plan check`: what is checked, on which card, for which job, and the limits.

    gpu: rtx4090
    job: {examples: 1800, tokens: 1M, epochs: 3}
    limits: {memory_gib: 22, headroom: 10%, budget_usd: 20, deadline: 12h}
    runs:
      - config: configs/sft.yaml
      - run: runs/big.yaml
        gpu: a100-80
        limits: {budget_usd: 100}

What stands outside `runs` is for each of them; what one says itself goes before that, key by key, and `null` takes
a limit back. Paths are relative to the file's folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

from lora_plan.arguments import Arguments
from lora_plan.card import RUN_AND_CARD_OPTIONS
from lora_plan.job_options import JOB_OPTIONS
from lora_plan.limit_values import LIMITS, limits_of
from planner.errors import InputError
from planner.names import did_you_mean
from planner.run.files import read_mapping
from planner.run.rules import RULES
from planner.run.wording import shown
from planner.trainer_configs.document import printable
from reports.checks.limits import Limits

DEFAULT = "lora-plan.limits.yaml"
"""Looked for in the working directory."""

_CARDS = ("gpu", "gpu_memory", "gpu_file")
_OF_A_RUN = (*_CARDS, *RULES, "precision", "config_format", "job", "limits")
_SOURCES = ("config", "run")
_JOB = tuple(option.name for option in JOB_OPTIONS)
_AMOUNTS = {"examples", "tokens", "dataset"}
_NAMES = (*(option.name for option in RUN_AND_CARD_OPTIONS), *_JOB)


@dataclass(frozen=True, slots=True)
class Entry:
    """One run to check."""

    name: str
    """As the file has it, or the command line."""

    files: tuple[Path, ...]
    """That the run is read from."""

    as_run: bool
    """Whether that is a run file; otherwise trainers' configs, or a run file that is told by its content."""

    said: Mapping[str, str | bool | list[str] | None]
    """Options of the run, the card and the job, by their names; without the files."""

    limits: Limits

    def arguments(self, files: Iterable[Path] | None = None) -> Arguments:
        """What the command line would be given for this run. files: to read in place of its own."""
        paths = [str(path) for path in (self.files if files is None else files)]
        source: dict[str, str | list[str]] = {"run_file": paths[0]} if self.as_run else {"config": paths}
        return Arguments({**dict.fromkeys(_NAMES), **self.said, **source})


def read_limits(path: Path, files: list[str], now: datetime) -> tuple[Entry, ...]:
    """The runs that a limits file names; with `files`, those, each with what the limits file says of it.

    now: from when the hours to a deadline count. Raises `InputError` naming the file and the key.
    """
    name = printable(path)
    top = _mapping(read_mapping(path), f"{name}: the file")
    known = (*_OF_A_RUN, "runs")
    _check_keys(top, known, name)
    listed = top.pop("runs", None)
    if not isinstance(listed, list | None):
        raise InputError(f"{name}: runs must be a list, such as `- config: sft.yaml`, not {shown(listed)}")
    rows = [_mapping(row, f"{name}: run {at}") for at, row in enumerate(cast("list[object]", listed or []), start=1)]
    entries = [_listed(top, row, path.parent, f"{name}, run {at}", now) for at, row in enumerate(rows, start=1)]
    if files:
        return tuple(entry for file in files for entry in _named(file, top, entries, path.parent, name, now))
    if not entries:
        raise InputError(f"{name} names no runs; list them under runs, or name files on the command line")
    return tuple(entries)


def _listed(top: Mapping[str, object], row: dict[str, object], folder: Path, where: str, now: datetime) -> Entry:
    _check_keys(row, (*_SOURCES, *_OF_A_RUN), where)
    given = [key for key in _SOURCES if row.get(key) is not None]
    if len(given) != 1:
        problem = "has both config and run; give one of them" if given else "names no file; give config or run"
        raise InputError(f"{where}: {problem}")
    source = row[given[0]]
    paths = _items(source) if given[0] == "config" else [source]
    names = [_text(path, given[0], where) for path in paths]
    if not names:
        raise InputError(f"{where}: config is an empty list; name a file")
    own = {key: value for key, value in row.items() if key not in _SOURCES}
    files = tuple(folder / _user(name) for name in names)
    return _entry(" + ".join(names), files, given[0] == "run", top, own, folder, where, now)


def _named(
    file: str, top: Mapping[str, object], entries: list[Entry], folder: Path, where: str, now: datetime
) -> list[Entry]:
    path = _user(file)
    own = [entry for entry in entries if any(_same(path, listed) for listed in entry.files)]
    return own or [_entry(file, (path,), False, top, {}, folder, where, now)]


def _same(one: Path, other: Path) -> bool:
    try:
        return one.resolve() == other.resolve()
    except (OSError, RuntimeError, ValueError):
        return False


def _entry(
    name: str,
    files: tuple[Path, ...],
    as_run: bool,
    top: Mapping[str, object],
    own: Mapping[str, object],
    folder: Path,
    where: str,
    now: datetime,
) -> Entry:
    general = dict(top)
    for group in (_CARDS, ("base_dtype", "mixed_precision", "precision")):
        if any(key in own for key in group):
            # the run's own card takes the place of the general one, whichever way each is named
            general = {key: value for key, value in general.items() if key not in group}
    laid = {**general, **own}
    job, own_job = _part(top, "job", _JOB, where), _part(own, "job", _JOB, where)
    if "dataset" in {*job, *own_job} and own_job.keys() & _AMOUNTS:
        # a dataset says what examples and tokens say: the run's own amount takes the place of the general one
        job = {key: value for key, value in job.items() if key not in _AMOUNTS}
    job |= own_job
    limits = {**_part(top, "limits", LIMITS, where), **_part(own, "limits", LIMITS, where)}
    said = {key: _option(key, value, where) for key, value in laid.items() if key not in ("job", "limits")}
    said |= {key: _option(key, value, f"{where}: job") for key, value in job.items()}
    for key in ("gpu_file", "dataset", "tokenizer"):
        said[key] = _beside(said.get(key), folder, always=key != "tokenizer")
    return Entry(name, files, as_run, said, limits_of(limits, where, now))


def _part(mapping: Mapping[str, object], key: str, known: tuple[str, ...], where: str) -> dict[str, object]:
    part = mapping.get(key)
    if part is None:
        return {}
    inner = _mapping(part, f"{where}: {key}")
    _check_keys(inner, known, f"{where}: {key}")
    return inner


def _mapping(value: object, what: str) -> dict[str, object]:
    """A mapping with `_` for `-` in its keys."""
    if not isinstance(value, dict):
        raise InputError(f"{what} must be a mapping, not {shown(value)}")
    return {key.replace("-", "_"): inner for key, inner in cast("dict[str, object]", value).items()}


def _check_keys(mapping: Mapping[str, object], known: tuple[str, ...], where: str) -> None:
    for key in mapping:
        if key not in known:
            few = [name for name in known if name not in RULES]
            hint = did_you_mean(key, known) or f"; there are {', '.join(few)}"
            raise InputError(f"{where}: {shown(key)} is not known{hint}", field=key)


def _option(key: str, value: object, where: str) -> str | bool | list[str] | None:
    """A value as the command line has it, where all but switches is text, and names may be a list.

    Whether a field of the run is a switch or takes names is for the run to say.
    """
    if value is None or (isinstance(value, bool) and (key in RULES or key == "merge")):
        return value
    if key == "merge":
        raise InputError(f"{where}: merge must be true or false, not {shown(value)}", field=key)
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        return str(value)
    names = _names(value) if key in RULES else None
    if names is None:
        raise InputError(f"{where}: {key} must be text or a number, not {shown(value)}", field=key)
    return names


def _items(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else [value]


def _names(value: object) -> list[str] | None:
    """A list of nothing but text; None for anything else."""
    items = _items(value)
    names = [item for item in items if isinstance(item, str)]
    return names if isinstance(value, list) and len(names) == len(items) else None


def _beside(value: str | bool | list[str] | None, folder: Path, *, always: bool) -> str | bool | list[str] | None:
    """A path from the folder of the limits file; of what may be a name too, only where there is such a file."""
    if not isinstance(value, str):
        return value
    path = folder / _user(value)
    try:
        return str(path) if always or path.exists() else value
    except (OSError, ValueError):
        return value


def _user(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # a home that is nobody's
        return Path(name)


def _text(value: object, key: str, where: str) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise InputError(f"{where}: {key} must be the path of a file, not {shown(value)}", field=key)
