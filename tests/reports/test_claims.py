"""The page on claims: every claim is on it, and nothing breaks its tables."""

from __future__ import annotations

import re

import pytest

from profiler.claims import Claim, Judgement, read_claims
from profiler.claims.judge import JUDGES
from reports.claims import PAGE, QUANTITIES, claims_files, claims_page
from tests.profiler.claims.claims import claimed


@pytest.fixture(scope="module")
def page() -> str:
    return claims_files()[PAGE].decode()


def row(claim: Claim, judgement: Judgement) -> str:
    return next(line for line in claims_page([(claim, judgement)]).splitlines() if line.startswith("| x "))


def test_every_claim_has_a_row_and_the_counts_add_up(page: str) -> None:
    ids = [claim.id for claim in read_claims()]
    assert re.findall(r"^\| ([a-e]\d\d) \|", page, re.MULTILINE) == ids
    totals = next(line for line in page.splitlines() if line.startswith("| all "))
    total, *verdicts = (int(cell) for cell in totals.strip("| ").split(" | ")[1:])
    assert total == sum(verdicts) == len(ids)


def test_every_quantity_has_a_name() -> None:
    assert set(QUANTITIES) == set(JUDGES)


def test_a_row_says_what_is_claimed_planned_and_assumed() -> None:
    claim = claimed("total", "8-10", "GB", about=True, rank=16, gpu="t4", batch_size=2)
    judgement = Judgement("right", 9.5, "GB", (("sequence_length", 2048), ("optimizer", "sgd")), "Because.")
    assert row(claim, judgement) == (
        "| x | Llama-2-7b-hf, LoRA, rank 16, T4, batch 2 | memory in all: about 8–10 GB | 9.5 GB | right "
        "| Because. Assumed: 2,048 tokens. |"
    )


def test_what_is_not_computed_is_a_dash() -> None:
    cells = row(claimed("cost", "2000+", "USD"), Judgement("too little is stated", None, "USD", (), "No."))
    assert "| cost: 2,000 USD or more | – | too little is stated | No. |" in cells


def test_text_cannot_break_out_of_its_cell() -> None:
    hostile = "a | b\nc *d* [e](f) _g_ h_i `j` <k>"
    cells = row(claimed("fits", gpu="t4"), Judgement("right", None, "", (), hostile))
    assert cells.endswith(r"| a \| b c \*d\* \[e\](f) \_g\_ h_i \`j\` \<k\> |")
