"""The commands of a shell script, split into words as `sh` and `bash` do, with nothing run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby

from planner.trainer_configs.shell_sums import with_sums

ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?)=")
_VARIABLE = re.compile(
    r"\$(?:\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)(?P<whole>\[[@*]\])?(?::?-(?P<default>[^{}]*))?\}"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*))"
)
_ARGUMENT = re.compile(r"\$(?:\{?[@*](?::[0-9]+)?\}?)$")
_POSITION = re.compile(r"\$([0-9]+|[@*#?])")
_PLAIN = re.compile(r"[^ \t\n;&|<>()\\'\"$`]+")
_QUOTED = re.compile(r"[^\"\\$`]+")
_LONGEST = 20_000
"""Characters of a word with its variables filled in; where it would be longer they are left."""


class OpenQuote(ValueError):
    """A quote that is never closed."""


@dataclass(frozen=True, slots=True)
class ShellCommand:
    """One command: `A=1 program --option value`."""

    words: tuple[str, ...]
    """With the variables that the script sets filled in, and sums of them; `${1}`, `$(…)` and others stay."""

    environment: Mapping[str, str]
    """The variables that the script has set by then, and those that stand before the program."""


@dataclass(slots=True)
class _Word:
    """Text, with whether variables in it are filled in, and whether the result is split at spaces."""

    pieces: list[tuple[str, bool, bool]] = field(default_factory=list[tuple[str, bool, bool]])
    array: list[_Word] | None = None
    """Of `NAME=(…)`."""

    def add(self, text: str, *, fills: bool, splits: bool) -> None:
        self.pieces.append((text, fills, splits))

    @property
    def text(self) -> str:
        return "".join(text for text, _, _ in self.pieces)

    @property
    def runs(self) -> list[tuple[str, bool, bool]]:
        """The pieces, those of one kind that follow each other as one."""
        return [
            ("".join(text for text, _, _ in pieces), *kind)
            for kind, pieces in groupby(self.pieces, key=lambda p: p[1:])
        ]


def shell_commands(text: str) -> list[ShellCommand]:
    """The commands of a script in their order, whatever is between them (`&&`, `|`, `;`).

    Redirections, comments and here-documents are left out. Raises `OpenQuote`.
    """
    variables: dict[str, str | list[str]] = {}
    found: list[ShellCommand] = []
    for written in _Scanner(text).commands():
        words = written[1:] if written and written[0].text in ("export", "declare", "local", "readonly") else written
        count = next((at for at, word in enumerate(words) if not ASSIGNMENT.match(word.text)), len(words))
        alone = count == len(words)
        known = variables if alone else dict(variables)
        for word in words[:count]:
            _assign(word, known)
        if not alone:
            filled = tuple(item for word in words[count:] for item in _filled(word, variables))
            environment = {name: value for name, value in known.items() if isinstance(value, str)}
            found.append(ShellCommand(filled, environment))
    return found


def _assign(word: _Word, variables: dict[str, str | list[str]]) -> None:
    match = ASSIGNMENT.match(word.text)
    if match is None:
        return
    name, adds = match[1], bool(match[2])
    if word.array is not None:
        items = [item for part in word.array for item in _filled(part, variables)]
        before = variables.get(name, []) if adds else []
        variables[name] = [*(before if isinstance(before, list) else [before]), *items]
        return
    value = "".join(_fill(text, variables) if fills else text for text, fills, _ in word.runs)[len(match[0]) :]
    before = variables.get(name, "") if adds else ""
    if isinstance(before, str) and len(before) + len(value) <= _LONGEST:
        variables[name] = before + value


def _filled(word: _Word, variables: Mapping[str, str | list[str]]) -> list[str]:
    """The words that one becomes: a variable outside quotes is split at its spaces, an array at its items."""
    if _ARGUMENT.fullmatch(word.text):
        return []  # what the script itself is given
    runs = word.runs
    if len(runs) == 1 and runs[0][1]:
        match = _VARIABLE.fullmatch(runs[0][0])
        value = variables.get(match["braced"] or match["name"]) if match else None
        if isinstance(value, list):
            return value
    parts = [""]
    started = False
    for text, fills, splits in runs:
        filled = _fill(text, variables) if fills else text
        started = started or not splits
        if not splits or filled == text:
            parts[-1] += filled
            continue
        first, *rest = re.split(r"\s+", filled)
        parts[-1] += first
        parts.extend(rest)
    return parts if started else [part for part in parts if part]


def _fill(text: str, variables: Mapping[str, str | list[str]]) -> str:
    """The text with the script's variables in it; `$1` as `${1}`, so that it is seen to be open."""

    def value(match: re.Match[str]) -> str:
        held: str | list[str] | None = variables.get(match["braced"] or match["name"])
        if held is None:
            return match[0] if match["default"] is None else match["default"]
        return " ".join(held) if isinstance(held, list) else held

    filled = _VARIABLE.sub(value, with_sums(text, variables))
    return _POSITION.sub(r"${\1}", filled if len(filled) <= _LONGEST else text)


class _Scanner:
    """Splits the text of a script into words."""

    def __init__(self, text: str) -> None:
        # a shell ends the command at spaces behind the backslash; who wrote them meant it to go on
        self.text = re.sub(r"\\[ \t]+\n", "\\\n", text.replace("\r\n", "\n"))
        self.at = 0
        self.documents: list[str] = []
        """Ends of the here-documents that begin after this line."""

    def commands(self) -> list[list[_Word]]:
        found: list[list[_Word]] = [[]]
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in " \t":
                self.at += 1
            elif self.text.startswith("\\\n", self.at):
                self.at += 2
            elif char == "\n":
                self.at += 1
                self._skip_documents()
                found.append([])
            elif char == "#":
                self._to(self.text.find("\n", self.at))
            elif char in "<>" or self.text.startswith("&>", self.at):
                self._redirect()
            elif char in ";&|()":
                self.at += 1
                found.append([])
            else:
                word = self._word()
                if not (word.text.isdecimal() and self.text[self.at : self.at + 1] in ("<", ">")):
                    found[-1].append(word)
        return [words for words in found if words]

    def _word(self) -> _Word:
        word = _Word()
        while self.at < len(self.text) and (char := self.text[self.at]) not in " \t\n;&|<>)":
            if char == "\\":
                word.add(self.text[self.at + 1 : self.at + 2].replace("\n", ""), fills=False, splits=False)
                self.at += 2
            elif char == "'":
                end = self._closing("'", self.at + 1)
                word.add(self.text[self.at + 1 : end], fills=False, splits=False)
                self.at = end + 1
            elif char == '"':
                self._quoted(word)
            elif char == "(":
                if ASSIGNMENT.fullmatch(word.text) is None:
                    break
                word.array = self._array()
            elif char in "$`":
                word.add(self._expansion(), fills=True, splits=True)
            else:
                word.add(self._run(_PLAIN), fills=True, splits=True)
        return word

    def _quoted(self, word: _Word) -> None:
        """What stands between double quotes."""
        self.at += 1
        word.add("", fills=True, splits=False)
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == '"':
                self.at += 1
                return
            if char == "\\" and self.text[self.at + 1 : self.at + 2] in ("$", "`", '"', "\\", "\n"):
                word.add(self.text[self.at + 1].replace("\n", ""), fills=False, splits=False)
                self.at += 2
            elif char in "$`":
                word.add(self._expansion(), fills=True, splits=False)
            elif char == "\\":
                self.at += 1
                word.add(char, fills=True, splits=False)
            else:
                word.add(self._run(_QUOTED), fills=True, splits=False)
        raise OpenQuote("No closing quotation")

    def _run(self, ordinary: re.Pattern[str]) -> str:
        match = ordinary.match(self.text, self.at)
        self.at = match.end() if match else self.at + 1
        return match[0] if match else ""

    def _expansion(self) -> str:
        """`$name`, `${…}` or `$(…)` as they are written; back quotes as `$(…)`."""
        start = self.at
        if self.text[start] == "`":
            end = self._closing("`", start + 1)
            self.at = end + 1
            return f"$({self.text[start + 1 : end]})"
        opening = self.text[start + 1 : start + 2]
        if opening not in ("{", "("):
            self.at += 1
            return "$"
        closing, depth = {"{": "}", "(": ")"}[opening], 0
        for at in range(start + 1, len(self.text)):
            depth += (self.text[at] == opening) - (self.text[at] == closing)
            if depth == 0:
                self.at = at + 1
                return self.text[start : self.at]
        raise OpenQuote(f"No closing {closing}")

    def _array(self) -> list[_Word]:
        self.at += 1
        words: list[_Word] = []
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == ")":
                self.at += 1
                return words
            if char in " \t\n;&|<>(":
                self.at += 1
            elif self.text.startswith("\\\n", self.at):
                self.at += 2
            elif char == "#":
                self._to(self.text.find("\n", self.at))
            else:
                words.append(self._word())
        raise OpenQuote("No closing )")

    def _redirect(self) -> None:
        """Past `> file`, `2>&1`, `&> file`; past `<< END` with what it begins noted."""
        operator = re.compile(r"<<<|<<-?|&>>?|>>|[<>]&?|>\|").match(self.text, self.at)
        self.at = operator.end() if operator else self.at + 1
        while self.text[self.at : self.at + 1] in (" ", "\t"):
            self.at += 1
        target = self._word()
        if operator and operator[0] in ("<<", "<<-"):
            self.documents.append(target.text)

    def _skip_documents(self) -> None:
        for end in self.documents:
            match = re.compile(rf"^\t*{re.escape(end)}$", re.MULTILINE).search(self.text, self.at)
            self._to(match.end() if match else -1)
        self.documents = []

    def _to(self, at: int) -> None:
        self.at = len(self.text) if at < 0 else at

    def _closing(self, quote: str, start: int) -> int:
        end = self.text.find(quote, start)
        if end < 0:
            raise OpenQuote("No closing quotation")
        return end
