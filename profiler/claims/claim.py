"""`Claim`: one figure of an article with the run it is about, and the file that holds them.

`claims.csv` has one claim a line. A blank cell is something that the article does not say. `claimed` is the figure as
the article writes it (`30-40`, `560+`, `yes`), in `unit`; `about` is `yes` where the article calls it approximate.
`hours` and `usd_per_hour` are what the article computes a cost from; `instead_of` is the claim (by its id, further up)
of the cost that it compares this one with.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

CLAIMS = Path(__file__).parent / "claims.csv"

ABOUT = 0.05
"""How far a figure that an article calls approximate may be off and still be taken as right."""

COARSEST = 0.10
"""The most that the rounding of a figure is taken to hide: `5` may be 4.5 to 5.5, but `10` not 5 to 15."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A claimed figure, in the claim's unit: what it says, and what a computed figure may be to agree with it."""

    text: str
    low: float
    high: float
    about: bool

    def holds(self, value: float) -> bool:
        """Whether a computed figure agrees with it."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim; None: the article does not say."""

    id: str
    article: str
    """Its title, or what it is."""
    model: str | None
    method: str
    rank: int | None
    target_modules: str | None
    """As PEFT's `target_modules`: `all-linear`, or names with commas between them; or the article's words."""
    matrix: tuple[int, int] | None
    """Rows and columns, where the claim is about one matrix and no model."""
    gpu: str | None
    n_gpus: int | None
    batch_size: int | None
    seq_len: int | None
    examples: int | None
    epochs: int | None
    quantity: str
    figure: Figure | None
    """None where the claim is a plain yes."""
    unit: str
    hours: Decimal | None
    usd_per_hour: Decimal | None
    instead_of: Claim | None = None
    """The dearer run that the article compares this one with."""


def read_claims(path: Path = CLAIMS) -> list[Claim]:
    """The claims of a file, in its order."""
    claims: dict[str, Claim] = {}
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            claims[row["id"]] = _claim(row, claims)
    return list(claims.values())


def figure(text: str, unit: str = "", *, about: bool = False) -> Figure:
    """What `text` claims: `36.7`, `50e6`, a range `30-40`, or `560+` for that much or more.

    A single figure is held to half a unit of its last digit other than zero (`140` is 135 to 145), but to no more than
    `COARSEST`; a count that is written out, to its last digit. A range is taken from end to end. What is called
    approximate may also be `ABOUT` off.
    """
    first, dash, last = text.removesuffix("+").partition("-")
    low, high = float(first), float(last if dash else first)
    if dash:
        below = above = 0.0
    else:
        below = above = min(_half_unit(first, written_out=unit == "count" and first.isdigit()), COARSEST * low)
    if about:
        below, above = max(below, ABOUT * low), max(above, ABOUT * high)
    return Figure(text, low - below, math.inf if text.endswith("+") else high + above, about)


def _half_unit(text: str, *, written_out: bool) -> float:
    number = Decimal(text)
    exponent = (number if written_out else number.normalize()).as_tuple().exponent
    assert isinstance(exponent, int)  # not infinity, not NaN
    return 0.5 * 10.0**exponent


def _claim(row: dict[str, str], before: Mapping[str, Claim]) -> Claim:
    matrix = [int(side) for side in row["matrix"].split("x")] if row["matrix"] else None
    plain_yes = row["claimed"] == "yes"
    return Claim(
        id=row["id"],
        article=row["article"],
        model=row["model"] or None,
        method=row["method"],
        rank=_whole(row["rank"]),
        target_modules=row["target_modules"] or None,
        matrix=(matrix[0], matrix[1]) if matrix else None,
        gpu=row["gpu"] or None,
        n_gpus=_whole(row["n_gpus"]),
        batch_size=_whole(row["batch_size"]),
        seq_len=_whole(row["seq_len"]),
        examples=_whole(row["examples"]),
        epochs=_whole(row["epochs"]),
        quantity=row["quantity"],
        figure=None if plain_yes else figure(row["claimed"], row["unit"], about=row["about"] == "yes"),
        unit=row["unit"],
        hours=Decimal(row["hours"]) if row["hours"] else None,
        usd_per_hour=Decimal(row["usd_per_hour"]) if row["usd_per_hour"] else None,
        instead_of=before[row["instead_of"]] if row["instead_of"] else None,
    )


def _whole(text: str) -> int | None:
    return int(text) if text else None
