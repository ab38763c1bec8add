"""Typed access to a config: what is read, and the one sentence that each wrong value ends in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.architecture.config import LARGEST, LARGEST_INT, Config
from planner.catalogue import search_models
from planner.errors import InputError

FILE = "'config.json'"


def config(**values: object) -> Config:
    return Config(values, FILE)


def refusal(read: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        read()
    assert caught.value.field == "model"
    return str(caught.value)


# -- what is read --------------------------------------------------------------------------------


def test_values_of_every_type():
    c = config(
        hidden_size=4096,
        rms_norm_eps=1e-6,
        rope_theta=10000,
        tie_word_embeddings=False,
        model_type="llama",
        layer_types=["full_attention", "sliding_attention"],
        text_config={"hidden_size": 5},
    )
    assert c.int("hidden_size") == 4096
    assert c.float("rms_norm_eps") == 1e-6
    assert c.float("rope_theta") == 10000.0
    assert c.bool("tie_word_embeddings") is False
    assert c.str("model_type") == "llama"
    assert c.list("layer_types", of=str, length=2) == ["full_attention", "sliding_attention"]
    assert c.sub("text_config").int("hidden_size") == 5


def test_the_first_alternate_that_is_there_counts():
    assert config(n_embd=768).int("hidden_size", "n_embd") == 768
    assert config(hidden_size=None, n_embd=768).int("hidden_size", "n_embd") == 768
    assert config(hidden_size=1, n_embd=768).int("hidden_size", "n_embd") == 1


def test_null_is_missing():
    c = config(head_dim=None)
    assert not c.has("head_dim")
    assert c.int("head_dim", default=None) is None
    assert c.int("head_dim", default=128) == 128
    assert c.bool("head_dim", default=True) is True
    assert c.str("head_dim", default="x") == "x"
    assert c.list("head_dim", of=int, default=None) is None
    assert c.float("head_dim", default=0.5) == 0.5


def test_a_default_is_only_for_what_is_missing():
    assert config(num_experts=0).int("num_experts", minimum=0, default=8) == 0
    assert "n_experts" not in refusal(lambda: config(num_experts="x").int("num_experts", default=8))


def test_the_catalogue_is_within_the_bounds():
    """Every size of the 196 real configs is read under the bounds, with room to spare."""
    seen = set()
    for model in search_models():
        c = Config(model.config, model.id)
        for key in LARGEST:
            if isinstance(model.config.get(key), int):
                assert 0 <= c.int(key, minimum=0) <= LARGEST[key] // 4, (model.id, key)
                seen.add(key)
    assert {"hidden_size", "n_embd", "vocab_size", "num_hidden_layers", "num_local_experts"} <= seen


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("4096", "'hidden_size' in 'config.json' is \"4096\", which is text; write 4096"),
        (4096.0, "'hidden_size' in 'config.json' is 4096.0, which is a number; write 4096"),
        (4096.5, "'hidden_size' in 'config.json' is 4096.5, which is a number; write an integer"),
        ("wide", "'hidden_size' in 'config.json' is \"wide\", which is text; write an integer"),
        (True, "'hidden_size' in 'config.json' is true, which is a truth value; write an integer"),
        ([4096], "'hidden_size' in 'config.json' is a list; write an integer"),
        ({}, "'hidden_size' in 'config.json' is a mapping; write an integer"),
        (-1, "'hidden_size' in 'config.json' is -1; write an integer from 1 to 1,048,576"),
        (0, "'hidden_size' in 'config.json' is 0; write an integer from 1 to 1,048,576"),
        (2**20 + 1, "'hidden_size' in 'config.json' is 1048577; write an integer from 1 to 1,048,576"),
        pytest.param(
            10**5000,
            "'hidden_size' in 'config.json' is a number of more than 60 digits; write an integer from 1 to 1,048,576",
            id="huge",
        ),
        (None, "'config.json' has no 'hidden_size'; add it"),
    ],
)
def test_integers(value: object, message: str):
    assert refusal(lambda: config(hidden_size=value).int("hidden_size")) == message


@pytest.mark.parametrize(
    ("key", "largest"),
    [
        ("hidden_size", 2**20),
        ("num_hidden_layers", 10_000),
        ("vocab_size", 2**24),
        ("num_experts", 2**16),
        ("some_size", LARGEST_INT),
    ],
)
def test_absurd_sizes(key: str, largest: int):
    assert Config({key: largest}, FILE).int(key) == largest
    assert f"to {largest:,}" in refusal(lambda: Config({key: largest + 1}, FILE).int(key))


def test_bounds_of_the_caller():
    assert "from 2 to 4" in refusal(lambda: config(n=5).int("n", minimum=2, maximum=4))
    assert "of at least 0" in refusal(lambda: config(x=-0.5).float("x", minimum=0))
    assert "of at most 1" in refusal(lambda: config(x=1.5).float("x", maximum=1))
    assert "from 0 to 1" in refusal(lambda: config(x=1.5).float("x", minimum=0, maximum=1))


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (
            lambda: config(eps="1e-6").float("eps"),
            "'eps' in 'config.json' is \"1e-6\", which is text; write 1e-06",
        ),
        (
            lambda: config(eps=float("nan")).float("eps"),
            "'eps' in 'config.json' is nan; write a finite number",
        ),
        (
            lambda: config(eps=10**400).float("eps"),
            "'eps' in 'config.json' is a number of more than 60 digits; write a finite number",
        ),
        (
            lambda: config(eps=True).float("eps"),
            "'eps' in 'config.json' is true, which is a truth value; write a number",
        ),
        (
            lambda: config(tied="False").bool("tied"),
            "'tied' in 'config.json' is \"False\", which is text; write false",
        ),
        (lambda: config(tied=1).bool("tied"), "'tied' in 'config.json' is 1, which is a number; write true"),
        (
            lambda: config(tied="no").bool("tied"),
            "'tied' in 'config.json' is \"no\", which is text; write true or false",
        ),
        (
            lambda: config(model_type=7).str("model_type"),
            "'model_type' in 'config.json' is 7, which is a number; write text",
        ),
        (
            lambda: config(model_type=" ").str("model_type"),
            "'model_type' in 'config.json' is \" \"; write a text that is not empty",
        ),
        (
            lambda: config(types="full").list("types", of=str),
            "'types' in 'config.json' is \"full\", which is text; write a list",
        ),
        (
            lambda: config(types=["full", 1]).list("types", of=str),
            "'types[1]' in 'config.json' is 1, which is a number; write text",
        ),
        (
            lambda: config(layers=[1, True]).list("layers", of=int),
            "'layers[1]' in 'config.json' is true, which is a truth value; write an integer",
        ),
        (
            lambda: config(types=["full"]).list("types", of=str, length=32),
            "'types' in 'config.json' has 1 items; write 32",
        ),
        (
            lambda: config(types=[1] * 70_000).list("types", of=int),
            "'types' in 'config.json' has 70,000 items; write at most 65,536",
        ),
        (lambda: config().sub("text_config"), "'config.json' has no 'text_config'; add it"),
        (
            lambda: config(text_config=[1]).sub("text_config"),
            "'text_config' in 'config.json' is a list; write a mapping",
        ),
        (
            lambda: config(text_config={"hidden_size": "5"}).sub("text_config").int("hidden_size"),
            "'text_config.hidden_size' in 'config.json' is \"5\", which is text; write 5",
        ),
        (
            lambda: config().int("hidden_size", "n_embd"),
            "'config.json' has no 'hidden_size' or 'n_embd'; add it",
        ),
    ],
)
def test_each_wrong_value_is_one_sentence(read: Callable[[], object], message: str):
    assert refusal(read) == message


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@given(JSON_LIKE)
def test_any_value_is_read_as_its_type_or_refused(value: object):
    c = config(hidden_size=value)
    reads: list[tuple[type, Callable[[], object]]] = [
        (int, lambda: c.int("hidden_size")),
        (float, lambda: c.float("hidden_size")),
        (bool, lambda: c.bool("hidden_size")),
        (str, lambda: c.str("hidden_size")),
        (list, lambda: c.list("hidden_size", of=str)),
        (Config, lambda: c.sub("hidden_size")),
    ]
    for kind, read in reads:
        try:
            found = read()
        except InputError as error:
            assert str(error).isprintable()
        else:
            assert type(found) is kind
