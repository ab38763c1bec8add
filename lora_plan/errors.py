"""Errors of the command line itself."""

from __future__ import annotations

from planner.errors import InputError


class UsageError(InputError):
    """Options and commands that do not exist, lack a value, or do not go together."""
