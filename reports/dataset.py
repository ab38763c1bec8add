"""What a dataset's examples are like: how many, how long, what was taken for their text, and what was skipped."""

from __future__ import annotations

from planner.catalogue.spelling import shown
from planner.dataset import LengthProfile
from reports.page import Page

PERCENTILES = (50, 90, 99)


def dataset_section(profile: LengthProfile, sequence_length: int, page: Page) -> list[str]:
    """Lines under a heading; `sequence_length` is where the run cuts examples."""
    sentences = dataset_sentences(profile, sequence_length)
    return [page.heading("Dataset"), *(line for sentence in sentences for line in page.wrap(sentence, rest="    "))]


def dataset_sentences(profile: LengthProfile, sequence_length: int) -> list[str]:
    """What it is, how long its examples are, and what is cut or skipped."""
    layouts = ", ".join(
        f"{shown(name, 40)} ({count:,})" if len(profile.layouts) > 1 else shown(name, 40)
        for name, count in profile.layouts
    )
    percentiles = ", ".join(f"{profile.percentile(percent):,} at {percent} %" for percent in PERCENTILES)
    sentences = [
        f"{profile.examples:,} examples of {shown(profile.source, 60)}: {layouts}; {profile.counted}",
        f"tokens: {profile.tokens:,} in all, {profile.mean:,.0f} on average, "
        f"{percentiles}, {profile.longest:,} at most",
    ]
    cut = profile.truncation(sequence_length)
    if cut.examples:
        sentences.append(
            f"{cut.examples:,} are longer than {sequence_length:,} tokens and are cut: "
            f"{100 * cut.tokens / profile.tokens:.2g} % of all tokens are lost"
        )
    for skipped in profile.skipped:
        more = ", ..." if skipped.rows > len(skipped.first) else ""
        sentences.append(
            f"skipped: {skipped.rows:,} {skipped.reason} ({profile.unit} {', '.join(map(str, skipped.first))}{more})"
        )
    return sentences


def dataset_json(profile: LengthProfile, sequence_length: int) -> dict[str, object]:
    """The same as JSON."""
    cut = profile.truncation(sequence_length)
    return {
        "source": profile.source,
        "examples": profile.examples,
        "tokens": profile.tokens,
        "mean": profile.mean,
        "percentiles": {str(percent): profile.percentile(percent) for percent in PERCENTILES},
        "longest": profile.longest,
        "layouts": dict(profile.layouts),
        "counted": profile.counted,
        "truncated": {"sequence_length": sequence_length, "examples": cut.examples, "tokens": cut.tokens},
        "skipped": [
            {"reason": skipped.reason, "rows": skipped.rows, "first": list(skipped.first)}
            for skipped in profile.skipped
        ],
        "unit": profile.unit,
        "assumptions": list(profile.assumptions),
    }
