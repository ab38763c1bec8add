"""The catalogue of models: its data, and names as people type them."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path

import pytest

from planner.catalogue import find_model, search_models
from planner.catalogue.models import DATA, match_model
from planner.catalogue.spelling import squash
from planner.errors import InputError

MODELS = search_models()
SHARED = Path(__file__).parents[4] / "shared" / "data" / "models.json"


def extra_aliases() -> list[dict[str, str]]:
    with (DATA / "model_aliases.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# -- the data ------------------------------------------------------------------------------------


def test_there_are_196_models():
    assert len(MODELS) == 196


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_every_model_says_what_it_is_and_where_from(model):
    assert model.source.strip()
    assert model.confidence in ("high", "medium", "low")
    assert model.license.strip()
    assert isinstance(model.gated, bool)
    assert isinstance(model.note, str)
    assert model.parameters > 10**7
    assert model.parameters_basis.strip()
    assert model.config["model_type"]
    assert model.dtype in (None, "float16", "bfloat16", "float32")


def test_one_model_is_counted_by_hand():
    assert [model.id for model in MODELS if model.built_as is None] == ["microsoft/Phi-3-small-8k-instruct"]


def test_the_file_holds_one_entry_a_line():
    lines = (DATA / "models.json").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 198
    assert [json.loads("{" + line.rstrip(",") + "}") for line in lines[1:-1]]


@pytest.mark.skipif(not SHARED.exists(), reason=f"the collected data is not here: {SHARED}")
def test_nothing_collected_was_lost():
    assert json.loads((DATA / "models.json").read_bytes()) == json.loads(SHARED.read_bytes())


def test_no_id_or_alias_stands_for_two_models():
    ids = defaultdict(set)
    for model in MODELS:
        for name in (model.id, *model.aliases):
            ids[squash(name)].add(model.id)
    assert {name: found for name, found in ids.items() if len(found) > 1} == {}


def test_where_a_repository_name_could_stand_for_two_models_the_reason_is_said():
    ids = defaultdict(set)
    for model in MODELS:
        for name in (model.id, *model.aliases):
            ids[squash(name.rpartition("/")[2])].add(model.id)
    reasons = {squash(row["alias"]) for row in extra_aliases()}
    assert {name for name, found in ids.items() if len(found) > 1} <= reasons


def test_every_extra_alias_has_a_model_and_a_reason():
    ids = {model.id for model in MODELS}
    rows = extra_aliases()
    assert all(row["id"] in ids and row["reason"].strip() for row in rows)
    assert len({squash(row["alias"]) for row in rows}) == len(rows)


def test_extra_aliases_agree_with_those_of_the_models():
    own = {squash(alias): model.id for model in MODELS for alias in (model.id, *model.aliases)}
    for row in extra_aliases():
        assert own.get(squash(row["alias"]), row["id"]) == row["id"]


# -- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_a_model_is_found_by_its_id_and_every_alias_in_any_case(model):
    for name in (model.id, *model.aliases):
        assert find_model(name) is model
        assert find_model(name.upper()) is model
        assert find_model(f" {name.replace('-', '_')} ") is model


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("llama-70b", "meta-llama/Llama-3.1-70B"),
        ("llama-3.1-8b", "meta-llama/Llama-3.1-8B"),
        ("Llama 3.1 8B", "meta-llama/Llama-3.1-8B"),
        ("llama-8b", "meta-llama/Llama-3.1-8B"),
        ("llama-7b", "meta-llama/Llama-2-7b-hf"),
        ("huggyllama/llama-7b", "huggyllama/llama-7b"),
        ("mistral-7b", "mistralai/Mistral-7B-v0.3"),
        ("mixtral", "mistralai/Mixtral-8x7B-v0.1"),
        ("gpt3-175b", "gpt-3-175b"),
        ("gpt2", "openai-community/gpt2"),
        ("Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B"),
        ("opt-1.3b", "facebook/opt-1.3b"),
        ("opt-13b", "facebook/opt-13b"),
        ("command-r", "CohereLabs/c4ai-command-r-v01"),
        ("command-r+", "CohereLabs/c4ai-command-r-plus"),
        ("gpt-oss", "openai/gpt-oss-20b"),
    ],
)
def test_names_as_people_type_them(name: str, identifier: str):
    assert find_model(name).id == identifier


def test_a_name_that_could_stand_for_others_says_which_was_taken():
    match = match_model("llama-70b")
    assert match is not None
    assert match.note is not None
    assert "meta-llama/Llama-3.1-70B" in match.note
    assert "Llama-3.3-70B-Instruct" in match.note


def test_a_sibling_repository_says_whose_shape_is_planned():
    match = match_model("meta-llama/Llama-3.1-8B-Instruct")
    assert match is not None
    assert match.note is not None
    assert match.note.endswith("meta-llama/Llama-3.1-8B, which has the same architecture")


@pytest.mark.parametrize("name", ["llama-3.1-8b", "meta-llama/Llama-3.1-8B", "Llama-3.1-8B"])
def test_a_plain_name_needs_no_note(name: str):
    match = match_model(name)
    assert match is not None
    assert match.note is None


def test_a_slip_finds_the_nearest_name():
    with pytest.raises(InputError, match=r"'lama-3\.1-8b' is not known; .*; did you mean 'llama-3\.1-8b'\?"):
        find_model("lama-3.1-8b")


@pytest.mark.parametrize("name", ["", " ", "no-such-model", "x" * 10_000, "\x00", "../etc/passwd", "\ud800"])
def test_an_unknown_name_is_one_printable_sentence(name: str):
    with pytest.raises(InputError) as caught:
        find_model(name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    assert caught.value.field == "model"


def test_search_holds_every_word():
    assert [model.id for model in search_models("qwen3 moe")] == []
    assert [model.id for model in search_models("Qwen3 A22B")] == ["Qwen/Qwen3-235B-A22B"]
    assert all("llama" in " ".join((model.id, *model.aliases)).lower() for model in search_models("llama"))


@pytest.mark.parametrize(
    "name", ["NousResearch/Llama-3.2-1B", "somebody/llama-3.2-1b-bnb-4bit", "x/Llama-3.2-1B-unsloth-bnb-4bit"]
)
def test_a_copy_is_told_by_what_it_is_called_after(name: str) -> None:
    with pytest.raises(InputError, match=r"; where it is a copy of meta-llama/Llama-3\.2-1B, give that name$"):
        find_model(name)
