"""The page a view is written on: its width, and whether it takes colour and line-drawing characters."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

NARROWEST = 40
WIDEST = 100
PIPED = 80

_CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
    "bright_blue": "94",
    "bright_magenta": "95",
}

_ASCII = str.maketrans(
    {
        "█": "#", "▓": "%", "▒": "=", "░": ":", "▚": "x", "▞": "/", "◆": "o", "▪": "*", "╱": "~", "·": ".",
        "│": "|", "▲": "^", "─": "-", "–": "-", "×": "x", "→": ">", "³": "3",
        "▁": ".", "▂": ".", "▃": ".", "▄": ":", "▅": ":", "▆": ":", "▇": ":",
    }
)  # fmt: skip
_NEEDED = "█▓▒░▚▞◆▪╱·│▲─–×→³▁▂▃▄▅▆▇"


@dataclass(frozen=True, slots=True)
class Page:
    """What the views need to know of the terminal they write to."""

    width: int = PIPED
    """Columns to keep within."""
    colour: bool = False
    unicode: bool = True

    def style(self, text: str, *styles: str) -> str:
        """`text` in the named styles, or as it is where there is no colour."""
        if not self.colour or not text:
            return text
        return f"\x1b[{';'.join(_CODES[style] for style in styles)}m{text}\x1b[0m"

    def heading(self, text: str) -> str:
        """The title of a section."""
        return self.style(text, "bold")

    def wrap(self, text: str, first: str = "  ", rest: str | None = None) -> list[str]:
        """`text` in lines within the page, `first` before the first of them and `rest` before the others."""
        return textwrap.wrap(
            text,
            self.width,
            initial_indent=first,
            subsequent_indent=" " * len(first) if rest is None else rest,
            break_on_hyphens=False,
        )

    def finish(self, lines: list[str]) -> str:
        """The text to print, in ASCII where the terminal has no more; no line ends in spaces."""
        text = "".join(f"{line.rstrip()}\n" for line in lines)
        return text if self.unicode else text.translate(_ASCII)


def page_of(stream: TextIO, environment: Mapping[str, str] = os.environ) -> Page:
    """The page that `stream` is.

    A terminal's own width, up to 100 columns; 80 for a pipe or file, unless COLUMNS says otherwise. Colour
    on terminals only, and not with NO_COLOR (no-color.org) or TERM=dumb.
    """
    tty = stream.isatty()
    columns = environment.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and 0 < len(columns) < 6 and int(columns):
        width = int(columns)
    else:
        width = shutil.get_terminal_size((PIPED, 24)).columns if tty else PIPED
    return Page(
        width=max(NARROWEST, min(WIDEST, width)),
        colour=tty and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb",
        unicode=_encodes(stream.encoding, _NEEDED),
    )


def _encodes(encoding: str | None, text: str) -> bool:
    try:
        text.encode(encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True
