"""Regular expressions that users write, matched without letting one hang the plan."""

from __future__ import annotations

import re
from collections.abc import Iterable

from planner.errors import InputError

SECONDS = 2.0
"""What a complicated expression may take on all names of a model together."""

_QUANTIFIER = re.compile(r"[*+{]|(?<![(*+}?])\?")

# -I and -S: no user code and no site packages, which also makes the start quick
_WORKER = (
    "import json, re, sys; pattern, names = json.load(sys.stdin); "
    "match = re.compile(pattern).fullmatch; print(json.dumps([n for n in names if match(n)]))"
)


def matching(pattern: str, names: Iterable[str], *, field: str) -> set[str]:
    """The names that `pattern` matches in full.

    A backtracking matcher can take exponential time when quantifiers are nested or many. An expression
    with a quantified group, or with more than three quantifiers or groups, is matched in another process
    that is stopped after `SECONDS`. Raises `InputError` for one that takes longer, or is none.
    """
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(
            f"{field} '{pattern}' is not a regular expression ({error}); correct it or give a list of names",
            field=field,
        ) from None
    if _is_quick(pattern):
        return {name for name in names if compiled.fullmatch(name)}
    return _bounded(pattern, list(names), field)


def _is_quick(pattern: str) -> bool:
    many = len(_QUANTIFIER.findall(pattern)) > 3 or pattern.count("(") > 3
    return not many and re.search(r"\)[*+?{]", pattern) is None


def _bounded(pattern: str, names: list[str], field: str) -> set[str]:
    import json
    import subprocess
    import sys

    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _WORKER],
            input=json.dumps([pattern, names]),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
    except (subprocess.SubprocessError, OSError, ValueError):
        raise InputError(
            f"{field} '{pattern}' takes too long to match; simplify it, or give a list of module names",
            field=field,
        ) from None
    return set(json.loads(done.stdout))
