"""Two records have the same key if, and only if, their results can be compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from planner.catalogue import find_model
from profiler.measure.types import Measurement
from profiler.records.key import digest, of_config, run_parts, settings
from tests.profiler.records.measurements import A100, CPU, DAY, RUN, VERSIONS, in_slices, measured, planned, recorded

KEY = recorded().key


def on(**fields: object) -> Measurement:
    return replace(measured(), device=replace(A100, **fields))


def with_version(name: str, version: str) -> Measurement:
    return replace(measured(), versions=tuple((dict(VERSIONS) | {name: version}).items()))


@pytest.mark.parametrize(
    "moved",
    [
        lambda: measured(RUN.replace(rank=8)),
        lambda: measured(RUN.replace(sequence_length=1024)),
        lambda: measured(RUN.replace(model="mistral-7b")),
        lambda: measured(device=CPU),
        lambda: on(name="NVIDIA A100-SXM4-80GB MIG 3g.40gb"),
        lambda: on(memory_bytes=80 * 10**9),
        lambda: on(driver="570.86.10"),
        lambda: on(runtime="CUDA 12.8"),
        lambda: with_version("torch", "2.12.0"),
        lambda: with_version("bitsandbytes", "0.49.0"),
        lambda: with_version("python", "3.12.1"),
        in_slices,
    ],
)
def test_what_moves_a_result_moves_the_key(moved: Callable[[], Measurement]) -> None:
    assert recorded(moved()).key != KEY


@pytest.mark.parametrize(
    "same",
    [
        lambda: measured(share=1.2),
        lambda: measured(RUN.replace(model="meta-llama/Llama-3.1-8B")),
        lambda: measured(RUN.replace(alpha=64)),
        lambda: measured(RUN.replace(rank=16, dropout=0.0)),
        lambda: replace(measured(), weights="./weights", loss=None, notes=()),
        lambda: on(free_bytes=1),
        lambda: with_version("python", "3.11.2"),
        lambda: with_version("nvidia-ml-py", "13.580.82"),
        lambda: measured(RUN.replace(transformers_version="5.23.0")),
    ],
)
def test_what_moves_none_does_not(same: Callable[[], Measurement]) -> None:
    record = recorded(same(), when=DAY.replace(year=2027))
    assert record.key == KEY
    assert record.id != recorded().id


@pytest.mark.parametrize("name", ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "CUBLAS_WORKSPACE_CONFIG"])
def test_settings_of_the_allocator_move_it(name: str) -> None:
    assert recorded(**{name: "expandable_segments:True"}).key != KEY
    assert recorded(**{name: " "}).key == KEY
    assert recorded(PATH="/bin", OMP_NUM_THREADS="4").key == KEY


def test_threads_move_what_a_cpu_does() -> None:
    assert settings({"OMP_NUM_THREADS": "4", "PYTORCH_ALLOC_CONF": "x"}, "cpu") == (("OMP_NUM_THREADS", "4"),)
    assert settings({"OMP_NUM_THREADS": "4"}, "tpu") == ()


def test_a_plan_has_the_key_of_its_run() -> None:
    config = find_model("llama-3.1-8b").config
    assert digest(run_parts(planned().run.to_dict(), config)) == recorded().run_key
    assert digest(run_parts(RUN.replace(rank=8).to_dict(), config)) != recorded().run_key


def test_where_a_config_is_from_does_not_count() -> None:
    config = find_model("llama-3.1-8b").config
    same = dict(reversed(config.items())) | {"_name_or_path": "here", "transformers_version": "4.1", "dtype": "float16"}
    assert of_config(same) == of_config(config)
    assert of_config(config | {"num_hidden_layers": 31}) != of_config(config)


def test_a_digest_is_sha_256_of_sorted_json() -> None:
    # printf %s '{"a":[1,null],"b":"\u00e9"}' | sha256sum
    assert digest({"b": "é", "a": [1, None]}) == "fdaff1fbea8b4eb51e48128b1db50baa5f3ff6285a4d66f88d8573babc400fd4"
