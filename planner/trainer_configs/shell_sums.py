"""Sums in shell scripts: `$((128 / NUM_GPUS / 2))`, of whole numbers as shells have them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_PLAIN = r"[\w$+\-*/% \t{}]"
_SUM = re.compile(rf"\$\(\(((?:{_PLAIN}|\((?:{_PLAIN}|\({_PLAIN}*\))*\)){{1,200}})\)\)")
"""With brackets in it, and brackets in those."""
_TOKEN = re.compile(r"\s*(?:(?P<number>[0-9]{1,18})|\$?\{?(?P<name>[A-Za-z_]\w*)\}?|(?P<sign>[+\-*/%()]))\s*")
_SIGNS: Mapping[str, Callable[[int, int], int]] = {
    "+": lambda one, other: one + other,
    "-": lambda one, other: one - other,
    "*": lambda one, other: one * other,
    "/": lambda one, other: abs(one) // abs(other) * (1 if one * other >= 0 else -1),
    "%": lambda one, other: abs(one) % abs(other) * (1 if one >= 0 else -1),
}


def with_sums(text: str, variables: Mapping[str, object]) -> str:
    """The text with its sums worked out; one that makes no sense, or names what is not known, stays as it is."""

    def worked_out(match: re.Match[str]) -> str:
        try:
            tokens = _tokens(match[1], variables)
            value = _row(tokens, ("+", "-"))
        except (ValueError, IndexError, ZeroDivisionError, RecursionError):
            return match[0]
        return match[0] if tokens else str(value)

    return _SUM.sub(worked_out, text)


def _tokens(sum: str, variables: Mapping[str, object]) -> list[str]:
    tokens: list[str] = []
    at = 0
    while at < len(sum):
        match = _TOKEN.match(sum, at)
        if match is None:
            raise ValueError
        at = match.end()
        name = match["name"]
        token = str(variables.get(name)) if name else match["number"] or match["sign"]
        if name and not re.fullmatch(r"[0-9]{1,18}", token):
            raise ValueError
        tokens.append(token)
    return tokens


def _row(tokens: list[str], signs: tuple[str, ...]) -> int:
    """Terms with these signs between them, from left to right."""

    def part() -> int:
        return _row(tokens, ("*", "/", "%")) if "+" in signs else _term(tokens)

    value = part()
    while tokens and tokens[0] in signs:
        sign = tokens.pop(0)
        value = _SIGNS[sign](value, part())
    return value


def _term(tokens: list[str]) -> int:
    token = tokens.pop(0)
    if token != "(":
        return int(token)
    value = _row(tokens, ("+", "-"))
    if tokens.pop(0) != ")":
        raise ValueError
    return value
