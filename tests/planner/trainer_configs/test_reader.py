"""Taking settings out of a document: what they say, and what became of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.trainer_configs.document import Document
from planner.trainer_configs.format import ConfigFormat
from planner.trainer_configs.reader import PLACEHOLDER, Reader, is_off, plain
from planner.trainer_configs.types import Default, Setting

ANY = ConfigFormat(name="any", title="Any", version="any 1.0", signs=lambda document: (), read=lambda reader: None)


def reader(folder: Path = Path(), **settings: Any) -> Reader:
    return Reader(Document("any.yaml", folder, settings), ANY)


def test_values_are_read_as_what_is_asked_for() -> None:
    one = reader(rank="8", rate="2e-4", flag="True", off=0, names="q_proj, v_proj", more=["a", "b"], text=3)
    assert (one.whole("rank"), one.number("rate"), one.number("rank")) == (8, 2e-4, 8.0)
    assert (one.flag("flag"), one.flag("off")) == (True, False)
    assert (one.names("names"), one.names("more")) == (("q_proj", "v_proj"), ("a", "b"))
    assert one.text("text") == "3"
    assert one.whole("nothing") is one.flag("nothing") is one.text("nothing") is one.names("nothing") is None


def test_a_dot_leads_into_a_mapping_and_a_name_may_hold_dots() -> None:
    one = reader(model={"lora": {"rank": 8}}, **{"model.alpha": 16})
    assert (one.whole("model.lora.rank"), one.whole("model.alpha")) == (8, 16)
    assert one.mapping("model") == {"lora": {"rank": 8}}
    assert one.raw("model.lora.rank.deeper") is None


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("whole", "any.yaml: key must be a whole number, not 'four'"),
        ("number", "any.yaml: key must be a number, not 'four'"),
        ("flag", "any.yaml: key must be true or false, not 'four'"),
        ("mapping", "any.yaml: key must be a mapping, not 'four'"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_file_and_key(asked: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        getattr(reader(key="four"), asked)("key")
    assert (str(refused.value), refused.value.field) == (said, "key")


@pytest.mark.parametrize("value", [10**400, -(10**400), float("inf"), float("nan"), "1e999", True])
def test_what_is_no_finite_number(value: object) -> None:
    with pytest.raises(InputError, match="key must be a number"):
        reader(key=value).number("key")


def test_every_setting_is_understood_ignored_or_uncounted() -> None:
    one = reader(r=8, epochs=3, seed=1, compile=True, offload=False, unheard_of=1, empty=None)
    one.becomes("r", rank=8, method="lora")
    one.becomes_job("epochs", epochs=3)
    one.ignores("seed", "not_there")
    one.moves({"compile": "compiled graphs keep other tensors", "offload": "weights wait on the host"})
    one.default("any.py: optim", optimizer="sgd", rank=99)
    found = one.finish()
    assert found.run == {"rank": 8, "method": "lora"}
    assert found.job == {"epochs": 3}
    assert found.run_defaults == {"optimizer": "sgd"}  # the rank was given
    assert found.defaulted == (Default("optimizer", "sgd", "any.py: optim"),)
    assert found.understood == (Setting("r", 8, "rank 8, method lora"), Setting("epochs", 3, "epochs 3"))
    assert found.ignored == (Setting("seed", 1, ""), Setting("offload", False, ""))
    assert found.uncounted == (
        Setting("compile", True, "compiled graphs keep other tensors"),
        Setting("unheard_of", 1, "not a setting of any 1.0, as far as is known here"),
    )
    assert found.keys == {"rank": "r", "method": "r", "epochs": "epochs"}


def test_what_is_left_of_a_mapping_is_named_by_its_outermost_key() -> None:
    one = reader(model={"rank": 8, "new": {"a": 1, "b": 2}}, other={"c": 1})
    one.becomes("model.rank", rank=8)
    assert [setting.key for setting in one.finish().uncounted] == ["model.new", "other"]


def test_a_setting_that_gives_more_than_one_field_is_understood_once() -> None:
    one = reader(r=8)
    one.becomes("r", method="lora")
    one.becomes("r", rank=8)
    assert one.finish().understood == (Setting("r", 8, "method lora, rank 8"),)


def test_what_is_not_known_is_no_warning_where_it_can_do_nothing() -> None:
    shared = {"r": 8, "alpha": 16}
    one = reader(r=8, alpha=32, off=False, none="none", my_api_key="k", shared=shared, other={"beta": 1}, on=True)
    one.ignores("r", "alpha")
    found = one.finish()
    assert [setting.key for setting in found.uncounted] == ["other", "on"]
    assert [setting.key for setting in found.ignored] == ["r", "alpha", "off", "none", "my_api_key", "shared"]
    assert found.ignored[-1].text == "merged in where it is used"


def test_a_format_can_say_whose_config_it_is_after_all() -> None:
    one = reader(new=1)
    one.taken_for("Other", "other 2.0")
    found = one.finish()
    assert (found.format, found.title, found.version) == ("any", "Other", "other 2.0")
    assert found.uncounted[0].text == "not a setting of other 2.0, as far as is known here"


@pytest.mark.parametrize("text", ["${MODEL}", "$MODEL", "{{ model }}", "x/${oc.env:HOME}/y", "%MODEL%", "$(pwd)/m"])
def test_a_placeholder_is_no_value(text: str) -> None:
    one = reader(model=text, seed=text)
    assert one.raw("model") is None
    one.same({"model": "model"})
    one.ignores("seed")
    assert one.finish().uncounted == (Setting("model", text, PLACEHOLDER, ("model",)),)


def test_what_is_secret_is_in_no_setting() -> None:
    hidden = {"hub_token": "hf_1", "token": "hf_2", "wandb_api_key": "3", "aws_secret_access_key": "4"}
    one = reader(**hidden, pad_token="<pad>", use_auth_token=True)
    one.ignores(*hidden, "pad_token", "use_auth_token")
    shown = {setting.key: setting.value for setting in one.finish().ignored}
    assert shown == {**dict.fromkeys(hidden, "***"), "pad_token": "<pad>", "use_auth_token": True}


def test_numbers_and_switches_written_as_text_reach_the_run_as_such() -> None:
    one = reader(batch="4", dropout="5e-2", dora="true", name="8")
    one.becomes("batch", micro_batch_size="4")
    one.becomes("dropout", dropout="5e-2")
    one.becomes("dora", use_dora="true")
    one.becomes("name", model="8")
    assert one.finish().run == {"micro_batch_size": 4, "dropout": 0.05, "use_dora": True, "model": "8"}


def test_a_file_that_a_setting_names_is_put_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "zero.json").write_text('{"zero_optimization": {"stage": 2}}')
    one = reader(tmp_path, deepspeed="zero.json", other="nowhere.json", inline={"a": 1})
    assert one.include("deepspeed")
    assert one.whole("deepspeed.zero_optimization.stage") == 2
    assert not one.include("other")
    assert one.include("inline")
    one.ignores("deepspeed", "inline")
    found = one.finish()
    assert [setting.key for setting in found.uncounted] == ["other"]
    assert found.notes == (f"{tmp_path / 'zero.json'} is read with it, which deepspeed names",)


def test_a_models_path_is_looked_for_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    for written, found in {
        "./models": str(tmp_path / "models"),
        "models": "models",  # a name, which no path has to be
        "./elsewhere": "./elsewhere",
        "org/model": "org/model",
    }.items():
        one = reader(tmp_path, model=written)
        one.same({"model": "model"})
        assert one.finish().run["model"] == found


def test_off_is_off_however_it_is_written() -> None:
    assert all(map(is_off, (None, False, 0, 0.0, "", "none", "No", "0", "0.0", [], {})))
    assert not any(map(is_off, (True, 1, 0.1, "auto", "1", ["a"], {"a": 1})))


@given(st.text(max_size=50))
def test_text_is_a_number_only_where_it_is_written_as_one(text: str) -> None:
    value = plain(text)
    if isinstance(value, str):
        assert value == text
    else:
        assert isinstance(value, int | float)
        assert type(value)(text) == value
