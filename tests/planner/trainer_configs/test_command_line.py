"""The command of a script: what is run, with which options, and what launches it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.trainer_configs.command_line import Command, find_command


def command(text: str) -> Command:
    found = find_command(text, "run.sh")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("--lora_r 8", {"lora_r": "8"}),
        ("--lora-r=8", {"lora_r": "8"}),
        ("--packing", {"packing": True}),
        ("--no_packing", {"packing": False}),
        ("--no-packing --lr 1", {"packing": False, "lr": "1"}),
        ("--no_cuda", {"no_cuda": True}),
        ("--bf16 True --tf32 false", {"bf16": "True", "tf32": "false"}),
        ("--lora_target_modules q_proj v_proj", {"lora_target_modules": ["q_proj", "v_proj"]}),
        ("""--lora_target_modules '["q_proj"]'""", {"lora_target_modules": ["q_proj"]}),
        ("""--kwargs '{"use_reentrant": false}'""", {"kwargs": {"use_reentrant": False}}),
        ("""--kwargs='{"use_reentrant": false}'""", {"kwargs": {"use_reentrant": False}}),
        ("--kwargs '{not json}'", {"kwargs": "{not json}"}),
        ("--max_steps -1 --x -1e-5", {"max_steps": "-1", "x": "-1e-5"}),
        ("--seed 1 --seed 2", {"seed": "2"}),
        ("--config a/recipe batch_size=4 model.rank=8", {"config": "a/recipe", "batch_size": "4", "model.rank": "8"}),
        ("--out $1", {"out": "${1}"}),
    ],
)
def test_options_are_taken_as_argparse_does(written: str, value: dict[str, Any]) -> None:
    assert command(f"python train.py {written}").options == value


@pytest.mark.parametrize(
    ("text", "words", "launcher"),
    [
        ("python train.py --a 1", ("python", "train.py"), {}),
        ("/opt/venv/bin/python3.11 -u train.py --a 1", ("/opt/venv/bin/python3.11", "train.py"), {}),
        ("python -m trl.scripts.sft --a 1", ("python", "trl.scripts.sft"), {}),
        ("trl sft --a 1", ("trl", "sft"), {}),
        (
            "accelerate launch --multi_gpu --num_processes 8 train.py --a 1",
            ("accelerate", "launch", "train.py"),
            {"multi_gpu": True, "num_processes": "8"},
        ),
        ("accelerate launch -m axolotl.cli.train --a 1", ("accelerate", "launch", "axolotl.cli.train"), {}),
        (
            "torchrun --standalone --nproc-per-node=4 $SCRIPT --a 1",
            ("torchrun", "$SCRIPT"),
            {"standalone": True, "nproc_per_node": "4"},
        ),
        ("python -m torch.distributed.run --nproc_per_node 4 t.py --a 1", ("python", "t.py"), {"nproc_per_node": "4"}),
        ("deepspeed --include localhost:0,1 t.py --a 1", ("deepspeed", "t.py"), {"include": "localhost:0,1"}),
        (
            "tune run --nproc_per_node 2 lora_finetune_distributed --config llama3/8B",
            ("tune", "run", "lora_finetune_distributed"),
            {"nproc_per_node": "2"},
        ),
        ("uv run --with trl accelerate launch t.py --a 1", ("accelerate", "launch", "t.py"), {}),
        ("uv run t.py --a 1", ("python", "t.py"), {}),
        (
            "CUDA_VISIBLE_DEVICES=0,1 OMP_NUM_THREADS=8 llamafactory-cli train --a 1",
            ("llamafactory-cli", "train"),
            {"CUDA_VISIBLE_DEVICES": "0,1"},
        ),
        ("export FORCE_TORCHRUN=1\ncd x && python t.py --a 1", ("python", "t.py"), {"FORCE_TORCHRUN": "1"}),
        ("srun --gpus 8 torchrun t.py --a 1 | tee log", ("torchrun", "t.py"), {}),
        ("if [ -d x ]; then python t.py --a 1; fi", ("python", "t.py"), {}),
        ("!accelerate launch t.py --a 1", ("accelerate", "launch", "t.py"), {}),
        ("$ python t.py --a 1", ("python", "t.py"), {}),
    ],
)
def test_what_is_run_is_told_from_what_launches_it(text: str, words: tuple[str, ...], launcher: dict[str, Any]) -> None:
    found = command(text)
    assert (found.words, found.launcher) == (words, launcher)
    assert set(found.options) <= {"a", "config"}


def test_variables_of_the_script_are_filled_in_and_others_stay_open() -> None:
    text = (
        'M=meta-llama/Llama-3.1-8B\nARGS=(--r 8\n  --t "q_proj")\npython t.py --model "$M" "${ARGS[@]}" --data $DATA\n'
    )
    assert command(text).options == {"model": "meta-llama/Llama-3.1-8B", "r": "8", "t": "q_proj", "data": "$DATA"}


def test_of_several_commands_the_one_with_most_options_is_taken() -> None:
    text = "python prepare.py --out x\npython train.py --lr 1 --epochs 2 --bf16\npython evaluate.py --a 1"
    assert command(text).words == ("python", "train.py")


@pytest.mark.parametrize(
    "text",
    [
        "model: x\ncommand: python train.py --a 1\n",
        "description: >\n  run it with\n  python train.py --a 1\nmodel: x\n",
        "echo nothing here",
        "# python train.py --a 1",
        "python",
    ],
)
def test_what_is_no_script_has_no_command(text: str) -> None:
    assert find_command(text, "x") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trl sft --config sft.yaml", "give that file: --config 'sft.yaml'"),
        ("llamafactory-cli train a/b.yaml", "give that file: --config 'a/b.yaml'"),
        ("accelerate launch -m axolotl.cli.train x.yml", "give that file: --config 'x.yml'"),
        (
            "accelerate launch --config_file zero3.yaml sft.py --config sft.yaml",
            "give that file: --config 'sft.yaml', and --config 'zero3.yaml' for how it is launched",
        ),
        ("python t.py --a 'x", "the command in it cannot be read (No closing quotation); correct it"),
    ],
)
def test_a_command_without_settings_says_where_they_stand(text: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        find_command(text, "run.sh")
    assert str(refused.value).startswith("run.sh") and str(refused.value).endswith(said)
    assert refused.value.field == "config"


@given(st.text(alphabet="ab -=_'\"{}[]$1\n\\:,.", max_size=60))
def test_any_script_is_a_command_or_an_input_error(text: str) -> None:
    try:
        find_command(f"python t.py {text}", "x")
    except InputError:
        return
