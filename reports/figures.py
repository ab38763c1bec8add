"""Figures in GiB, as the views of a plan write them. GiB is 1024**3 bytes."""

from __future__ import annotations

from planner.units import GIB


def gib(count: int) -> str:
    """Bytes as `46.9 GiB`; less than 1 GiB with two decimals."""
    return f"{gib_number(count, 1 if abs(count) >= GIB else 2)} GiB"


def gib_number(count: int, decimals: int = 2) -> str:
    """Bytes in GiB without the unit; `<0.01` for what would round to nothing, though it is not nothing."""
    smallest = 10**-decimals
    if 0 < count < smallest / 2 * GIB:
        return f"<{smallest:.{decimals}f}"
    return f"{count / GIB:,.{decimals}f}"


def signed_gib(count: int, decimals: int = 2) -> str:
    """A difference in GiB without the unit: `+0.38`; `0.00`, without a sign, for too little to show; `0` for none."""
    return _signed(f"{count / GIB:+,.{decimals}f}") if count else "0"


def signed_share(part: float) -> str:
    """A difference as a share: `-1.4%`; `0.0%` for too little to show; `>+999%` for too much; `0%` for none."""
    if part > 9.99:
        return ">+999%"
    return _signed(f"{100 * part:+.1f}%") if part else "0%"


def _signed(text: str) -> str:
    """`+0.00` without its sign."""
    return text if any(digit in text for digit in "123456789") else text[1:]


def share(part: int, whole: int) -> str:
    """`46%`; `<1%` for what would round to nothing, though it is not nothing."""
    percent = 100 * part / whole
    return "<1%" if 0 < percent < 0.5 else f"{percent:.0f}%"


def columns(rows: list[list[str]], left: int = 1, gap: int = 2) -> list[str]:
    """Rows of equal length with their cells aligned: the first `left` columns left, the others right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    return [
        (" " * gap).join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
