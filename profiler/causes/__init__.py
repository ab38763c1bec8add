"""Why an estimate or a simulation is off from what was measured: small rules, each checked against numbers."""

from __future__ import annotations

from profiler.causes.evidence import Cause, Evidence, Gap, gaps, reason_sentence
from profiler.causes.levels import cached_memory, context, shared_card
from profiler.causes.settings import other_setting
from profiler.causes.sizes import (
    dequantized_weights,
    factor_of_two,
    kernel_scratch,
    logits_copies,
    other_column_agrees,
    square_buffers,
)
from profiler.causes.speed import first_steps, power_limit, slow_clocks, unexplained_time

OF_A_LINE = (
    other_setting,
    logits_copies,
    factor_of_two,
    square_buffers,
    dequantized_weights,
    other_column_agrees,
    kernel_scratch,
)
"""What can explain a component at the peak, most specific first: the first that does is given."""

OF_LEVELS = (cached_memory, context, shared_card)
OF_TIME = (first_steps, slow_clocks, power_limit)


def likely_causes(evidence: Evidence) -> tuple[Cause, ...]:
    """Of each large difference in memory, and of a step that is slower or faster than its interval; in that order."""
    causes = [_of_line(evidence, gap) for gap in gaps(evidence)]
    for rule in OF_LEVELS:
        causes += rule(evidence)
    of_time = [cause for rule in OF_TIME for cause in rule(evidence)]
    return (*causes, *(of_time or unexplained_time(evidence)))


def _of_line(evidence: Evidence, gap: Gap) -> Cause:
    for rule in OF_A_LINE:
        if reason := rule(evidence, gap):
            return Cause(gap.line, gap.said - gap.measured, reason_sentence(gap, reason))
    unknown = "not explained by any setting, version or buffer that was tried"
    return Cause(gap.line, gap.said - gap.measured, reason_sentence(gap, unknown))
