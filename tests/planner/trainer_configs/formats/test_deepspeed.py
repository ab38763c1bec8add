"""DeepSpeed's configs: the runs in them, beside what DeepSpeed's own classes make of the same files."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import InputError
from planner.run import TrainingRun
from planner.trainer_configs import TrainerConfig
from planner.trainer_configs.document import Document
from planner.trainer_configs.formats.deepspeed import FORMAT, keys, read_deepspeed
from planner.trainer_configs.read import read_config
from planner.trainer_configs.reader import Reader

DATA = Path(__file__).parent / "data" / "deepspeed"

MODEL = {"model": "llama-3.1-8b", "method": "full"}
"""What a DeepSpeed config does not say, and a person adds."""

FILES = sorted(path.name for path in DATA.iterdir())


def read(name: str) -> TrainerConfig:
    return read_config(DATA / name, "deepspeed")


def made(config: TrainerConfig, **more: object) -> TrainingRun:
    return TrainingRun(**{**config.run_defaults, **config.run, **MODEL, **more})


def of(content: dict[str, Any], at: str = "") -> TrainerConfig:
    reader = Reader(Document("ds.json", Path(), content), FORMAT)
    read_deepspeed(reader, at)
    return reader.finish()


def uncounted(config: TrainerConfig) -> set[str]:
    return {setting.key for setting in config.uncounted}


def test_each_file_is_known_as_deepspeeds() -> None:
    for name in FILES:
        assert read_config(DATA / name, "deepspeed").format == "deepspeed"
    assert FORMAT.signs(Document("a", Path(), {"zero_optimization": {}, "bf16": {"enabled": True}}))
    # a trainer's own switches have the same names
    assert not FORMAT.signs(Document("a", Path(), {"bf16": True, "fp16": False, "deepspeed": "zero2.json"}))


def test_zero_2_with_everything_left_to_the_trainer() -> None:
    config = read("zero2_of_the_trainer.json")
    assert made(config, num_gpus=2) == TrainingRun(
        **MODEL, num_gpus=2, strategy="zero2", optimizer="adamw_torch_fused", max_grad_norm=1.0
    )
    assert uncounted(config) == {"zero_optimization"}
    assert {setting.key for setting in config.ignored if setting.text.startswith("auto")} == {
        "fp16.enabled",
        "bf16.enabled",
        "gradient_accumulation_steps",
        "gradient_clipping",
        "train_batch_size",
        "train_micro_batch_size_per_gpu",
    }


def test_zero_3_in_host_memory() -> None:
    config = read("zero3_offload.json")
    assert made(config, num_gpus=4) == TrainingRun(
        **MODEL,
        num_gpus=4,
        strategy="zero3",
        base_dtype="bfloat16",
        mixed_precision="no",
        micro_batch_size=1,
        gradient_accumulation_steps=4,
        max_grad_norm=1.0,
    )
    assert uncounted(config) == {
        "zero_optimization",
        "zero_optimization.offload_optimizer",
        "zero_optimization.offload_param",
    }


def test_parameters_stay_on_the_gpu_below_stage_3() -> None:
    offloads = {"offload_optimizer": {"device": "cpu"}, "offload_param": {"device": "cpu"}}
    config = of({"zero_optimization": {"stage": 2, **offloads}})
    assert uncounted(config) == {"zero_optimization", "zero_optimization.offload_optimizer"}


def test_three_batch_sizes_say_how_many_gpus_there_are() -> None:
    # 256 of 4 x 8 a GPU
    assert made(read("zero1_on_eight.json")) == TrainingRun(
        **MODEL,
        num_gpus=8,
        strategy="zero1",
        base_dtype="bfloat16",
        mixed_precision="no",
        micro_batch_size=4,
        gradient_accumulation_steps=8,
        optimizer="adamw_torch_fused",
        max_grad_norm=0.3,
    )


def test_a_loop_of_ones_own_in_fp16() -> None:
    config = read("own_loop_fp16.json")
    assert made(config) == TrainingRun(
        **MODEL,
        base_dtype="float16",
        mixed_precision="no",
        micro_batch_size=16,
        gradient_accumulation_steps=1,
        optimizer="adamw_torch",
        max_grad_norm=1.0,
    )
    # without ZeRO too there are float32 copies
    assert uncounted(config) == {"fp16"}


def test_json_under_a_yaml_name() -> None:
    config = read("lion.yaml")
    assert made(config, num_gpus=2) == TrainingRun(
        **MODEL,
        num_gpus=2,
        strategy="zero2",
        base_dtype="bfloat16",
        mixed_precision="no",
        micro_batch_size=2,
        gradient_accumulation_steps=16,
        optimizer="lion_32bit",
        max_grad_norm=1.0,
    )
    assert uncounted(config) == {"zero_optimization", "bf16.bf16_master_weights_and_grads"}


def test_a_file_of_an_earlier_release() -> None:
    config = read("of_2021.json")
    assert made(config, num_gpus=2) == TrainingRun(
        **MODEL,
        num_gpus=2,
        strategy="zero2",
        base_dtype="float16",
        mixed_precision="no",
        micro_batch_size=8,
        gradient_accumulation_steps=8,
        max_grad_norm=1.0,
    )
    assert uncounted(config) == {"zero_optimization", "zero_optimization.cpu_offload", "sparse_attention", "amp"}


def test_yaml_with_anchors_placeholders_and_settings_in_the_wrong_place() -> None:
    config = read("stage_0.yaml")
    assert made(config) == TrainingRun(
        **MODEL, strategy="ddp", micro_batch_size=4, gradient_accumulation_steps=4, max_grad_norm=1.0
    )
    found = {setting.key: setting.text for setting in config.uncounted}
    assert found.keys() == {
        *("torch_autocast", "compile", "tensor_parallel", "data_types"),
        *("stage3_max_live_parameters", "train_steps"),
    }
    assert found["stage3_max_live_parameters"] == "not a setting of deepspeed 0.19.8"
    assert found["train_steps"].startswith("a placeholder")


def test_under_a_trainers_key_auto_is_what_the_trainer_says() -> None:
    content = {"deepspeed": {"bf16": {"enabled": "auto"}, "fp16": {"enabled": "auto"}, "zero_optimization": {}}}
    reader = Reader(Document("sft.yaml", Path(), content), FORMAT)
    reader.default("training_args.py", mixed_precision="bf16", micro_batch_size=8)
    read_deepspeed(reader, "deepspeed")
    config = reader.finish()
    assert config.run == {"base_dtype": "bfloat16", "mixed_precision": "no"}
    assert config.keys["base_dtype"] == "deepspeed.bf16.enabled"


def test_a_trainers_precision_without_a_section_for_it_casts_too() -> None:
    reader = Reader(Document("sft.yaml", Path(), {"deepspeed": {"zero_optimization": {"stage": 2}}}), FORMAT)
    reader.default("training_args.py", mixed_precision="fp16")
    read_deepspeed(reader, "deepspeed")
    assert reader.finish().run == {"strategy": "zero2", "base_dtype": "float16", "mixed_precision": "no"}


def test_adapters_and_what_the_k_bit_upcast_made_float32_are_cast_too() -> None:
    reader = Reader(Document("sft.yaml", Path(), {"deepspeed": {"bf16": {"enabled": True}}}), FORMAT)
    reader.default("trainer.py", model="llama-3.1-8b", method="qlora", prepare_kbit=True, adapter_dtype="float32")
    read_deepspeed(reader, "deepspeed")
    config = reader.finish()
    assert TrainingRun(**{**config.run_defaults, **config.run}) == TrainingRun(
        model="llama-3.1-8b", method="qlora", mixed_precision="no", adapter_dtype="bfloat16", prepare_kbit=False
    )


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"bf16": True}, "bf16"),
        ({"zero_optimization": {"stage": "two"}}, "zero_optimization.stage"),
        ({"train_batch_size": "many"}, "train_batch_size"),
        ({"gradient_clipping": [1]}, "gradient_clipping"),
        ({"optimizer": "AdamW"}, "optimizer"),
        ({"fp16": {"enabled": "perhaps"}}, "fp16.enabled"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(content: dict[str, Any], key: str) -> None:
    with pytest.raises(InputError) as caught:
        of(content)
    assert caught.value.field == key
    assert str(caught.value).startswith(f"ds.json: {key} must be ")


def test_a_stage_that_there_is_none_of_is_refused_by_the_run() -> None:
    with pytest.raises(InputError, match="strategy must be"):
        made(of({"zero_optimization": {"stage": 7}}))


def test_settings_of_a_later_release_are_uncounted_wherever_they_stand() -> None:
    content = {
        "bf16": {"enabled": True, "newer": 1},
        "zero_optimization": {"stage": 2, "newer": 1},
        "optimizer": {"type": "Newton", "newer": 1},
        "newer": {"enabled": True},
    }
    assert uncounted(of(content)) == {
        *("bf16.newer", "zero_optimization.newer", "zero_optimization", "optimizer.type", "optimizer.newer", "newer"),
    }


KNOWN = [*keys.BATCH, *keys.OTHERS, *keys.MOVES, *keys.HARMLESS, *keys.PRECISIONS]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["auto", "", "none", "${X}", "2", "cpu"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["enabled", "stage", "device", "type", "params", *keys.OFFLOADS]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from([*KNOWN, "newer", ""]), VALUES, max_size=6))
def test_any_mapping_is_read_or_refused_in_one_sentence(content: dict[str, Any]) -> None:
    for at, document in (("", content), ("deepspeed", {"deepspeed": content})):
        try:
            config = of(document, at)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            places = [config.understood, config.ignored, config.uncounted]
            assert all(setting.value is not None for place in places for setting in place)


# DeepSpeed itself, in a process of its own: importing it changes what accelerate and transformers do

OWN = """
import json, sys
from deepspeed.runtime import config as runtime
from deepspeed.runtime.zero.config import DeepSpeedZeroConfig
from deepspeed.runtime.precision_config import DeepSpeedBF16Config, DeepSpeedFP16Config

files, asked = json.load(sys.stdin), set()

class Spy(dict):
    def __contains__(self, key):
        asked.add(key)
        return super().__contains__(key)
    def get(self, key, default=None):
        asked.add(key)
        return super().get(key, default)
    def keys(self):
        return self

runtime.dist.get_rank = lambda: 0
parsed = {}
for name, (content, gpus) in files.items():
    runtime.dist.get_world_size = lambda: gpus
    config = runtime.DeepSpeedConfig(Spy(content))
    parsed[name] = {
        "micro_batch_size": config.train_micro_batch_size_per_gpu,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "max_grad_norm": config.gradient_clipping,
        "stage": int(config.zero_config.stage),
        "bf16": config.bfloat16_config.enabled,
        "fp16": config.float16_config.enabled,
        "optimizer": config.optimizer_name,
    }
zero = DeepSpeedZeroConfig.model_fields
print(json.dumps({
    "parsed": parsed,
    "asked": sorted(asked),
    "zero": sorted({*zero, *(field.alias for field in zero.values() if field.alias)}),
    "precision": sorted({*DeepSpeedBF16Config.model_fields, *DeepSpeedFP16Config.model_fields}),
    "removed": [sorted(runtime._REMOVED_TOP_LEVEL_CONFIG_KEYS), sorted(runtime._REMOVED_ZERO_CONFIG_KEYS)],
    "clipping": runtime.GRADIENT_CLIPPING_DEFAULT,
}))
"""

GPUS = {"zero1_on_eight.json": 8}
REFUSED = {"of_2021.json"}
"""By this release, for its removed sections."""


def filled(value: Any) -> Any:
    """Without what is left to a trainer, and without what is of none of DeepSpeed's files."""
    if isinstance(value, dict):
        return {key: filled(inner) for key, inner in value.items() if inner != "auto"}
    return value


@pytest.fixture(scope="module")
def own() -> dict[str, Any]:
    if find_spec("deepspeed") is None:
        pytest.skip("DeepSpeed is not installed")
    from planner.trainer_configs.document import read_document

    files: dict[str, Any] = {}
    for name in set(FILES) - REFUSED:
        content = filled(dict(read_document(DATA / name).settings))
        files[name] = ({"train_micro_batch_size_per_gpu": 1, **content}, GPUS.get(name, 1))
        if "train_batch_size" in content and "train_micro_batch_size_per_gpu" not in content:
            del files[name][0]["train_micro_batch_size_per_gpu"]
    done = subprocess.run([sys.executable, "-c", OWN], input=json.dumps(files), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_deepspeed_reads_the_same_in_the_same_files(own: dict[str, Any]) -> None:
    for name, parsed in own["parsed"].items():
        config = read(name)
        run = {**config.run_defaults, **config.run}
        for field in ("micro_batch_size", "gradient_accumulation_steps", "max_grad_norm"):
            assert run.get(field, parsed[field]) == parsed[field], (name, field)
        stage = f"zero{parsed['stage']}" if parsed["stage"] else "ddp"
        assert run.get("strategy", "ddp") == stage, name
        dtype = "bfloat16" if parsed["bf16"] else "float16" if parsed["fp16"] else None
        assert run.get("base_dtype") == dtype, name
        assert (parsed["optimizer"] is None) == ("optimizer" not in run), name


def test_every_setting_that_deepspeed_asks_for_is_known(own: dict[str, Any]) -> None:
    top = {*keys.BATCH, *keys.OTHERS, *keys.MOVES, *keys.REMOVED, *keys.HARMLESS, *keys.PRECISIONS}
    assert set(own["asked"]) - top == set()
    zero = {"stage", *keys.BUFFERS, *keys.OFFLOADS, *keys.MOVES_OF_ZERO, *keys.HARMLESS_OF_ZERO}
    assert set(own["zero"]) - zero == set()
    assert set(own["precision"]) == {*keys.HARMLESS_OF_PRECISION, *keys.MASTERS_IN_16_BIT}
    assert own["removed"] == [sorted(keys.REMOVED), sorted(keys.REMOVED_OF_ZERO)]


def test_the_clipping_that_deepspeed_takes_by_itself(own: dict[str, Any]) -> None:
    (clipping,) = (item for item in of_default() if item.field == "max_grad_norm")
    assert clipping.value == own["clipping"]
    assert clipping.source.endswith("GRADIENT_CLIPPING_DEFAULT")


def of_default() -> tuple[Any, ...]:
    reader = Reader(Document("ds.json", Path(), {"zero_optimization": {"stage": 1}}), FORMAT)
    FORMAT.read(reader)
    return reader.finish().defaulted
