"""What the planner makes of a claim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Verdict = Literal["right", "right for other settings", "impossible", "no setting explains it", "too little is stated"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with what it rests on."""

    verdict: Verdict
    computed: float | None
    """For the run as the article states it and this tool's defaults, in `unit`; None where it cannot be computed."""
    unit: str
    assumed: tuple[tuple[str, object], ...]
    """Fields of the run that move the figure and that the article leaves open, with the defaults taken."""
    why: str
    """In a sentence or two."""
    settings: tuple[str, ...] = ()
    """In words: the settings it is right for, where they are not those stated and assumed."""
