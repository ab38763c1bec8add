"""Units of memory, and how they are written for people.

GiB is 1024**3 bytes and GB is 10**9 bytes; every printed figure says which.
"""

from __future__ import annotations

KIB = 1024
MIB = 1024**2
GIB = 1024**3
GB = 10**9

DTYPE_BYTES: dict[str, int] = {
    "float32": 4,
    "bfloat16": 2,
    "float16": 2,
    "float8": 1,
    "int8": 1,
    "int32": 4,
    "int64": 8,
}
"""Bytes of one element, by the torch name of the dtype (without `torch.`)."""


def format_bytes(count: float) -> str:
    """Bytes for people, in binary units: `38.4 GiB`, `512.0 MiB`, `2.0 KiB`, `17 B`."""
    sign = "-" if count < 0 else ""
    size = abs(count)
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{sign}{size / unit:,.1f} {name}"
    return f"{sign}{size:.0f} B"


def format_count(count: int) -> str:
    """Parameters for people: `8.03 B`, `41.9 M`, `1,024`."""
    if count >= 10**9:
        return f"{count / 10**9:,.2f} B"
    if count >= 10**6:
        return f"{count / 10**6:,.1f} M"
    return f"{count:,}"
