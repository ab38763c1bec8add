"""The gallery's first page."""

from __future__ import annotations

from reports.gallery import WRITE
from reports.gallery.samples import SAMPLES

INDEX = "README.md"


def index_page() -> bytes:
    """What there is to see, and the command that each report is from."""
    lines = [
        "# What lora-plan writes",
        "",
        f"<!-- Written by `{WRITE}`: change that, not this. -->",
        "",
        f"Each page is what its command wrote, run in this folder; `{WRITE}` runs them all anew, and CI",
        "checks that the pages are current.",
        "",
    ]
    for sample in SAMPLES:
        first, *others = sample.endings
        more = "".join(f" ([as a page]({sample.name}{ending}))" for ending in others)
        lines.append(f"- [{sample.title}]({sample.name}{first}){more}: `lora-plan {sample.command}`")
    lines += [
        "- [How accurate it is](accuracy.md), against published runs: the scoreboard",
        "- [What articles claim](claims.md), beside the plan",
    ]
    return ("\n".join(lines) + "\n").encode()
