"""The page on what articles claim.

Each figure stands beside what the planner computes for the same run, with a verdict and why.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal

from planner.catalogue import find_gpu, find_model
from planner.run import TrainingRun
from profiler.claims import VERDICTS, Claim, Judgement, Verdict, judge, read_claims
from profiler.claims.claim import ABOUT, COARSEST
from profiler.claims.words import capital, join, setting, with_unit
from reports.gallery import WRITE

PAGE = "claims.md"

QUANTITIES: dict[str, str] = {
    "base_weights": "base weights",
    "base_weights_fp32": "base weights in float32",
    "adapter_params": "adapter weights",
    "optimizer_state": "optimizer states",
    "gradients": "gradients",
    "total": "memory in all",
    "total_fp32": "memory in all, in float32",
    "trainable_params": "trained parameters",
    "all_params": "all parameters",
    "adapter_file": "adapter file",
    "bytes_per_param": "weights, gradients and optimizer states",
    "double_quant_saving": "saved by double quantization",
    "trainable_reduction": "fewer trained parameters",
    "unsloth_memory_saving": "memory saved by Unsloth",
    "unsloth_speedup": "speed-up by Unsloth",
    "fits": "it fits",
    "hours": "time",
    "cost": "cost",
}
"""What each quantity is called."""

METHODS = {"full": "full fine-tuning", "lora": "LoRA", "qlora": "QLoRA"}

MEANINGS: dict[Verdict, str] = {
    "right": "the plan of the run as stated agrees with the figure",
    "right for other settings": "it agrees for settings that the article leaves open, or states otherwise: which",
    "impossible": "no setting of the run as stated can make it so, and the row says why",
    "no setting explains it": "none of the settings tried gives it, though nothing proves that none could",
    "too little is stated": "the card or the amount of data is not named, and any cost is right for some of it: the "
    "row has what can be said",
}

ROW_BY_ROW = ("rank", "target_modules", "micro_batch_size", "sequence_length")
"""Fields whose assumed value a row names; those of the others are the same in all rows."""


def claims_page(judged: Sequence[tuple[Claim, Judgement]]) -> str:
    """The page in Markdown, of claims with what the planner makes of them."""
    articles: dict[str, list[tuple[Claim, Judgement]]] = {}
    for claim, judgement in judged:
        articles.setdefault(claim.article, []).append((claim, judgement))
    parts = [
        "# What articles claim, beside the plan",
        f"<!-- Written by `{WRITE}`: change that, not this. -->",
        f"{len(judged)} figures of {len(articles)} popular articles on fine-tuning, in our words, beside what the "
        "planner computes for the same runs.",
        _summary(articles),
        "\n".join(f"- **{capital(verdict)}**: {meaning}." for verdict, meaning in MEANINGS.items()),
        _conventions(),
    ]
    for title, rows in articles.items():
        parts += [f"## {_cell(capital(title))}", _table(rows)]
    parts += ["## To see it yourself", f"```\n{WRITE}    # this page\n```"]
    return "\n\n".join(parts) + "\n"


def _summary(articles: Mapping[str, Sequence[tuple[Claim, Judgement]]]) -> str:
    counts = {title: Counter(judgement.verdict for _, judgement in rows) for title, rows in articles.items()}
    lines = [f"| article | claims | {' | '.join(VERDICTS)} |", "|---|---:|" + "---:|" * len(VERDICTS)]
    for title, count in {**counts, "all": sum(counts.values(), Counter[Verdict]())}.items():
        cells = [_cell(title), str(count.total()), *(str(count[verdict]) for verdict in VERDICTS)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _conventions() -> str:
    lora, qlora = (TrainingRun(model="any", method=method) for method in ("lora", "qlora"))
    every = [setting(field, getattr(lora, field)) for field in ("base_dtype", "adapter_dtype", "optimizer")]
    every[0] += " (float16 on a card without bfloat16)"
    every.append(setting("gradient_checkpointing", lora.gradient_checkpointing))
    quantized = [setting(field, getattr(qlora, field)) for field in ("quantization", "double_quant", "prepare_kbit")]
    return "\n".join(
        [
            f"Where an article does not say, a run has this tool's defaults: {join(every)};",
            f"QLoRA: {join(quantized)}. A row names what else is assumed.",
            "GB is 10^9 bytes. Memory is what PyTorch's allocator reserves, with the range that it is expected in.",
            "A figure agrees within half a unit of its last digit other than zero, but never if it is more than",
            f"{COARSEST:.0%} off; a count that is written out, exactly; what an article calls approximate, within "
            f"{ABOUT:.0%}; a range, from",
            "end to end; and a figure or more, however much more.",
            "Hours are those of training alone. They agree where the claim lies in the range that is expected of them,",
            "and a cost agrees where its hours do; what is planned for a cost is those hours at the article's price.",
            "An example has as many tokens as the sequence is long, and is seen once where no epochs are named.",
            "Several cards share a run by FSDP.",
        ]
    )


def _table(rows: Sequence[tuple[Claim, Judgement]]) -> str:
    lines = ["| | run | claim | planned | verdict | why |", "|---|---|---|---:|---|---|"]
    for claim, judgement in rows:
        planned = "–" if judgement.computed is None else with_unit(judgement.computed, judgement.unit)
        cells = [claim.id, _run(claim), _claimed(claim), planned, judgement.verdict, _why(judgement)]
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(lines)


def _run(claim: Claim) -> str:
    """`Mistral-7B-v0.3, LoRA, rank 16, q_proj/v_proj, 8 x A100-80GB-SXM, batch 2, 9,000 examples, 2 epochs`."""
    parts = [_model(claim), METHODS[claim.method]]
    if claim.rank:
        parts.append(f"rank {claim.rank}")
    if claim.target_modules:
        parts.append(claim.target_modules.replace(",", "/").replace("all-linear", "all linear layers"))
    if claim.gpu:
        cards = f"{claim.n_gpus} x " if claim.n_gpus and claim.n_gpus > 1 else ""
        parts.append(cards + find_gpu(claim.gpu).gpu.name)
    if claim.batch_size:
        parts.append(f"batch {claim.batch_size}")
    if claim.seq_len:
        parts.append(f"{claim.seq_len:,} tokens")
    if claim.examples:
        parts.append(f"{claim.examples:,} examples")
    if claim.epochs:
        parts.append(f"{claim.epochs} epochs")
    return ", ".join(parts)


def _model(claim: Claim) -> str:
    if claim.matrix is not None:
        return f"one matrix of {claim.matrix[0]:,} x {claim.matrix[1]:,}"
    return find_model(claim.model or "").id.rpartition("/")[2]


def _claimed(claim: Claim) -> str:
    """`base weights: about 28 GB`."""
    what = QUANTITIES[claim.quantity]
    if claim.figure is None:
        return what
    first, dash, last = claim.figure.text.removesuffix("+").partition("-")
    ends = [f"{Decimal(end):,f}" for end in (first, last) if end]
    about = "about " if claim.figure.about else ""
    more = " or more" if claim.figure.text.endswith("+") else ""
    return f"{what}: {about}{with_unit('–'.join(ends) if dash else ends[0], claim.unit)}{more}"


def _why(judgement: Judgement) -> str:
    left_open = [setting(*item) for item in judgement.assumed if item[0] in ROW_BY_ROW]
    return f"{judgement.why} Assumed: {join(left_open)}." if left_open else judgement.why


def _cell(text: str) -> str:
    """Text as it stands, in a cell of a Markdown table; an underscore within a word needs nothing."""
    return re.sub(r"([\\`*|<>\[\]~]|\b_|_\b)", r"\\\1", " ".join(text.split()))


def claims_files() -> dict[str, bytes]:
    """The page as it is now, by the name of its file."""
    return {PAGE: claims_page([(claim, judge(claim)) for claim in read_claims()]).encode()}
