"""What was read of a trainer's config: the run that it describes, and what became of every setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Json = str | int | float | bool | list["Json"] | dict[str, "Json"] | None
"""What a config holds, whatever it was written in."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a config, and what became of it."""

    key: str
    """Where it stands, with dots between the mappings that it is in: `fsdp_config.fsdp_version`."""

    value: Json
    """As it is written."""

    text: str
    """What it means for the run (`micro_batch_size 4`), or why it means nothing; empty where that is plain."""

    fields: tuple[str, ...] = ()
    """Of what is uncounted because its value is not known: the fields of the run that it would give."""


@dataclass(frozen=True, slots=True)
class Default:
    """A field that no setting gives, with the value that the trainer gives it."""

    field: str
    """Of `TrainingRun`, or of `Job`."""

    value: object

    source: str
    """Where the trainer has it: `trl/trainer/sft_config.py: max_length`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerConfig:
    """One file, read as the config of one trainer. Nothing of it is validated as a run yet."""

    name: str
    """Of the file, as it was given, printable."""

    format: str
    """As `--config-format` names it: `axolotl`."""

    title: str
    """As its makers write it: `Axolotl`."""

    version: str
    """Whose settings and defaults these are: `axolotl 0.19.0`."""

    run: Mapping[str, object]
    """Fields of `TrainingRun` that the file gives: values as it takes them, and as wrong as they are in the file."""

    run_defaults: Mapping[str, object]
    """Fields of `TrainingRun` that the trainer gives where the file does not."""

    job: Mapping[str, object]
    """Fields of `Job` that the file gives: epochs, max_steps, save_steps, eval_split."""

    job_defaults: Mapping[str, object]

    keys: Mapping[str, str]
    """Field of `run` or `job` -> the key that gave it, for errors about its value."""

    understood: tuple[Setting, ...]
    defaulted: tuple[Default, ...]
    """Each of `run_defaults` and `job_defaults`, with its source."""

    ignored: tuple[Setting, ...]
    """What moves neither memory nor time."""

    uncounted: tuple[Setting, ...]
    """What moves memory, or may, and is not in the run: the plan is off by it."""

    notes: tuple[str, ...]
    """Sentences about the reading: which trainer's it was taken for, and what else there is to know."""
