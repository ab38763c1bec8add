"""What launchers say of a run: how many GPUs, how they share, and autocast's dtype."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from planner.errors import InputError
from planner.trainer_configs.command_line import find_command
from planner.trainer_configs.document import Document
from planner.trainer_configs.format import ConfigFormat
from planner.trainer_configs.launcher import read_launcher
from planner.trainer_configs.reader import Reader
from planner.trainer_configs.types import TrainerConfig

ANY = ConfigFormat(name="any", title="Any", version="any 1.0", signs=lambda document: (), read=lambda reader: None)


def launched(text: str, **how: Any) -> TrainerConfig:
    command = find_command(text, "run.sh")
    assert command is not None
    reader = Reader(Document("run.sh", Path(), {}, command.words, command.launcher), ANY)
    read_launcher(reader, **how)
    return reader.finish()


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("accelerate launch --num_processes 4 t.py --a 1", {"num_gpus": 4}),
        ("accelerate launch --num_processes=4 --gpu_ids 0,1,2,3 t.py --a 1", {"num_gpus": 4}),
        ("accelerate launch --gpu_ids 0,2 t.py --a 1", {"num_gpus": 2}),
        ("accelerate launch --gpu_ids all t.py --a 1", {}),
        ("torchrun --standalone --nproc-per-node 2 t.py --a 1", {"num_gpus": 2}),
        ("torchrun --nproc_per_node gpu t.py --a 1", {}),
        ("torchrun --nnodes 1:1 --nproc_per_node 8 t.py --a 1", {"num_gpus": 8}),
        ("deepspeed --num_gpus 2 t.py --a 1", {"num_gpus": 2}),
        ("deepspeed --include localhost:1,3,5 t.py --a 1", {"num_gpus": 3}),
        ("CUDA_VISIBLE_DEVICES=3 python t.py --a 1", {"num_gpus": 1}),
        ("CUDA_VISIBLE_DEVICES=0,1 accelerate launch t.py --a 1", {"num_gpus": 2}),
        ("NPROC_PER_NODE=4 FORCE_TORCHRUN=1 llamafactory-cli train --a 1", {"num_gpus": 4}),
        ("accelerate launch --mixed_precision fp16 t.py --a 1", {"mixed_precision": "fp16"}),
        ("accelerate launch --use_deepspeed t.py --a 1", {"strategy": "zero2"}),
        ("accelerate launch --use_deepspeed --zero_stage 3 t.py --a 1", {"strategy": "zero3"}),
        ("accelerate launch --use_deepspeed --zero_stage 0 t.py --a 1", {"strategy": "ddp"}),
        ("accelerate launch --zero_stage 3 t.py --a 1", {}),
        ("accelerate launch --use_fsdp t.py --a 1", {"strategy": "fsdp"}),
        ("accelerate launch --use_fsdp --fsdp_version 2 t.py --a 1", {"strategy": "fsdp2"}),
        ("accelerate launch --fsdp_version 2 t.py --a 1", {}),
        ("accelerate launch --accelerate_config zero3 t.py --a 1", {"num_gpus": 8, "strategy": "zero3"}),
        (
            "accelerate launch --num_processes 2 --accelerate_config fsdp2 t.py --a 1",
            {"num_gpus": 2, "strategy": "fsdp2"},
        ),
        ("python t.py --a 1", {}),
    ],
)
def test_a_launcher_gives_fields_of_the_run(text: str, run: dict[str, Any]) -> None:
    assert launched(text).run == run


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("accelerate launch --num_machines 2 t.py --a 1", "--num_machines"),
        ("torchrun --nnodes 2 t.py --a 1", "--nnodes"),
        ("accelerate launch --config_file ds.yaml t.py --a 1", "--config_file"),
        ("accelerate launch --use_deepspeed --zero_stage 2 t.py --a 1", "--use_deepspeed"),
        ("accelerate launch --use_deepspeed --offload_optimizer_device cpu t.py --a 1", "--offload_optimizer_device"),
        ("accelerate launch --use_fsdp --fsdp_offload_params true t.py --a 1", "--use_fsdp.fsdp_offload_params"),
        ("accelerate launch --mixed_precision fp8 t.py --a 1", "--mixed_precision"),
        ("accelerate launch --dynamo_backend inductor t.py --a 1", "--dynamo_backend"),
        ("accelerate launch --cpu t.py --a 1", "--cpu"),
        ("CUDA_VISIBLE_DEVICES=0,1 python t.py --a 1", "CUDA_VISIBLE_DEVICES"),
        ("PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True python t.py --a 1", "PYTORCH_CUDA_ALLOC_CONF"),
        ("accelerate launch --unheard_of 1 t.py --a 1", "--unheard_of"),
    ],
)
def test_what_a_run_cannot_say_is_uncounted(text: str, key: str) -> None:
    assert key in {setting.key for setting in launched(text).uncounted}


def test_options_of_where_processes_run_are_ignored() -> None:
    text = "torchrun --nnodes 1 --node_rank 0 --master_addr localhost --master_port 1 --rdzv_id 2 t.py --a 1"
    config = launched(text)
    assert (config.run, config.uncounted) == ({}, ())
    assert len(config.ignored) == 5


def test_a_program_with_a_precision_of_its_own_goes_over_the_launcher_s() -> None:
    config = launched("accelerate launch --mixed_precision fp16 t.py --a 1", mixed_precision=False)
    assert (config.run, config.ignored[0].text) == ({}, "the program's own setting goes over it")


def test_a_count_that_is_no_number_is_an_error() -> None:
    with pytest.raises(InputError, match="--num_processes must be a whole number, not 'many'"):
        launched("accelerate launch --num_processes many t.py --a 1")


def test_a_placeholder_stays_open() -> None:
    config = launched("torchrun --nproc_per_node $GPUS t.py --a 1")
    assert config.run == {}
    assert [setting.key for setting in config.uncounted] == ["--nproc_per_node"]


def _options(parser: argparse.ArgumentParser) -> dict[str, bool]:
    """Each long option, and whether it is a switch."""
    return {
        option.removeprefix("--").replace("-", "_"): action.nargs == 0
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--") and option not in ("--help",)
    }


def test_every_option_of_the_launchers_is_known() -> None:
    accelerate = pytest.importorskip("accelerate.commands.launch")
    torch = pytest.importorskip("torch.distributed.run")
    for start, options in (
        ("accelerate launch", _options(accelerate.launch_command_parser())),
        ("torchrun", _options(torch.get_args_parser())),
    ):
        for name, switch in options.items():
            if name == "module":
                continue  # the program follows, by another kind of name
            config = launched(f"{start} --{name}{'' if switch else ' 1'} t.py --a 1")
            left = [setting for setting in config.uncounted if "not a setting of" in setting.text]
            assert left == [], f"{start} {name}"
            found = find_command(f"{start} --{name}{'' if switch else ' 1'} t.py --a 1", "x")
            assert found is not None
            assert found.words[-1] == "t.py", f"{start} {name}"
