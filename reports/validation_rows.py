"""One row of a validation explained: what was run, how far off it is, and what the prediction is made of."""

from __future__ import annotations

from planner.run import TrainingRun
from profiler.validate.score import Score
from profiler.validate.worst import Explained
from reports.components import CACHE, component, instant
from reports.figures import gib_number, signed_share
from reports.page import Page
from reports.verdict import model_title

LONGEST = 40
"""Characters shown of a name that a file may make up."""


def row_section(place: int, row: Explained, page: Page) -> list[str]:
    """The row's name and error; under it a sentence for each thing that is known of it."""
    source = f" ({printable(row.score.source)})" if row.score.source else ""
    title = f"{place}. {printable(row.score.id, 200)}{source}: {signed_share(row.score.error or 0.0)}"
    sentences = [
        run_line(row.run, row.score.method, row.gpu),
        _peaks(row.score),
        _ledger(row.score),
        *_reservations(row),
    ]
    return [
        *(page.heading(line) for line in page.wrap(title, first="", rest="   ")),
        *(line for sentence in sentences for line in page.wrap(sentence, first="   ")),
    ]


def run_line(run: TrainingRun, method: str, gpu: str | None) -> str:
    """A run in one line: `Mistral-7B-v0.1 lora, a100-80, 4 × 4,096 tokens, rank 16, ...`. method: its source's word."""
    fields = run.to_dict()
    parts = [
        f"{model_title(run)} {printable(method)}",
        f"{run.num_gpus} × {gpu or 'GPU'} with {run.strategy}" if run.num_gpus > 1 else gpu,
        f"{run.micro_batch_size} × {run.sequence_length:,} tokens",
        f"rank {run.rank}" if fields["rank"] is not None else None,
        run.quantization if run.quantization != "none" else None,
        f"{run.base_dtype} with {run.mixed_precision} autocast" if run.mixed_precision != "no" else run.base_dtype,
        "checkpointing" if run.gradient_checkpointing else "no checkpointing",
        run.attention,
        f"{run.kernels} kernels",
        run.optimizer,
        f"trained by {run.trainer}",
    ]
    return ", ".join(part for part in parts if part)


def printable(text: str, longest: int = LONGEST) -> str:
    """What a file calls something: on one line, without control characters, and cut where it is long."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return line if len(line) <= longest else f"{line[: longest - 2]}.."


def _peaks(score: Score) -> str:
    predicted = gib_number(score.predicted or 0)
    if score.low is not None and score.high is not None:
        predicted += f" ({gib_number(score.low)}–{gib_number(score.high)})"
    return f"{score.level}: measured {gib_number(score.measured)}, predicted {predicted} GiB"


def _ledger(score: Score) -> str:
    """The predicted peak by component; at the level reserved, with what the allocator holds beside them."""
    sizes = {component(name).label: size for name, size in score.components.items() if size}
    if score.level == "reserved" and score.predicted:
        sizes[CACHE.label] = score.predicted - sum(score.components.values())
    lines = ", ".join(f"{label} {gib_number(size)}" for label, size in sizes.items())
    return f"{instant(score.instant or 'peak')}: {lines}"


def _reservations(row: Explained) -> list[str]:
    fitted = [f"{name} {getattr(row.run, name)}" for name in row.fitted]
    return [
        *([f"not stated: {', '.join(row.score.unknown)}"] if row.score.unknown else []),
        *([f"fitted for the source: {', '.join(fitted)}"] if fitted else []),
        *([f"transformers {row.run.transformers_version}: {'; '.join(row.otherwise)}"] if row.otherwise else []),
    ]
