"""Scripts split into commands and words: against `shlex` and `bash` themselves, with nothing run here."""

from __future__ import annotations

import shlex
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.trainer_configs.shell_words import OpenQuote, shell_commands

BASH = shutil.which("bash")


def words(text: str) -> list[tuple[str, ...]]:
    return [command.words for command in shell_commands(text)]


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("a b  'c d' \"e f\"", [("a", "b", "c d", "e f")]),
        ("a \\\n  b # c\nd", [("a", "b"), ("d",)]),
        ("a \\   \n  b \\\t\n c", [("a", "b", "c")]),
        ("a && b; c | d || e &", [("a",), ("b",), ("c",), ("d",), ("e",)]),
        ("a > out.txt 2>&1 < in &> all b", [("a", "b")]),
        ("cat <<'END'\n{\"don't\": 1}\nEND\na b", [("cat",), ("a", "b")]),
        ("A=1 B='x y'\na $A ${B} \"$B\" '$A'", [("a", "1", "x", "y", "x y", "$A")]),
        ('A=(--x 1 # one\n --y "two words")\nA+=(--z)\na "${A[@]}"', [("a", "--x", "1", "--y", "two words", "--z")]),
        ("A=x\nA+=y\nexport B=$A$A\na $B", [("a", "xyxy")]),
        (
            "a ${N:-4} $UNSET ${UNSET} $(nproc --all) `date`",
            [("a", "4", "$UNSET", "${UNSET}", "$(nproc --all)", "$(date)")],
        ),
        ('a $1 "$@" $#', [("a", "${1}", "${#}")]),
        ("a '' \"\"", [("a", "", "")]),
        ("a 'one\ntwo'", [("a", "one\ntwo")]),
        ("(a b)\r\nc\r\n", [("a", "b"), ("c",)]),
        ("", []),
    ],
)
def test_a_script_is_split_as_a_shell_does(text: str, split: list[tuple[str, ...]]) -> None:
    assert words(text) == split


def test_variables_before_a_program_are_its_own() -> None:
    first, second = shell_commands("export A=1\nB=2 run\nrun")
    assert (dict(first.environment), dict(second.environment)) == ({"A": "1", "B": "2"}, {"A": "1"})


@pytest.mark.parametrize("text", ["a 'b", 'a "b', "a `b", "a $(b", "A=(b", 'a "${b'])
def test_a_quote_that_stays_open_is_said(text: str) -> None:
    with pytest.raises(OpenQuote):
        shell_commands(text)


def test_variables_that_would_grow_without_end_are_left() -> None:
    script = "A=aaaaaaaaaaaaaaaa\n" + "A=$A$A$A$A\n" * 60 + "run $A\n"
    assert len(words(script)[0][1]) <= 20_000


@given(st.text(alphabet="ab \t'\"\\-=.", max_size=30))
def test_words_without_variables_are_shlex_s(text: str) -> None:
    try:
        theirs = shlex.split(text)
    except ValueError:
        return
    if any("=" in word for word in theirs[:3]):
        return  # assignments
    assert [word for command in words(text) for word in command] == theirs


@given(st.text(alphabet="ab $'\"\\{}()[]@#;&|<>=\n1:-`", max_size=60))
def test_any_text_is_split_or_has_an_open_quote(text: str) -> None:
    try:
        shell_commands(text)
    except OpenQuote:
        return


@pytest.mark.skipif(BASH is None, reason="needs bash")
def test_bash_splits_likewise() -> None:
    line = """run --a "$M" $OPTS '{"x": false}' "${ARR[@]}" --b=${N:-7} a\\ b "c"d --e"" """
    setup = "M='two words'; OPTS='--p 1 --q'; ARR=(--r 's t'); run() { printf '%s\\0' \"$@\"; }\n"
    printed = subprocess.run([str(BASH), "-c", setup + line], capture_output=True, text=True, check=True).stdout
    ours = words(setup.partition("; run()")[0] + "\n" + line)[-1]
    assert list(ours[1:]) == printed.split("\0")[:-1]
