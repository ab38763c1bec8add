"""The options of every command that takes a job, and the `Job` that they describe."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from lora_plan.arguments import Arguments, Option
from lora_plan.errors import UsageError
from lora_plan.options import number
from planner.errors import InputError

if TYPE_CHECKING:
    from planner.dataset import LengthProfile
    from planner.job import Job
    from planner.trainer_configs import Reading

JOB = "Job"

JOB_OPTIONS = (
    Option("examples", "--examples", JOB, "N", "Rows of the dataset, as 50000 or 50k."),
    Option("tokens", "--tokens", JOB, "N", "Tokens of all examples together, once over, as 12M."),
    Option("dataset", "--dataset", JOB, "FILE", "A .jsonl, .json, .csv or .parquet file to read the lengths from."),
    Option("tokenizer", "--tokenizer", JOB, "NAME", "Counts its tokens: a folder, or a model of the local cache."),
    Option("characters_per_token", "--characters-per-token", JOB, "X", "Without a tokenizer. [default: 4]"),
    Option("text_field", "--text-field", JOB, "NAME", "The field of its text. [default: text, messages, ...]"),
    Option("epochs", "--epochs", JOB, "X", "Times over the dataset. [default: 1]"),
    Option("max_steps", "--max-steps", JOB, "N", "Optimizer steps to stop at, whatever the epochs."),
    Option("eval_split", "--eval-split", JOB, "X", "Share of the examples kept for evaluation. [default: 0]"),
    Option("save_steps", "--save-steps", JOB, "N", "Steps between checkpoints; 0 for none. [default: 500]"),
    Option("merge", "--merge", JOB, "", "Merge the adapter into the base afterwards."),
    Option("download_mbps", "--download-mbps", JOB, "X", "Megabits a second at which the model arrives."),
)

_FLAGS = {option.name: option.flag for option in JOB_OPTIONS} | {"download_bytes_per_s": "--download-mbps"}
"""What a field of the job, or an argument about it, is called on the command line."""

_AMOUNTS = ("examples", "tokens", "dataset")
_OF_A_DATASET = ("tokenizer", "characters_per_token", "text_field")
_COUNTS = ("examples", "tokens", "max_steps", "save_steps")
_NUMBERS = ("epochs", "eval_split")
_SUFFIXES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
_COUNT = re.compile(r"([0-9][0-9,_]{0,30})(?:\.([0-9]{1,9}))?([kmb]?)", re.IGNORECASE)


def job_of(arguments: Arguments, reading: Reading | None = None, *, bar: bool = True) -> Job | None:
    """The job that was described; None where nothing says how much there is to train on.

    reading: of a trainer's config, which gives what no option does: epochs, steps, checkpoints.
    A dataset is read here, with a bar on a terminal where it is large, unless `bar` is false. Raises `InputError`
    naming the flag or the file.
    """
    given = [name for name in (option.name for option in JOB_OPTIONS) if arguments[name] is not None]
    if not any(name in given for name in _AMOUNTS):
        if given:
            raise UsageError(
                f"{_FLAGS[given[0]]} says nothing without a job; give --examples, --tokens or --dataset too",
                field=given[0],
            )
        return None
    for name in _OF_A_DATASET:
        if name in given and "dataset" not in given:
            raise UsageError(f"{_FLAGS[name]} is about a dataset; name its file with --dataset", field=name)
    from planner.job import Job

    fields: dict[str, object] = dict(reading.job) if reading is not None else {}
    fields |= {name: _count(arguments.text(name) or "", name) for name in _COUNTS if name in given}
    fields |= {name: number(arguments.text(name) or "", _FLAGS[name], "a number") for name in _NUMBERS if name in given}
    speed = arguments.text("download_mbps")
    if speed is not None:
        fields["download_bytes_per_s"] = _bytes_per_s(speed)
    if arguments.on("merge"):
        fields["merge"] = True
    for name in ("examples", "tokens"):
        if name in given and "dataset" in given:
            raise UsageError(f"--dataset says what {_FLAGS[name]} says; give one of them", field=name)
    try:
        # before a dataset is read, which may take minutes
        if "dataset" in given:
            Job(**{**fields, "tokens": 10**9})  # pyright: ignore[reportArgumentType]
            fields["lengths"] = _profile(arguments, bar)
        return Job(**fields)  # pyright: ignore[reportArgumentType]
    except InputError as error:
        message, flag, field = str(error), _FLAGS.get(error.field or ""), error.field or ""
        origin = reading.origin(field) if reading is not None and field not in given else None
        if origin is not None:
            message = f"{origin}: {message}"
        elif flag is not None and message.startswith(f"{error.field} "):
            message = flag + message.removeprefix(error.field or "")
        raise InputError(message, field=error.field) from None


def _profile(arguments: Arguments, bar: bool) -> LengthProfile:
    from lora_plan.progress import ProgressBar
    from planner.dataset import profile_dataset

    text = arguments.text("characters_per_token")
    per_token = None if text is None else number(text, _FLAGS["characters_per_token"], "a number, such as 4")
    drawn = ProgressBar()

    def tell(share: float) -> None:
        drawn.tell("reading the dataset", share)

    with contextlib.closing(drawn):
        return profile_dataset(
            arguments.text("dataset") or "",
            characters_per_token=per_token,
            tokenizer=arguments.text("tokenizer"),
            text_field=arguments.text("text_field"),
            progress=tell if bar else None,
        )


def _count(text: str, name: str) -> int:
    """`50000`, `50_000`, `50,000`, `50k`, `12.5M`."""
    match = _COUNT.fullmatch(text.strip())
    if match is not None:
        whole, decimals, suffix = match[1].replace(",", "").replace("_", ""), match[2] or "", match[3].lower()
        value, left = divmod(int(whole + decimals) * _SUFFIXES[suffix], 10 ** len(decimals))
        if not left:
            return value
    raise InputError(f"{_FLAGS[name]} must be a whole number, such as 50000 or 50k, not {text[:80]!r}", field=name)


def _bytes_per_s(text: str) -> float:
    rate = number(text, "--download-mbps", "a number of megabits a second")
    if not 0.008 <= rate <= 8_000_000:
        raise InputError(
            f"--download-mbps must be a number of megabits a second from 0.008 to 8,000,000, not {text[:80]!r}",
            field="download_mbps",
        )
    return rate * 125_000
