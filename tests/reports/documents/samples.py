"""Charts and documents made by hand, and text that nobody should trust."""

from __future__ import annotations

from reports.charts.chart import Chart, GroupedBars, Point, Points, Range, Ranges, Series, StackedBars
from reports.documents.blocks import (
    Block,
    Bullets,
    Code,
    CodeBlock,
    Document,
    Folded,
    Link,
    Paragraph,
    Picture,
    Section,
    Strong,
    Table,
)

MEMORY = StackedBars(
    name="memory",
    title="GPU memory at each instant of a step",
    unit="GiB",
    bars=("load", "end of forward", "loss", "first backward block", "last backward block", "optimizer step"),
    parts=(
        Series("base weights", (5.6, 5.6, 5.6, 5.6, 5.6, 5.6)),
        Series("adapters", (0.16, 0.16, 0.16, 0.16, 0.16, 0.16)),
        Series("optimizer states", (None, 0.31, 0.31, 0.31, 0.31, 0.31)),
        Series("gradients", (0, 0, 0, 0.01, 0.16, 0.16)),
        Series("saved activations", (0, 4.4, 4.4, 4.4, 0.3, 0)),
        Series("logits and loss", (0, 0, 3.9, 0.5, 0, 0)),
        Series("temporaries", (0, 0.1, 0.2, 0.9, 0.9, 0.02)),
        Series("cuBLAS workspaces", (0, 0.01, 0.01, 0.01, 0.01, 0.01)),
        Series("allocator's cache", (0.1, 0.5, 0.4, 3.1, 7.5, 8.7)),
    ),
    limit=("usable on RTX-4090-24GB", 23.18),
)
KNOWN = GroupedBars(
    name="reconciliation",
    title="Three ways of knowing the peak",
    unit="GiB",
    groups=("base weights", "adapters", "optimizer states", "saved activations", "logits and loss", "temporaries"),
    bars=(
        Series("estimated", (5.6, 0.16, 0.31, 4.4, 3.9, 0.2)),
        Series("simulated", (5.6, 0.16, 0.31, 4.38, 3.95, 0.22)),
        Series("measured", (5.61, 0.16, 0.31, None, None, 0.25)),
    ),
)
OFFERS = Ranges(
    name="cost",
    title="What the run costs on each offer",
    unit="USD a run",
    rows=(
        Range("vast · RTX-4090 (interruptible)", 0.62, 0.81, 1.4),
        Range("runpod · RTX-4090", 1.02, 1.31, 1.62, emphasis=True),
        Range("lambda · gpu_1x_a10", 2.2, 2.9, 3.7),
        Range("aws · g6e.xlarge", 3.4, 4.04, 4.9),
        Range("gcp · a2-ultragpu-1g", 5.3, 6.1, 6.9),
    ),
)
FRONTIER = Points(
    name="frontier",
    title="Cheaper or faster: what nothing beats in both",
    x_title="hours",
    y_title="USD a run",
    points=(
        Point("H100-80GB-SXM · lambda", 0.9, 2.7),
        Point("L40S · runpod", 2.1, 1.9),
        Point("RTX-4090 · runpod", 2.9, 1.31, emphasis=True),
        Point("RTX-4090 · vast", 3.0, 0.81),
        Point("T4 · gcp", 11.4, 0.78),
    ),
)
CHARTS: dict[str, Chart] = {chart.name: chart for chart in (MEMORY, KNOWN, OFFERS, FRONTIER)}

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "' onmouseover='alert(1)",
    "[x](javascript:alert(1))",
    "![x](https://evil.example/x.png)",
    "<https://evil.example>",
    "see https://evil.example/?a=b and www.evil.example, mail me@evil.example",
    "@octocat fixes #123, GH-7, owner/repo#9 :tada:",
    "a | b || c",
    "**bold** __bold__ *i* _i_ ~~gone~~ ~gone~",
    "`code` ``more`` ```",
    "$x^2$ costs $5, $$y$$, $`z`$",
    "&lt;b&gt; &amp;amp; &#x41; &copy",
    "# title #",
    "- item",
    "+ item",
    "1. first",
    "2) second",
    "> said",
    "---",
    "===",
    "    code",
    "| a |\n| - |\n| b |",
    "two\nlines\r\nor  three\u2028four",
    "ends in a backslash \\",
    "\\* not bold \\*",
    "<!-- gone -->",
    "<details><summary>",
    "[ref]: https://evil.example",
    "[^1]",
    "- [ ] task",
    "zero\u200bwidth \u202eright to left\u202c \u2066x\u2069 \ufeff",
    "nul \x00 bell \x07 escape \x1b[31mred\x1b[0m delete \x7f",
    "half a pair \ud800",
    "模型 модель नमस्ते",
    "דגם מכוונן",
    "e\u0301 and 👩\u200d💻",
    "a" * 300,
    "word " * 80,
    "",
    " ",
)


def charts_named(text: str) -> tuple[Chart, ...]:
    """A chart of each kind in which every name is `text`."""
    series = (Series(text, (1.0, 2.0)), Series(text, (None, 3.0)))
    return (
        StackedBars("memory", text, text, (text, text), series, (text, 4.0)),
        GroupedBars("groups", text, text, (text, text), series),
        Ranges("ranges", text, text, (Range(text, 1, 2, 3), Range(text, 2, 2, 2, emphasis=True))),
        Points("points", text, text, text, (Point(text, 1, 3), Point(text, 2, 1, emphasis=True))),
    )


def document_of(text: str, *, charts: bool = True) -> Document:
    """A document in which every text is `text`."""
    words = (text, Code(text), Strong(text), Link(text, "https://example.com/"), text)
    blocks: tuple[Block, ...] = (
        Paragraph(text),
        Paragraph(words),
        Bullets((text, words)),
        Bullets((text, words), numbered=True),
        Table((text, text), ((text, words), (words, text)), total=True),
        CodeBlock(text, "bash"),
    )
    pictures = tuple(Picture(chart, text) for chart in charts_named(text)) if charts else ()
    return Document(text, blocks, (Section(text, (*blocks, *pictures, Folded(text, blocks))),))


def report() -> Document:
    """A report as people get it, with a chart of each kind."""
    return Document(
        "Llama-3.1-8B QLoRA on RTX-4090-24GB",
        (
            Paragraph((Strong("It fits"), ": 17.4 GiB reserved at the peak of 23.2 GiB usable.")),
            Paragraph(
                ("2.9 h and ", Strong("$1.31"), " a run on ", Link("runpod", "https://www.runpod.io/pricing"), ".")
            ),
        ),
        (
            Section(
                "Memory",
                (
                    Picture(MEMORY, "Stacked bars: 5.9 GiB at load, 17.4 GiB at most, below the 23.2 GiB usable."),
                    Table(
                        ("component", "GiB", "share"),
                        (
                            ("base weights", "5.60", "32%"),
                            ("saved activations", "4.40", "25%"),
                            ("allocator's cache", "3.10", "18%"),
                            ("in all", "17.42", "100%"),
                        ),
                        total=True,
                    ),
                    Picture(KNOWN, "Estimate, simulation and measurement of each component agree within 0.1 GiB."),
                ),
            ),
            Section(
                "Time and cost",
                (
                    Picture(OFFERS, "Five offers from $0.81 to $6.10 a run."),
                    Table(
                        ("provider", "instance", "time", "USD a run", "price of"),
                        (
                            ("vast", Code("RTX 4090"), "3.0 h", "$0.81", "2026-11-02"),
                            ("runpod", Code("RTX 4090"), "2.9 h", "$1.31", "2026-11-20"),
                            ("lambda", Code("gpu_1x_h100_sxm5"), "54 min", "$2.70", "2026-11-20"),
                            ("gcp", Code("a2-ultragpu-1g"), "1.4 h", "$10.10", "–"),
                        ),
                        left=2,
                    ),
                    Picture(FRONTIER, "The frontier: from 0.9 h for $2.70 to 11.4 h for $0.78."),
                ),
            ),
            Section(
                "How to reproduce it",
                (
                    Bullets(("write the run to a file", ("run ", Code("lora-plan report --run run.yaml")))),
                    CodeBlock("model: llama-3.1-8b\nmethod: qlora\ngpu: rtx-4090\n", "yaml"),
                    Folded(
                        "Assumptions",
                        (Bullets(("the batch is full", "nothing else is on the card"), numbered=True),),
                    ),
                ),
            ),
        ),
    )
