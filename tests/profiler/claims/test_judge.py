"""Every claim gets a verdict from its quantity and figure, and from nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from profiler.claims import VERDICTS, Claim, judge, read_claims
from profiler.claims.judge import JUDGES

CLAIMS = read_claims()
FIRST = {claim.quantity: claim for claim in reversed(CLAIMS) if claim.quantity not in ("total", "fits", "cost")}


def test_every_quantity_of_the_file_has_a_function() -> None:
    assert {claim.quantity for claim in CLAIMS} == set(JUDGES)


@pytest.mark.parametrize("claim", FIRST.values(), ids=FIRST)
def test_a_verdict_agrees_with_the_figures_beside_it(claim: Claim) -> None:
    found = judge(claim)
    assert found.verdict in VERDICTS
    assert found.why.endswith(".")
    agrees = claim.figure is not None and found.computed is not None and claim.figure.holds(found.computed)
    if claim.quantity != "hours":  # which are held to the range they are expected in (test_times.py)
        assert agrees == (found.verdict == "right")
    assert bool(found.settings) == (found.verdict == "right for other settings")


@pytest.mark.parametrize("claim", FIRST.values(), ids=FIRST)
def test_no_claim_is_judged_by_its_name(claim: Claim) -> None:
    assert judge(replace(claim, id="z99", article="another")) == judge(claim)
