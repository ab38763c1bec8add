"""Sentences of the terminal's views as words of a document."""

from __future__ import annotations

from collections.abc import Iterable

from reports.documents.blocks import Bullets, Code, Paragraph, Words


def worded(text: str) -> Words:
    """A sentence in which what stands between backticks is typed: `lora-plan prices refresh`."""
    plain, *rest = text.split("`")
    if not rest or len(rest) % 2:
        return text
    pieces: list[str | Code] = [plain]
    for code, after in zip(rest[::2], rest[1::2], strict=True):
        pieces += [Code(code), after]
    return tuple(piece for piece in pieces if piece)


def sentence(text: str) -> Paragraph:
    """A paragraph of what the terminal writes without a capital and a stop."""
    return Paragraph(worded(f"{text[:1].upper()}{text[1:]}."))


def bullets(sentences: Iterable[str], *, numbered: bool = False) -> Bullets:
    """A list of sentences."""
    return Bullets(tuple(map(worded, sentences)), numbered)
