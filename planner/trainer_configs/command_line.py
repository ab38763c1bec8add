"""Command lines in scripts: what `python train.py --learning_rate 2e-4` and its kin run, and with which options."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from planner.errors import InputError
from planner.run.wording import shown
from planner.trainer_configs.shell_words import OpenQuote, shell_commands
from planner.trainer_configs.types import Json

_PROGRAM = re.compile(r"(?:^|/)(?:python[0-9.]*|torchrun|accelerate|deepspeed|trl|llamafactory-cli|axolotl|tune|uv)$")
_YAML = re.compile(r"^(?:[A-Za-z_][\w.\-]*:(?:\s|$)|- |---\s*$)", re.MULTILINE)
_OPTION = re.compile(r"--?([A-Za-z][A-Za-z0-9_.\-]*)(?:=(.*))?", re.DOTALL)
_SETTING = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*)=(.*)", re.DOTALL)
_NEGATIVE = re.compile(r"-[0-9.][0-9.eE+\-]*")
_CONFIG_FILE = re.compile(r".*\.(?:ya?ml|json)", re.IGNORECASE)

_BEFORE = frozenset(
    (
        *"$!%{",
        "exec",
        "time",
        "nohup",
        "sudo",
        "env",
        "srun",
        "then",
        "do",
        "else",
        "if",
        "while",
        "poetry",
        "pdm",
        "run",
    )
)
"""What may stand before a program, as prompts, wrappers and the words of a shell do."""
_WRAPPERS = frozenset(("exec", "time", "nohup", "sudo", "env", "srun", "poetry", "pdm"))
"""Those of them that have options of their own."""
_LAUNCH_MODULES = frozenset(("torch.distributed.run", "torch.distributed.launch", "accelerate.commands.launch"))
_OWN_COMMAND = frozenset(("trl", "llamafactory-cli", "axolotl", "tune"))
"""Programs whose first word is a command of their own, and not what they launch."""
_SWITCHES = frozenset(
    (
        # accelerate/commands/launch.py (1.15.0)
        *("quiet", "q", "cpu", "multi_gpu", "tpu", "enable_cpu_affinity", "use_deepspeed", "use_fsdp", "debug"),
        *("use_parallelism_config", "use_megatron_lm", "same_network", "m", "module", "no_python", "downcast_bf16"),
        *("dynamo_use_fullgraph", "dynamo_use_dynamic", "dynamo_use_regional_compilation", "tpu_cluster"),
        *("no_tpu_cluster", "tpu_use_sudo", "fp8_use_autocast_during_eval"),
        # torch/distributed/run.py (2.13)
        *("standalone", "run_path", "virtual_local_rank"),
        # deepspeed/launcher/runner.py (0.19.8)
        *("no_local_rank", "no_ssh", "no_ssh_check", "force_multi", "bind_cores_to_rank"),
        # python
        *("u", "O", "B", "E", "I", "s", "S"),
    )
)
"""Options of launchers after which no value stands, but the program can."""
_UV_VALUES = frozenset(("--with", "--extra", "--group", "--python", "-p", "--package", "--project", "--env-file"))
_NAMED_NO = frozenset(("no_cuda", "no_python", "no_local_rank", "no_ssh", "no_ssh_check", "no_sync", "no_tpu_cluster"))
"""Switches that are called so; another `--no_x` says that x is off."""
ENVIRONMENT = (
    "CUDA_VISIBLE_DEVICES",
    "NPROC_PER_NODE",
    "NNODES",
    "FORCE_TORCHRUN",
    "ACCELERATE_MIXED_PRECISION",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_ALLOC_CONF",
)
"""Variables that a launcher or torch reads, and that move memory."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a script."""

    words: tuple[str, ...]
    """What is run, without options."""

    options: Mapping[str, Json]
    """Of the program: `--lora-r 8` as {"lora_r": "8"}, a switch as true, several values as a list, JSON as what it
    holds, `key=value` as it is."""

    launcher: Mapping[str, Json]
    """Of what launches it; and of `ENVIRONMENT`, what the script sets."""


def find_command(text: str, name: str) -> Command | None:
    """The command with the most options of those in a script that run a program; None where none does.

    Variables that the script sets are filled in, and nothing is run. `name` is the script's, for errors. Raises
    `InputError` where quotes are left open, and where the command only names a config.
    """
    if not _is_script(text):
        return None
    try:
        commands = shell_commands(text)
    except OpenQuote as error:
        raise InputError(f"{name}: the command in it cannot be read ({error}); correct it", field="config") from None
    found = [made for each in commands if (made := _command(list(each.words), each.environment)) is not None]
    chosen = max(found, key=lambda command: len(command.options) + len(command.launcher), default=None)
    if chosen is not None:
        _check_settings(chosen, name)
    return chosen


def _is_script(text: str) -> bool:
    """Whether a line runs a program that trains or launches, in a text that is not a YAML mapping."""
    if not text.startswith("#!") and _YAML.search(text):
        return False
    return any(
        _PROGRAM.search(word.lstrip("!%"))
        for line in text.splitlines()
        if not line.lstrip().startswith("#")
        for word in re.split(r"[\s;&|]+", line)
    )


def _command(words: list[str], environment: Mapping[str, str]) -> Command | None:
    start = _start(words)
    if start is None:
        return None
    words = _past_uv([words[start].lstrip("!%"), *words[start + 1 :]])
    split = _program_at(words)
    own, launcher = _options(words[1 : split - 1])
    others, options = _options(words[split:])
    if words[0].rpartition("/")[2].startswith("python") and not _LAUNCH_MODULES.intersection(words[:split]):
        launcher = {}
    launcher = {name: value for name, value in launcher.items() if name not in ("m", "module")}
    launcher |= {name: environment[name] for name in ENVIRONMENT if name in environment}
    run = (words[0], *own, *words[max(1, split - 1) : split], *others)
    return Command(tuple(run), options, launcher) if options or len(run) > 1 else None


def _past_uv(words: list[str]) -> list[str]:
    """`accelerate launch …` of `uv run --with trl accelerate launch …`."""
    at = 2
    while words[0].rpartition("/")[2] == "uv" and words[1:2] == ["run"] and at < len(words):
        if not words[at].startswith("-"):
            return words[at:] if _PROGRAM.search(words[at]) else ["python", *words[at:]]
        at += 2 if words[at] in _UV_VALUES else 1
    return words


def _start(words: Sequence[str]) -> int | None:
    """Where the program stands: first, but for what may stand before one, with its options."""
    wrapped = False
    for at, word in enumerate(words):
        if _PROGRAM.search(word.lstrip("!%")):
            return at
        if word in _BEFORE or "=" in word:
            wrapped = wrapped or word in _WRAPPERS
        elif not wrapped:
            return None
    return None


def _program_at(words: Sequence[str]) -> int:
    """Where the program's own options begin: after `train.py`, `-m trl.scripts.sft`, or `trl sft`."""
    name = words[0].rpartition("/")[2]
    launches = name not in _OWN_COMMAND or list(words[:2]) == ["tune", "run"]
    at = 2 if name == "accelerate" or name in _OWN_COMMAND else 1
    while launches and at < len(words):
        word = words[at]
        option = word.lstrip("-").partition("=")[0].replace("-", "_")
        if not word.startswith("-"):
            if word not in _LAUNCH_MODULES:
                return at + 1
            at += 1
        else:
            at += 1 if option in _SWITCHES or "=" in word else 2
    return min(len(words), at)


def _options(words: Sequence[str]) -> tuple[list[str], dict[str, Json]]:
    """Words that belong to no option, and the options with their values; of one given twice, the last."""
    others: list[str] = []
    options: dict[str, Json] = {}
    open_for: str | None = None
    for word in words:
        option = None if _NEGATIVE.fullmatch(word) else _OPTION.fullmatch(word)
        setting = _SETTING.fullmatch(word)
        if option is not None:
            name, value = option[1].replace("-", "_"), option[2]
            if value is None and name.startswith("no_") and name not in _NAMED_NO:
                name, value = name[3:], False
            options[name] = True if value is None else _value(value)
            open_for = name if value is None else None
        elif open_for is not None and options[open_for] is True and not word.endswith(".py"):
            options[open_for] = _value(word)
        elif setting is not None:
            open_for = None
            options[setting[1]] = _value(setting[2])
        elif open_for is None or word.endswith(".py"):
            open_for = None
            others.append(word)
        else:
            held = options[open_for]
            options[open_for] = [*(held if isinstance(held, list) else [held]), _value(word)]
    return others, options


def _value(word: str | bool) -> Json:
    """What an option is given: a mapping or a list where it is written as JSON, and text otherwise."""
    if not isinstance(word, str) or not word.lstrip().startswith(("{", "[")):
        return word
    try:
        value: object = json.loads(word)
    except (ValueError, RecursionError):
        return word
    return cast("Json", value) if isinstance(value, dict | list) else word


def _check_settings(command: Command, name: str) -> None:
    """Raise where the settings stand in another file, which alone is given: `trl sft --config sft.yaml`."""
    if command.options.keys() - {"config"}:
        return
    given = command.options.get("config", command.words[-1])
    if isinstance(given, str) and _CONFIG_FILE.fullmatch(given):
        launcher = command.launcher.get("config_file")
        also = f", and --config {shown(launcher)} for how it is launched" if isinstance(launcher, str) else ""
        raise InputError(
            f"{name} runs {shown(' '.join(command.words))}, whose settings stand in {shown(given)}; "
            f"give that file: --config {shown(given)}{also}",
            field="config",
        )
