"""YAML is read as plain data, within bounds."""

import contextlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from planner.run.yaml_text import MAX_NODES, YamlProblem, dumps, loads


def problem(text: str) -> tuple[str, int | None]:
    with pytest.raises(YamlProblem) as caught:
        loads(text)
    return str(caught.value), caught.value.line


def test_plain_data():
    text = "model: gpt2\nrank: 8\ndropout: 0.05\npacking: yes\nalpha: null\ntarget_modules: [q_proj, v_proj]\n"
    assert loads(text) == {
        "model": "gpt2",
        "rank": 8,
        "dropout": 0.05,
        "packing": True,
        "alpha": None,
        "target_modules": ["q_proj", "v_proj"],
    }


def test_an_empty_document_is_nothing():
    assert loads("") is None
    assert loads("# only a comment\n") is None


def test_quoted_text_stays_text():
    assert loads("""{a: "12", b: 'no', c: !!str 7}""") == {"a": "12", "b": "no", "c": "7"}


def test_aliases_that_stay_small_are_allowed():
    assert loads("a: &names [q_proj]\nb: *names\n") == {"a": ["q_proj"], "b": ["q_proj"]}


def test_a_repeated_key_is_refused_where_it_stands():
    assert problem("rank: 8\nmodel: m\nrank: 16\n") == ("'rank' is given twice", 3)


def test_aliases_that_explode_are_refused():
    """The 'billion laughs': nine lines that would expand to 10**9 strings."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    assert problem("\n".join(lines))[0].startswith("it expands to more than 10,000 values")


def test_an_alias_of_itself_is_refused():
    assert "nests deeper than 20 levels" in problem("a: &a [*a]\n")[0]


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 50_000, "{a: " * 50_000, "? " * 50_000])
def test_deep_nesting_is_refused_before_the_stack_runs_out(text: str):
    assert "nests deeper than 20 levels" in problem(text)[0]


def test_a_long_list_is_refused():
    assert "more than 10,000 values" in problem("a:\n" + "- x\n" * MAX_NODES)[0]


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        (
            "a: !!python/object/apply:os.system ['true']\n",
            "the tag 'tag:yaml.org,2002:python/object/apply",
            1,
        ),
        ("a: !!set {b: null}\n", "the tag 'tag:yaml.org,2002:set' is not allowed; remove it", 1),
        ("a: !!int x\n", "'x' is neither text, a number", 1),
        (
            "a: 2024-01-31\n",
            "'2024-01-31' is neither text, a number, true, false nor null; put it in quotes",
            1,
        ),
        ("a: 2024-99-99\n", "'2024-99-99' is neither text", 1),
        ("b: &b {x: 1}\n<<: *b\n", "a field name must be text", 2),
        ("1: x\n", "a field name must be text", 1),
        ("[a, b]: x\n", "a field name must be text", 1),
        ("a: 0b_\n", "'0b_' is not a number that can be read", 1),
        ("a: " + "9" * 5000, "is not a number that can be read", 1),
        ("a: 1\nb: [1, 2\n", "while parsing a flow sequence, expected ',' or ']', but got '<stream end>'", 3),
        ("a: *nowhere\n", "found undefined alias 'nowhere'", 1),
        ("a: 1\n---\nb: 2\n", "expected a single document in the stream, but found another document", 2),
        ("a:\n\tb: 2\n", "found character '\\t' that cannot start any token", 2),
        ('a: "\\Uffffffff"\n', "", None),
        ("a: \x01\n", "special characters are not allowed", None),
    ],
)
def test_what_is_not_plain_data_is_refused(text: str, said: str, line: int | None):
    message, where = problem(text)
    assert said in message
    assert where == line


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")))


@given(st.dictionaries(TEXT.filter(bool), SCALARS | TEXT | st.lists(TEXT, max_size=5), max_size=8))
def test_what_is_written_is_read_back(data: dict[str, object]):
    assert loads(dumps(data)) == (data or {})


@given(st.text(max_size=200))
def test_any_text_is_data_or_a_problem(text: str):
    with contextlib.suppress(YamlProblem):
        loads(text)


@given(st.text(alphabet="!&*<>|%@`'\"#,[]{}?:- \n\\xuU0123456789abtey_.~", max_size=60))
def test_any_punctuation_is_data_or_a_problem(text: str):
    with contextlib.suppress(YamlProblem):
        loads(text)


def test_others_files_may_merge_mappings_as_pyyaml_does():
    text = """
base: &base {rank: 8, optim: adamw_torch, nested: {a: 1}}
more: &more {optim: sgd, alpha: 16}
one: {<<: *base, rank: 16}
two:
  <<: [*base, *more]
"""
    assert loads(text, lenient=True) == yaml.safe_load(text)


def test_others_files_may_have_dates_and_names_that_are_no_text():
    assert loads("run_name: 2026-11-22\n1: x\non: y\nnull: z\n", lenient=True) == {
        "run_name": "2026-11-22",
        "1": "x",
        "on": "y",
        "null": "z",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: !!python/object/apply:os.system [x]\n", "the tag 'tag:yaml.org,2002:python/object/apply:os.system'"),
        ("a: !include other.yaml\n", "the tag '!include' is not allowed"),
        ("<<: 3\n", "<< merges mappings"),
        ("a: &a {<<: *a}\n", ""),
        ("a: 1\na: 2\n", "'a' is given twice"),
        ("? [a, b]\n: x\n", "a field name must be text"),
    ],
)
def test_what_no_file_may_have(text: str, said: str):
    with pytest.raises(YamlProblem) as refused:
        loads(text, lenient=True)
    assert said in str(refused.value)


@given(st.text(alphabet="!&*<>|%@`'\"#,[]{}?:- \n\\xuU0123456789abtey_.~", max_size=60))
def test_any_punctuation_of_others_is_data_or_a_problem(text: str):
    with contextlib.suppress(YamlProblem):
        loads(text, lenient=True)
