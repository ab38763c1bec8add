"""The constants of `planner.time`, fitted on the published speeds; and how far off they are on sources left out.

python -m profiler.speed.calibrate          what they come to, held out source by source
python -m profiler.speed.calibrate --write  planner/time/data/efficiency.csv and spread.csv, and held_out.csv here
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from planner.time import rates, spread
from profiler.speed.fit import ON_ONE_CARD, ON_SEVERAL, PRIOR, alone, fit
from profiler.speed.held_out import HeldOut, held_out, predictions, widths, write_held_out
from profiler.speed.runs import SpeedRun, predictable, published, sources_of
from profiler.speed.score import score_speeds
from profiler.speed.summary import summarize_speeds


def _write(values: Mapping[str, float], runs: Sequence[SpeedRun], found: Sequence[HeldOut]) -> None:
    fitted = {
        name: f"fitted on {len(own)} runs of {', '.join(sources_of(own))}; "
        f"drawn to {PRIOR[name][0]:g}: {PRIOR[name][1]}"
        for names, on_one in ((ON_ONE_CARD, True), (ON_SEVERAL, False))
        for own in [[run for run in runs if alone(run) == on_one]]
        for name in names
    }
    lines = [(name, f"{value:.4g}", fitted.get(name, PRIOR[name][1])) for name, value in values.items()]
    _write_csv(rates.DATA / "efficiency.csv", ("name", "value", "basis"), lines)
    rows = [(name, f"{item.low:.3f}", f"{item.high:.3f}", item.basis) for name, item in sorted(widths(found).items())]
    _write_csv(spread.DATA / "spread.csv", ("generation", "low", "high", "basis"), rows)
    write_held_out(predictions(found))


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _main(arguments: Sequence[str]) -> None:
    runs = predictable(published())
    values = fit(runs)
    found = [item for source in sources_of(runs) for item in held_out(runs, source)]
    for name, value in values.items():
        sys.stdout.write(f"{name:24} {value:.4g}\n")
    for item in summarize_speeds(score_speeds(published(), predictions(found))).held_out:
        if item.scored:
            sys.stdout.write(
                f"{item.source or item.group:24} {item.scored:4} runs  median {item.median:.1%}  90th percentile "
                f"{item.p90:.1%}  worst {item.worst:+.0%}  in the interval {item.coverage:.0%}\n"
            )
    if "--write" in arguments:
        _write(values, runs, found)


if __name__ == "__main__":
    _main(sys.argv[1:])
