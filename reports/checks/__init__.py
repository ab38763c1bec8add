"""Runs held to limits: what `lora-plan check` finds, and how it says so."""

from reports.checks.checked import CheckedRun, LimitCheck, check_run
from reports.checks.limits import Limits

__all__ = ["CheckedRun", "LimitCheck", "Limits", "check_run"]
