"""Everything wrong that people feed in: one sentence, exit status 2, and the same as JSON with --json."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lora_plan.commands.plan import OPTIONS
from tests.lora_plan.cli import Outcome, call

LLAMA = ("--model", "llama-3.1-8b")
BAD = {
    "unknown model": (("--model", "lama-70b"), "model", "did you mean 'llama-70b'"),
    "unknown GPU": ((*LLAMA, "--gpu", "a100-800"), "gpu", "did you mean"),
    "unknown method": ((*LLAMA, "--method", "qlorra"), "method", "did you mean 'qlora'"),
    "unknown optimizer": ((*LLAMA, "--optimizer", "adamw_torhc"), "optimizer", "did you mean 'adamw_torch'"),
    "rank 0": ((*LLAMA, "--rank", "0"), "rank", "--rank must be a whole number from 1"),
    "rank of no matrix": ((*LLAMA, "--rank", "65536"), "rank", "65,?536"),
    "targets that match nothing": ((*LLAMA, "--target-modules", "q_prj"), "target_modules", "q_proj"),
    "a batch of 0": ((*LLAMA, "--batch-size", "0"), "micro_batch_size", "--batch-size must be"),
    "a billion tokens": ((*LLAMA, "--seq-len", "1000000000"), "sequence_length", "--seq-len must be"),
    "a negative number": ((*LLAMA, "--rank", "-8"), "rank", "-8"),
    "a number of 5,000 digits": ((*LLAMA, "--rank", "9" * 5000), "rank", "--rank must be"),
    "qlora that is full": ((*LLAMA, "--method", "full", "--quantization", "nf4"), "quantization", "full"),
    "a rank without an adapter": ((*LLAMA, "--method", "full", "--rank", "8"), "rank", "does not apply"),
    "two precisions": ((*LLAMA, "--precision", "bf16", "--base-dtype", "float32"), "base_dtype", "not both"),
    "an unknown precision": ((*LLAMA, "--precision", "bf17"), "precision", "did you mean"),
    "two cards": ((*LLAMA, "--gpu", "t4", "--gpu-memory", "24"), "gpu", "two cards"),
    "no number of GiB": ((*LLAMA, "--gpu-memory", "much"), "gpu_memory", "--gpu-memory must be"),
    "endless GiB": ((*LLAMA, "--gpu-memory", "inf"), "gpu", "memory_gib"),
    "a check of nothing": ((*LLAMA, "--check"), "gpu", "--check needs a card"),
    "a check of an explanation": (
        (*LLAMA, "--gpu", "t4", "--check", "--explain", "adapters"),
        "explain",
        "one of them",
    ),
    "no such component": ((*LLAMA, "--explain", "adaptors"), "explain", "did you mean 'adapters'"),
    "no model": (("--rank", "8"), "model", "--model is missing"),
    "no such run file": (("--run", "nowhere.yaml"), None, "nowhere.yaml"),
    "no such card file": ((*LLAMA, "--gpu-file", "nowhere.yaml"), None, "nowhere.yaml"),
    "no way to save": ((*LLAMA, "--save-run", "/nowhere/run.yaml"), None, "/nowhere/run.yaml"),
    "no kind of file to save": ((*LLAMA, "--save-run", "run.txt"), None, "run.txt"),
    "unknown option": ((*LLAMA, "--rnak", "8"), None, "did you mean '--rank'"),
    "option of nothing like it": (("--zzzzzz",), None, "lora-plan --help"),
    "a switch with a value": ((*LLAMA, "--packing=yes"), None, "'--packing' is a switch"),
    "unknown command": (("modles",), None, "did you mean 'models'"),
    "options before a command": ((*LLAMA, "models"), None, "write `lora-plan models`"),
    "--json before a command": (("--json", "gpus"), None, "write `lora-plan gpus`"),
    "no such model to list": (("models", "lamma-70b"), "query", "did you mean"),
    "no such card to list": (("gpus", "a100-800"), "gpu", "did you mean"),
}

CONFIGS = {
    "truncated": '{"model_type": "llama", "hidden_size": 4096,',
    "not JSON": "model_type: llama",
    "a list": "[1, 2]",
    "empty": "",
    "strings for numbers": '{"model_type": "llama", "hidden_size": "big"}',
    "missing keys": '{"model_type": "llama"}',
    "negative layers": json.dumps(
        {
            "model_type": "llama",
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_attention_heads": 4,
            "num_hidden_layers": -2,
            "vocab_size": 100,
        }
    ),
    "deep": "[" * 5000,
}

RUN_FILES = {
    "a key twice": "model: llama-3.1-8b\nrank: 8\nrank: 16\n",
    "anchors that explode": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "an unknown field": "model: llama-3.1-8b\nrnak: 8\n",
    "code": "model: !!python/object/apply:os.system ['true']\n",
    "a list": "- model\n",
    "nothing": "",
    "not YAML": "model: [\n",
    "a card": "model: llama-3.1-8b\ngpu: t4\n",
}


def refused(outcome: Outcome) -> str:
    """The one sentence of a refusal."""
    assert outcome.status == 2, outcome
    assert outcome.err.startswith("lora-plan: ")
    assert outcome.err.count("\n") == 1
    assert outcome.err.endswith("\n")
    assert "Traceback" not in outcome.err
    return outcome.err.removeprefix("lora-plan: ").rstrip("\n")


def refused_in_json(outcome: Outcome) -> dict[str, object]:
    """The error of a refusal with --json, which says the same on both streams."""
    message = refused(outcome)
    error = json.loads(outcome.out)["error"]
    assert set(error) == {"message", "field", "kind"}
    assert error["message"] == message
    return error


@pytest.mark.parametrize("name", BAD)
def test_bad_options(name: str) -> None:
    argv, field, words = BAD[name]
    outcome = call(*argv)
    assert re.search(words, refused(outcome))
    assert outcome.out == "" or "--json" in argv
    error = refused_in_json(call(*argv, "--json"))
    assert error["field"] == field
    assert error["kind"] in ("input", "usage")


def test_an_option_without_its_value() -> None:
    assert "'--model'" in refused(call("--model"))
    assert refused_in_json(call("--json", "--model"))["kind"] == "usage"
    assert "'--model' needs a value" in refused(call("--model", "--rank", "8"))
    assert "'--model' needs a value" in refused(call("--model", "--rank=8"))
    assert "'--model' needs a value" in refused(call("--model", "--no-packing"))


def test_an_option_with_one_dash() -> None:
    assert "option '-rank' is not known; did you mean '--rank'" in refused(call("-rank", "8"))


def test_an_option_of_another_command() -> None:
    assert "option '--rank' is not known" in refused(call("models", "--rank", "8"))


@pytest.mark.parametrize("name", CONFIGS)
def test_bad_configs(name: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(CONFIGS[name])
    assert "config.json" in refused(call("--model", str(path)))
    assert refused_in_json(call("--model", str(path), "--json"))["kind"] == "input"


def test_a_config_of_200_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(200 * 10**6)
    assert "MiB" in refused(call("--model", str(path)))


@pytest.mark.parametrize("name", RUN_FILES)
def test_bad_run_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(RUN_FILES[name])
    assert "run.yaml" in refused(call("--run", str(path)))
    refused_in_json(call("--run", str(path), "--json"))


def test_an_unknown_architecture_is_an_abstention(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "rwkv", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100}')
    error = refused_in_json(call("--model", str(path), "--json"))
    assert error["kind"] == "abstained"
    assert "rwkv" in str(error["message"])


def test_a_strategy_in_no_table_is_an_abstention() -> None:
    error = refused_in_json(call(*LLAMA, "--gpus", "2", "--strategy", "zero3", "--json"))
    assert error["kind"] == "abstained"


WORDS = (
    "", "0", "1", "-1", "7", "1e9", "nan", "inf", "999999999999", "true", "none", "bf16", "nf4", "int8",
    "full", "lora", "qlora", "all-linear", "q_proj", "(", "../..", "/dev/zero", "t4", "a100-80", "--json",
)  # fmt: skip
VALUES = st.one_of(st.sampled_from(WORDS), st.text(max_size=20))
TEXTS = [option.flag for option in OPTIONS if option.metavar and option.name not in ("model", "save_run")]
SWITCHES = [option.flag for option in OPTIONS if option.negated]
ARGUMENTS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(TEXTS), VALUES),
        st.tuples(st.sampled_from([*SWITCHES, "--check", "--json", "--version", "--help"])),
        st.tuples(st.sampled_from(SWITCHES).map(lambda flag: flag.replace("--", "--no-", 1))),
        st.tuples(st.text(max_size=12)),
    ),
    max_size=5,
)


@given(ARGUMENTS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_arguments_end_in_a_traceback(parts: list[tuple[str, ...]]) -> None:
    argv = [*LLAMA, *(word for part in parts for word in part)]
    outcome = call(*argv)
    assert outcome.status in (0, 1, 2), outcome
    if outcome.status == 2:
        refused(outcome)
    else:
        assert outcome.err == ""
