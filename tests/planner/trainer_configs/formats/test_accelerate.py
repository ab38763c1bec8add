"""accelerate's configs: the runs in them, beside what accelerate's own classes make of the same files."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import InputError
from planner.run import TrainingRun
from planner.trainer_configs import TrainerConfig
from planner.trainer_configs.document import Document
from planner.trainer_configs.formats.accelerate import FORMAT, fsdp, launcher, read_fsdp_config
from planner.trainer_configs.read import read_config
from planner.trainer_configs.reader import Reader

DATA = Path(__file__).parent / "data" / "accelerate"

MODEL = {"model": "mistral-7b", "method": "lora"}
"""What a launcher's config does not say, and a person adds."""

FILES = sorted(path.name for path in DATA.iterdir() if not path.name.startswith("ds_"))


def read(name: str) -> TrainerConfig:
    return read_config(DATA / name, "accelerate")


def made(config: TrainerConfig) -> TrainingRun:
    return TrainingRun(**{**config.run_defaults, **config.run, **MODEL})


def of(content: dict[str, Any]) -> TrainerConfig:
    reader = Reader(Document("default_config.yaml", Path(), content), FORMAT)
    FORMAT.read(reader)
    return reader.finish()


def of_fsdp(content: dict[str, Any]) -> TrainerConfig:
    reader = Reader(Document("args.yaml", Path(), {"fsdp_config": content}), FORMAT)
    read_fsdp_config(reader, "fsdp_config")
    return reader.finish()


def uncounted(config: TrainerConfig) -> set[str]:
    return {setting.key for setting in config.uncounted}


def test_each_file_is_known_as_accelerates() -> None:
    from planner.trainer_configs.document import read_document

    for name in FILES:
        assert FORMAT.signs(read_document(DATA / name)), name
    assert not FORMAT.signs(Document("a", Path(), {"fsdp_config": {}, "num_processes": 2, "mixed_precision": "bf16"}))


def test_fsdp_on_two_gpus() -> None:
    config = read("fsdp_two_gpus.yaml")
    assert made(config) == TrainingRun(
        **MODEL,
        num_gpus=2,
        strategy="fsdp",
        mixed_precision="bf16",
        gradient_checkpointing=True,
        use_reentrant=False,
    )
    assert uncounted(config) == set()


def test_fsdp2_in_host_memory() -> None:
    config = read("fsdp2_offload.yaml")
    assert made(config) == TrainingRun(
        **MODEL,
        num_gpus=16,
        strategy="fsdp2",
        mixed_precision="no",
        gradient_checkpointing=True,
        use_reentrant=False,
        checkpoint_offload=True,
    )
    assert uncounted(config) == {
        *("num_machines", "parallelism_config", "fsdp_config.fsdp_reshard_after_forward"),
        "fsdp_config.fsdp_offload_params",
    }


def test_zero_3_by_the_plugins_own_settings() -> None:
    config = read("zero3.yaml")
    assert made(config) == TrainingRun(
        **MODEL,
        num_gpus=8,
        strategy="zero3",
        base_dtype="bfloat16",
        mixed_precision="no",
        gradient_accumulation_steps=4,
        max_grad_norm=1.0,
    )
    assert uncounted(config) == {"deepspeed_config", "deepspeed_config.offload_param_device"}


def test_a_deepspeed_file_beside_it_is_read_with_it() -> None:
    config = read("zero_by_file.yaml")
    assert made(config) == TrainingRun(
        **MODEL,
        num_gpus=4,
        strategy="zero2",
        base_dtype="bfloat16",
        mixed_precision="no",
        micro_batch_size=2,
        gradient_accumulation_steps=8,
    )
    assert uncounted(config) == {
        "deepspeed_config_file.zero_optimization",
        "deepspeed_config_file.zero_optimization.offload_optimizer",
    }
    assert any("ds_zero2.json is read with it" in note for note in config.notes)


def test_a_deepspeed_file_that_is_not_there_is_uncounted() -> None:
    config = of({"distributed_type": "DEEPSPEED", "deepspeed_config": {"deepspeed_config_file": "no/such.json"}})
    assert uncounted(config) == {"deepspeed_config_file"}
    assert "strategy" not in config.run


def test_several_gpus() -> None:
    config = read("several_gpus.yaml")
    assert made(config) == TrainingRun(**MODEL, num_gpus=4, strategy="ddp", mixed_precision="fp16")
    assert uncounted(config) == set()


def test_one_gpu_and_a_compiler() -> None:
    config = read("one_gpu_compiled.yaml")
    assert made(config) == TrainingRun(**MODEL, num_gpus=1, mixed_precision="bf16")
    assert uncounted(config) == {"dynamo_config"}


def test_a_file_of_an_earlier_release() -> None:
    config = read("of_2022.json")
    assert made(config) == TrainingRun(**MODEL, num_gpus=2, strategy="ddp", mixed_precision="fp16")
    assert uncounted(config) == set()


def test_eight_bits() -> None:
    config = read("fp8.yaml")
    assert made(config) == TrainingRun(**MODEL, num_gpus=8, strategy="ddp")
    assert uncounted(config) == {"mixed_precision", "fp8_config"}


@pytest.mark.parametrize(
    ("content", "strategy", "warned"),
    [
        ({"fsdp_sharding_strategy": 1}, "fsdp", False),
        ({"fsdp_sharding_strategy": "SHARD_GRAD_OP"}, "fsdp", True),
        ({"fsdp_sharding_strategy": "3"}, "ddp", False),
        ({"fsdp_sharding_strategy": "HYBRID_SHARD"}, "fsdp", True),
        ({"fsdp_version": 2, "fsdp_reshard_after_forward": True}, "fsdp2", False),
        ({"fsdp_version": "2", "fsdp_reshard_after_forward": "false"}, "fsdp2", True),
        ({"fsdp_backward_prefetch": "NO_PREFETCH"}, "fsdp", True),
        ({"fsdp_backward_prefetch_policy": "BACKWARD_PRE"}, "fsdp", False),
        ({"fsdp_auto_wrap_policy": "SIZE_BASED_WRAP", "fsdp_min_num_params": 100_000_000}, "fsdp", True),
        ({"fsdp_transformer_layer_cls_to_wrap": "LlamaDecoderLayer,LlamaMLP"}, "fsdp", True),
        ({"fsdp_later": 1}, "fsdp", True),
    ],
)
def test_what_fsdp_shards(content: dict[str, Any], strategy: str, warned: bool) -> None:
    config = of({"distributed_type": "FSDP", "num_processes": 2, "fsdp_config": content})
    assert config.run["strategy"] == strategy
    assert bool(config.uncounted) == warned


def test_settings_of_a_trainers_fsdp_have_no_prefix() -> None:
    config = of_fsdp(
        {
            "version": 1,
            "transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"],
            "activation_checkpointing": True,
            "backward_prefetch": "backward_pre",
            "limit_all_gathers": True,
            "cpu_ram_efficient_loading": True,
            "min_num_params": 0,
            "xla": False,
        }
    )
    assert config.run == {"strategy": "fsdp", "gradient_checkpointing": True, "use_reentrant": False}
    assert not config.uncounted


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"num_processes": "many"}, "num_processes"),
        ({"distributed_type": ["FSDP"]}, "distributed_type"),
        ({"distributed_type": "FSDP", "fsdp_config": "full"}, "fsdp_config"),
        ({"distributed_type": "FSDP", "fsdp_config": {"fsdp_sharding_strategy": "MOST"}}, "fsdp_config."),
        ({"distributed_type": "FSDP", "fsdp_config": {"fsdp_activation_checkpointing": 7}}, "fsdp_config."),
    ],
)
def test_a_value_that_makes_no_sense_is_named(content: dict[str, Any], key: str) -> None:
    with pytest.raises(InputError) as caught:
        of(content)
    assert (caught.value.field or "").startswith(key)
    assert str(caught.value).startswith("default_config.yaml: ")


def test_a_precision_that_there_is_none_of_is_refused_by_the_run() -> None:
    with pytest.raises(InputError, match="mixed_precision must be"):
        made(of({"distributed_type": "NO", "mixed_precision": "int4"}))


def test_settings_of_a_later_release_and_placeholders_are_uncounted() -> None:
    config = of({"distributed_type": "NO", "num_processes": "${GPUS}", "newer": 1})
    assert uncounted(config) == {"num_processes", "newer"}


def test_processes_that_a_scheduler_counts_are_left_out() -> None:
    assert "num_gpus" not in of({"distributed_type": "MULTI_GPU", "num_processes": -1}).run


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["FSDP", "DEEPSPEED", "NO", "${X}", "2"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from([*fsdp.KNOWN_OF_FSDP, "fsdp_version", "zero_stage", "dynamo_backend", "tp_size"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
KEYS = ["distributed_type", "fsdp_config", "deepspeed_config", "num_processes", "mixed_precision", "newer", "fp16"]


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from([*KEYS, *launcher.HARMLESS, *launcher.MOVES]), VALUES, max_size=6))
def test_any_mapping_is_read_or_refused_in_one_sentence(content: dict[str, Any]) -> None:
    try:
        config = of(content)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        left = {key for key, value in content.items() if value is not None}
        told = {setting.key for place in (config.understood, config.ignored, config.uncounted) for setting in place}
        assert {key for key in left if not any(name == key or name.startswith(f"{key}.") for name in told)} == set()


# accelerate and transformers themselves


@pytest.mark.parametrize("name", FILES)
def test_accelerate_reads_the_same_in_the_same_files(name: str) -> None:
    from accelerate.commands.config.config_args import ClusterConfig

    load = ClusterConfig.from_json_file if name.endswith(".json") else ClusterConfig.from_yaml_file
    own = load(str(DATA / name))
    run = {**read(name).run_defaults, **read(name).run}
    assert run.get("num_gpus") == own.num_processes
    kind = own.distributed_type.value
    if kind == "FSDP":
        assert run["strategy"] == ("fsdp2" if own.fsdp_config.get("fsdp_version") == 2 else "fsdp")
    elif kind != "DEEPSPEED":
        assert run.get("strategy") == {"MULTI_GPU": "ddp", "NO": None}[kind]
        if own.mixed_precision != "fp8":
            assert run["mixed_precision"] == own.mixed_precision


def test_every_setting_of_accelerates_configs_is_known() -> None:
    from accelerate.commands.config.config_args import ClusterConfig, SageMakerConfig

    names = {field.name for config in (ClusterConfig, SageMakerConfig) for field in fields(config)}
    content = {**dict.fromkeys(names, "x"), "num_processes": 1, "num_machines": 2, "distributed_type": "MULTI_GPU"}
    content = {**content, "mixed_precision": "bf16", "fsdp_config": {}, "parallelism_config": {}}
    assert not [setting for setting in of(content).uncounted if "not a setting of" in setting.text]


def test_every_option_that_accelerate_launches_plugins_with_is_known() -> None:
    from accelerate.commands.launch import launch_command_parser

    options = {action.dest: action for action in launch_command_parser()._actions}
    found = {name.removeprefix("fsdp_") for name in options if name.startswith("fsdp_")}
    assert found - set(fsdp.KNOWN_OF_FSDP) == set()
    plugin = {name for name in options if "zero" in name or "offload_optimizer" in name or "offload_param_" in name}
    plugin |= {name for name in options if name.startswith("deepspeed")} | {"gradient_clipping"}
    own = {"zero_stage", "gradient_clipping", "gradient_accumulation_steps"}
    assert plugin - {*launcher.HARMLESS_OF_DEEPSPEED, *launcher.MOVES_OF_DEEPSPEED, *own} == set()
    assert options["fsdp_version"].default == "1"


def test_every_setting_that_transformers_takes_out_of_fsdp_config_is_known() -> None:
    from transformers import TrainingArguments

    source = inspect.getsource(TrainingArguments._process_fsdp_args)
    names = set(re.findall(r'self\.fsdp_config(?:\.get\(|\.setdefault\(|\[)"(\w+)"', source))
    assert len(names) > 12
    assert names - set(fsdp.KNOWN_OF_FSDP) == set()


def test_the_stage_and_the_precision_that_accelerate_takes_by_itself() -> None:
    from accelerate.commands.config.config_args import BaseConfig
    from accelerate.utils.dataclasses import DeepSpeedPlugin

    config = of({"distributed_type": "DEEPSPEED", "deepspeed_config": {"zero3_init_flag": False}})
    assert {item.field: item.value for item in config.defaulted} == {"mixed_precision": "no"}
    assert config.run["strategy"] == "zero2"
    assert '"ACCELERATE_DEEPSPEED_ZERO_STAGE", 2' in inspect.getsource(DeepSpeedPlugin.__post_init__)
    # None is `no` to the launcher
    assert BaseConfig.process_config({"distributed_type": "NO"})["mixed_precision"] is None
