"""`lay_together`: the run of one or several configs, with what was typed over them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.errors import InputError
from planner.run import TrainingRun
from planner.run.contradictions import SCOPES
from planner.run.rules import RULES
from planner.run.wording import shown
from planner.trainer_configs.types import Setting, TrainerConfig

OF_METHOD = frozenset(("quantization", "double_quant", "prepare_kbit", "use_dora", "use_rslora"))
"""Defaults that a trainer has for its own method, and not for another that is typed over it."""

PRECISION = frozenset(("mixed_precision", "base_dtype", "adapter_dtype", "prepare_kbit"))
_RANKS = {"accelerate": 0, "deepspeed": 2}
"""Whose precision holds where files differ: a trainer's own (1) over what `accelerate launch` hands it in the
environment (transformers/training_args.py, `__post_init__`), and that of DeepSpeed's engine, which casts the model,
over both."""

_ALONE = ("none", "ddp")
"""Strategies that a single GPU can be said to have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read of configs, and what it comes to for a run."""

    configs: tuple[TrainerConfig, ...]

    fields: Mapping[str, object]
    """Of `TrainingRun`: those of the configs that nothing typed goes over, the trainers' defaults among them."""

    job: Mapping[str, object]
    """Fields of `Job`, likewise."""

    overridden: tuple[Setting, ...]
    """Settings that were understood, and that something typed goes over."""

    uncounted: tuple[Setting, ...]
    """What moves memory, or may, and is not in the run: each a warning in the verdict."""

    notes: tuple[str, ...]

    def origin(self, field: str) -> str | None:
        """Where a field is from, for errors about it: `sft.yaml: lora_r`; None where no config gives it."""
        if field not in self.fields and field not in self.job:
            return None
        for config in reversed(self.configs):
            key = config.keys.get(field)
            if key is not None:
                return config.name if key == field else f"{config.name}: {key}"
        return next(
            (
                f"{config.name} ({config.version})"
                for config in self.configs
                if field in config.run_defaults or field in config.job_defaults
            ),
            None,
        )


def lay_together(
    configs: Sequence[TrainerConfig], typed: Mapping[str, object], leave_open: Collection[str] = ()
) -> Reading:
    """Configs laid together: what files give before what trainers give by default, and what is typed before both.

    typed: fields of the run that were given beside the configs. leave_open: fields that a trainer's default is not to
    fill. Raises `InputError` where two files contradict each other.
    """
    stated: dict[str, object] = {}
    defaults: dict[str, object] = {}
    job: dict[str, object] = {}
    job_defaults: dict[str, object] = {}
    for config in configs:
        _add(stated, config.run, config, typed, configs)
        _add(job, config.job, config, {}, configs)
    # what a trainer has by default goes before what launches it, whichever file is named first
    for config in sorted(configs, key=lambda config: config.format in _RANKS):
        defaults = dict(config.run_defaults) | defaults
        job_defaults = dict(config.job_defaults) | job_defaults
    if "method" in typed:
        defaults = {name: value for name, value in defaults.items() if name not in OF_METHOD}
    fields = {name: value for name, value in defaults.items() if name not in leave_open} | stated
    fields = {name: value for name, value in fields.items() if name not in typed}
    fields = _applicable(fields, typed)
    alone = None
    if {**fields, **typed}.get("num_gpus", 1) == 1 and fields.get("strategy", "none") not in _ALONE:
        alone = _asked_to_shard(fields.pop("strategy"), configs)
    return Reading(
        configs=tuple(configs),
        fields=fields,
        job=job_defaults | job,
        overridden=tuple(setting for config in configs for setting in _overridden(config, typed)),
        uncounted=(
            *(one for config in configs for one in config.uncounted if not _settled(one, typed, config, configs)),
            *([alone] if alone is not None else []),
        ),
        notes=tuple(note for config in configs for note in config.notes),
    )


def _add(
    to: dict[str, object],
    given: Mapping[str, object],
    config: TrainerConfig,
    typed: Mapping[str, object],
    configs: Sequence[TrainerConfig],
) -> None:
    for field, value in given.items():
        if field in to and field not in typed and not _same(field, to[field], value):
            other = next(one for one in configs if field in one.keys)
            if field in PRECISION and _rank(config) != _rank(other):
                to[field] = value if _rank(config) > _rank(other) else to[field]
                continue
            raise InputError(
                f"{other.name} has {other.keys[field]} for {field} {shown(to[field])}, and {config.name} "
                f"{config.keys[field]} for {shown(value)}; correct one of them",
                field=field,
            )
        to[field] = value


def _rank(config: TrainerConfig) -> int:
    return _RANKS.get(config.format, 1)


def _same(field: str, one: object, other: object) -> bool:
    if field in RULES:
        try:
            return RULES[field].parse(field, one) == RULES[field].parse(field, other)
        except InputError:
            return one == other
    return one == other


def _applicable(fields: dict[str, object], typed: Mapping[str, object]) -> dict[str, object]:
    """Without the fields that something typed leaves no meaning, as `--method full` does to a rank."""
    scopes = [scope for scope in SCOPES if scope.against in typed]
    scoped = {name for scope in scopes for name in scope.fields}
    try:
        run = TrainingRun(**{name: value for name, value in fields.items() if name not in scoped}, **typed)
    except InputError:
        return fields  # which is said when the run is made, with the file and the key
    meaningless = {name for scope in scopes if not scope.applies(run) for name in scope.fields}
    return {name: value for name, value in fields.items() if name not in meaningless}


def _asked_to_shard(strategy: object, configs: Sequence[TrainerConfig]) -> Setting | None:
    """The setting that asks a single GPU to share with others; None where only a trainer's default does."""
    text = f"{strategy} is for several GPUs, and this is planned for one; --gpus N plans several"
    for config in configs:
        key = config.keys.get("strategy")
        if key is not None:
            written = next((one.value for one in config.understood if one.key == key), None)
            return Setting(key, written, text)
    return None


def _settled(
    setting: Setting, typed: Mapping[str, object], its: TrainerConfig, configs: Sequence[TrainerConfig]
) -> bool:
    """Whether what a setting leaves open is given otherwise: typed, by another file, or by the one that it names."""
    given = set(typed).union(*(config.run for config in configs if config is not its))
    if setting.fields and set(setting.fields) <= given:
        return True
    named = setting.value if isinstance(setting.value, str) else ""
    return "config_file" in setting.key and any(Path(one.name).name == Path(named).name for one in configs)


def _overridden(config: TrainerConfig, typed: Mapping[str, object]) -> list[Setting]:
    return [
        setting
        for setting in config.understood
        if any(key == setting.key and field in typed for field, key in config.keys.items())
    ]
