"""What a limits file says of each run."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_plan.limit_values import limits_of
from lora_plan.limits_file import Entry, read_limits
from planner.errors import InputError
from reports.checks import Limits

NOW = datetime(2026, 11, 22, 12)
EVERYTHING = """\
gpu: rtx4090
job: {examples: 1800, tokens: 1M, epochs: 3}
limits: {memory_gib: 22, headroom: 10%, budget_usd: 20, deadline: 12h}
runs:
  - config: configs/sft.yaml
  - run: runs/big.yaml
    gpu: a100-80
    sequence-length: 4096
    job: {dataset: data/train.jsonl}
    limits: {budget_usd: 100, memory_gib: null, verdict: tight}
"""


def entries(folder: Path, text: str, *files: str, name: str = "limits.yaml") -> tuple[Entry, ...]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_limits(path, list(files), NOW)


def test_what_stands_outside_the_runs_is_for_each_of_them(tmp_path: Path) -> None:
    first, second = entries(tmp_path, EVERYTHING)
    assert first.name == "configs/sft.yaml"
    assert first.limits == Limits(memory_gib=22, headroom=0.1, budget_usd=Decimal(20), deadline_hours=12)
    arguments = first.arguments()
    assert arguments["config"] == [str(tmp_path / "configs/sft.yaml")] and arguments["run_file"] is None
    given = {name: arguments[name] for name in ("gpu", "examples", "tokens", "epochs", "max_steps")}
    assert given == {"gpu": "rtx4090", "examples": "1800", "tokens": "1M", "epochs": "3", "max_steps": None}
    assert second.arguments()["run_file"] == str(tmp_path / "runs/big.yaml")


def test_what_a_run_says_itself_goes_before_that(tmp_path: Path) -> None:
    _, second = entries(tmp_path, EVERYTHING)
    arguments = second.arguments()
    assert (arguments["gpu"], arguments["sequence_length"]) == ("a100-80", "4096")
    assert (arguments["examples"], arguments["epochs"]) == (None, "3")
    assert arguments["dataset"] == str(tmp_path / "data/train.jsonl")
    assert second.limits == Limits(verdict="tight", headroom=0.1, budget_usd=Decimal(100), deadline_hours=12)


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    toml = """\
    gpu = "rtx4090"
    job = {examples = 1800, tokens = "1M", epochs = 3}
    limits = {memory_gib = 22, headroom = "10%", budget_usd = 20, deadline = "12h"}
    [[runs]]
    config = "configs/sft.yaml"
    """
    data = {
        "gpu": "rtx4090",
        "job": {"examples": 1800, "tokens": "1M", "epochs": 3},
        "limits": {"memory_gib": 22, "headroom": "10%", "budget_usd": 20, "deadline": "12h"},
        "runs": [{"config": "configs/sft.yaml"}],
    }
    (yaml, _) = entries(tmp_path, EVERYTHING)
    assert entries(tmp_path, toml, name="limits.toml") == entries(tmp_path, json.dumps(data), name="limits.json")
    assert entries(tmp_path, toml, name="limits.toml") == (yaml,)


def test_a_file_that_is_named_is_checked_with_what_the_limits_file_says_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (known,) = entries(tmp_path, EVERYTHING, "./runs/big.yaml")
    assert known.arguments()["gpu"] == "a100-80"
    (other,) = entries(tmp_path, EVERYTHING, "other.yaml")
    assert other.arguments()["gpu"] == "rtx4090"
    assert other.arguments()["config"] == ["other.yaml"]
    assert other.limits.budget_usd == 20


def test_another_way_to_name_the_card_takes_the_place_of_the_general_one(tmp_path: Path) -> None:
    (entry,) = entries(tmp_path, "gpu: t4\nruns: [{config: a.yaml, gpu-memory: 24}]\n")
    assert (entry.arguments()["gpu"], entry.arguments()["gpu_memory"]) == (None, "24")


def test_an_amount_of_ones_own_takes_the_place_of_a_general_dataset(tmp_path: Path) -> None:
    text = "job: {dataset: a.jsonl, epochs: 2}\nruns: [{config: a.yaml, job: {tokens: 5M}}, {config: b.yaml}]\n"
    own, general = (entry.arguments() for entry in entries(tmp_path, text))
    assert (own["dataset"], own["tokens"], own["epochs"]) == (None, "5M", "2")
    assert (general["dataset"], general["tokens"]) == (str(tmp_path / "a.jsonl"), None)


def test_several_configs_are_laid_together(tmp_path: Path) -> None:
    (entry,) = entries(tmp_path, "runs: [{config: [sft.yaml, zero3.json], gpu: t4}]\n")
    assert entry.name == "sft.yaml + zero3.json"
    assert entry.arguments()["config"] == [str(tmp_path / "sft.yaml"), str(tmp_path / "zero3.json")]


def test_a_tokenizer_is_a_folder_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "tok").mkdir()
    text = "job: {tokenizer: %s}\nruns: [{config: a.yaml}]\n"
    assert entries(tmp_path, text % "tok")[0].arguments()["tokenizer"] == str(tmp_path / "tok")
    assert entries(tmp_path, text % "org/tok")[0].arguments()["tokenizer"] == "org/tok"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("[]", "must hold a mapping"),
        ("gpu: t4", "names no runs; list them under runs, or name files on the command line"),
        ("gpus: t4", "'gpus' is not known; did you mean 'gpu'?"),
        ("runs: a.yaml", "runs must be a list"),
        ("runs: [a.yaml]", "run 1 must be a mapping, not 'a.yaml'"),
        ("runs: [{gpu: t4}]", "run 1: names no file; give config or run"),
        ("runs: [{config: a, run: b}]", "run 1: has both config and run"),
        ("runs: [{run: [a, b]}]", "run 1: run must be the path of a file"),
        ("runs: [{config: []}]", "run 1: config is an empty list"),
        ("runs: [{config: a, limit: {}}]", "run 1: 'limit' is not known; did you mean 'limits'?"),
        ("limits: {memory: 3}\nruns: [{config: a}]", "limits: 'memory' is not known; did you mean 'memory_gib'?"),
        ("limits: 5\nruns: [{config: a}]", "limits must be a mapping, not 5"),
        ("job: {rows: 5}\nruns: [{config: a}]", "job: 'rows' is not known"),
        ("runs: [{config: a, gpu: {}}]", "run 1: gpu must be text or a number, not a mapping"),
        ("runs: [{config: a, gpu: [t4, l4]}]", "run 1: gpu must be text or a number, not ['t4', 'l4']"),
        ("job: {examples: true}\nruns: [{config: a}]", "job: examples must be text or a number, not true"),
        ("job: {merge: 'yes'}\nruns: [{config: a}]", "job: merge must be true or false, not 'yes'"),
        ("runs: [{config: a, target_modules: [[q]]}]", "target_modules must be text or a number, not a list"),
        ("gpu: !!python/name:os.system t4", "is not allowed"),
        ("gpu: t4\ngpu: l4", "is given twice"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_the_file(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        entries(tmp_path, text)
    assert said in str(caught.value) and "limits.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"memory_gib": "22"}, "memory_gib must be a number above 0"),
        ({"memory_gib": 0}, "memory_gib must be a number above 0"),
        ({"memory_gib": float("nan")}, "memory_gib must be a number above 0"),
        ({"headroom": 10}, "headroom must be a share of the card's usable memory, such as 10%, not 10"),
        ({"headroom": "100%"}, "headroom must be a share"),
        ({"budget_usd": -1}, "budget_usd must be US dollars above 0"),
        ({"budget_usd": "twenty"}, "budget_usd must be US dollars above 0"),
        ({"budget_usd": True}, "budget_usd must be US dollars above 0"),
        ({"budget_usd": "Infinity"}, "budget_usd must be US dollars above 0"),
        ({"deadline": 12}, "deadline must be a span such as 12h"),
        ({"deadline": "soon"}, "deadline must be a span such as 12h"),
        ({"deadline": "0h"}, "deadline leaves no time"),
        ({"deadline": "2026-11-21"}, "deadline is 2026-11-21, which is past"),
        ({"verdict": "maybe"}, "verdict must be fits or tight"),
        ({"verdict": None}, "limits leave nothing to check"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(limits: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        limits_of(limits, "limits.yaml, run 1", NOW)
    assert str(caught.value).startswith("limits.yaml, run 1: ")
    assert said in str(caught.value)


def test_values_are_read_as_people_write_them() -> None:
    read = limits_of({"budget_usd": "$1,250.50", "headroom": "12.5 %", "deadline": "2026-11-22"}, "here", NOW)
    assert read == Limits(budget_usd=Decimal("1250.50"), headroom=0.125, deadline_hours=12)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("gpu", "job", "limits", "runs", "config", "run", "deadline", "x")), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(("gpu", "job", "limits", "runs", "model", "precision")), JSON))
def test_any_mapping_is_read_or_refused(data: dict[str, object]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "limits.json"
        path.write_text(json.dumps(data), encoding="utf-8")
        try:
            read = read_limits(path, [], NOW)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert read and all(entry.limits.stated for entry in read)
