"""What was checked, for people: one line a limit."""

from __future__ import annotations

from collections.abc import Sequence

from reports.checks.checked import CheckedRun, LimitCheck, broken
from reports.comparison.sentence import sentence
from reports.comparison.sides import Planned, Unplanned
from reports.page import Page
from reports.trainer_config import uncounted_lines


def check_text(runs: Sequence[CheckedRun], page: Page) -> str:
    """Each run with its limits, ok or broken and by how much; then how many are broken."""
    lines: list[str] = []
    for run in runs:
        lines += [*_run(run, page), ""]
    lines += page.wrap(result(runs))
    return page.finish(lines)


def result(runs: Sequence[CheckedRun]) -> str:
    """`1 of 3 runs breaks its limits; 1 of 3 runs cannot be checked`"""
    refused = sum(run.refused for run in runs)
    beyond = broken(runs) - refused
    parts: list[str] = []
    if beyond:
        parts.append(f"{_of(beyond, runs)} {'breaks its' if beyond == 1 else 'break their'} limits")
    if refused:
        parts.append(f"{_of(refused, runs)} cannot be checked")
    if not parts:
        parts.append(f"{_of(len(runs), runs)} within {'its' if len(runs) == 1 else 'their'} limits")
    return "; ".join(parts)


def _of(count: int, runs: Sequence[CheckedRun]) -> str:
    """`2 of 3 runs`; `3 runs` where that is all."""
    whole = "1 run" if len(runs) == 1 else f"{len(runs):,} runs"
    return whole if count == len(runs) else f"{count:,} of {whole}"


def _run(run: CheckedRun, page: Page) -> list[str]:
    lines = [page.style(line, "bold") for line in page.wrap(run.name, first="")]
    if isinstance(run.side, Unplanned) and run.side.refused:
        lines += _marked("error", run.side.reason, page)
    else:
        lines += [line for check in run.limits for line in _limit(check, page)]
    if isinstance(run.side, Planned):
        lines += uncounted_lines(run.side.reading, page)
    if run.base is not None:
        lines += page.wrap(f"compared with before: {sentence(run.base, run.side)}", rest="    ")
    elif run.compared:
        lines += page.wrap("not there before")
    return lines


def _limit(check: LimitCheck, page: Page) -> list[str]:
    return _marked("ok" if check.ok else "broken", f"{check.name}: {check.text}", page)


def _marked(mark: str, text: str, page: Page) -> list[str]:
    head, *more = page.wrap(text, first=f"  {mark:<8}", rest=" " * 10)
    colour = "green" if mark == "ok" else "red"
    return [head.replace(mark, page.style(mark, colour), 1), *more]
