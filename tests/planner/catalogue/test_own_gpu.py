"""A card of the user's own: what it holds when little is said, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.catalogue import list_gpus, own_gpu, read_gpu_file
from planner.errors import InputError
from planner.units import GIB, MIB


def test_memory_alone_is_enough():
    gpu = own_gpu(24)
    assert gpu.name == "custom"
    assert gpu.memory_bytes == 24 * GIB
    assert gpu.usable_bytes == gpu.torch_total_bytes - gpu.context_bytes
    # no less than any card of the catalogue with as much memory leaves
    assert gpu.usable_bytes <= min(card.usable_bytes for card in list_gpus() if card.memory_bytes >= 24 * GIB)
    assert "the driver is taken to keep 2.2%" in gpu.memory_basis


def test_a_compute_capability_brings_its_context():
    assert own_gpu(24, compute_capability="8.9").context_bytes == 507 * MIB


def test_what_the_user_says_is_usable_is_usable():
    gpu = own_gpu(24, usable_gib=20.5)
    assert gpu.usable_bytes == 20.5 * GIB
    assert gpu.torch_total_bytes <= gpu.memory_bytes
    assert own_gpu(24, usable_gib=24).context_bytes == 0


@pytest.mark.parametrize(("capability", "bf16"), [("7.5", False), ("6.1", False), ("8.0", True), ("12.0", True)])
def test_bf16_follows_the_compute_capability(capability: str, bf16: bool):
    assert own_gpu(16, compute_capability=capability).native_bf16 is bf16
    assert own_gpu(16, compute_capability=capability, native_bf16=True).native_bf16 is True


@pytest.mark.parametrize("name", ["card.toml", "card.json", "card.yaml"])
def test_a_card_in_a_file(name: str, tmp_path: Path):
    texts = {
        ".toml": 'name = "2x"\nmemory_gib = 22.5\nbandwidth_gb_s = 600\nbf16_tflops = 70.0\n',
        ".json": '{"name": "2x", "memory_gib": 22.5, "bandwidth_gb_s": 600, "bf16_tflops": 70.0}',
        ".yaml": "name: 2x\nmemory_gib: 22.5\nbandwidth_gb_s: 600\nbf16_tflops: 70.0\n",
    }
    path = tmp_path / name
    path.write_text(texts[path.suffix])
    gpu = read_gpu_file(path)
    assert gpu == own_gpu(22.5, "2x", bandwidth_gb_s=600, bf16_tflops=70.0)
    assert (gpu.memory_bytes, gpu.bandwidth, gpu.bf16_tflops) == (22.5 * GIB, 600e9, 70)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"memory_gib": 0}, "the card's memory_gib is 0; write a number from 1 to 4096"),
        ({"memory_gib": -24}, "the card's memory_gib is -24; write a number from 1 to 4096"),
        ({"memory_gib": 10**9}, "the card's memory_gib is 1000000000; write a number from 1 to 4096"),
        ({"memory_gib": 10**5000}, "the card's memory_gib is huge; write a number from 1 to 4096"),
        ({"memory_gib": float("nan")}, "the card's memory_gib is nan; write a number from 1 to 4096"),
        ({"memory_gib": "24"}, "the card's memory_gib is '24'; write a number from 1 to 4096"),
        ({"memory_gib": True}, "the card's memory_gib is True; write a number from 1 to 4096"),
        ({"memory_gib": None}, "the card's memory_gib is missing; write the card's memory in GiB"),
        ({"memory_gib": 24, "usable_gib": 25}, "the card's usable_gib is 25; write a number from 0.5 to 24"),
        (
            {"memory_gib": 24, "name": ""},
            "the card's name is ''; write a text of up to 200 characters, in quotes",
        ),
        (
            {"memory_gib": 24, "compute_capability": 8.9},
            "the card's compute_capability is 8.9; write a text of up to 200 characters, in quotes",
        ),
        ({"memory_gib": 24, "native_bf16": 1}, "the card's native_bf16 is 1; write true or false"),
    ],
)
def test_bad_fields_are_refused(fields: dict[str, object], message: str):
    with pytest.raises(InputError) as caught:
        own_gpu(**fields)
    assert str(caught.value) == message
    assert caught.value.field == "gpu"


def test_an_unknown_field_finds_the_nearest(tmp_path: Path):
    path = tmp_path / "card.json"
    path.write_text('{"memory_gb": 24}')
    with pytest.raises(InputError, match=r"field 'memory_gb' is unknown; .*; did you mean 'memory_gib'\?"):
        read_gpu_file(path)


def test_a_file_has_to_say_the_memory(tmp_path: Path):
    path = tmp_path / "card.toml"
    path.write_text('name = "mine"\n')
    with pytest.raises(InputError, match="memory_gib is missing"):
        read_gpu_file(path)


@pytest.mark.parametrize("text", ["memory_gib = ", "[[", "\x00", "memory_gib = 1\nmemory_gib = 2", "a = " + "[" * 5000])
def test_broken_files_are_refused(text: str, tmp_path: Path):
    path = tmp_path / "card.toml"
    path.write_text(text)
    with pytest.raises(InputError):
        read_gpu_file(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200), suffix=st.sampled_from([".toml", ".json", ".yaml", ".txt"]))
def test_any_bytes_are_a_card_or_refused(data: bytes, suffix: str, tmp_path: Path):
    path = tmp_path / f"card{suffix}"
    path.write_bytes(data)
    try:
        gpu = read_gpu_file(path)
    except InputError as error:
        assert str(error)
    else:
        assert gpu.usable_bytes < gpu.memory_bytes


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.integers())


@given(memory=ANYTHING, name=ANYTHING, usable=ANYTHING, capability=ANYTHING)
def test_any_fields_are_a_card_or_refused(memory: object, name: object, usable: object, capability: object):
    try:
        gpu = own_gpu(memory, name, usable_gib=usable, compute_capability=capability)
    except InputError as error:
        assert str(error).isprintable()
    else:
        assert gpu.usable_bytes <= gpu.memory_bytes
