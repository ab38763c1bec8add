"""torchtune's configs as runs, held to what a person would write by hand and to torchtune itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.run import TrainingRun
from planner.trainer_configs import TrainerConfig, lay_together, read_config
from planner.trainer_configs.document import Document
from planner.trainer_configs.formats import FORMATS, torchtune
from planner.trainer_configs.formats.torchtune import keys, model

DATA = Path(__file__).parent / "data" / "torchtune"
MINIMAL: dict[str, Any] = {
    "model": {"_component_": "torchtune.models.llama3_2.lora_llama3_2_1b", "lora_attn_modules": ["q_proj"]},
    "tokenizer": {"_component_": "torchtune.models.llama3.llama3_tokenizer", "max_seq_len": 512},
    "optimizer": {"_component_": "torch.optim.AdamW", "lr": 1e-4},
    "batch_size": 2,
    "dtype": "bf16",
    "epochs": 1,
}


def read(name: str) -> TrainerConfig:
    return read_config(DATA / name, "torchtune")


def write(folder: Path, **settings: Any) -> Path:
    """A file of the minimal config with settings over it."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**MINIMAL, **settings}), encoding="utf-8")
    return path


def read_with(folder: Path, **settings: Any) -> TrainerConfig:
    return read_config(write(folder, **settings), "torchtune")


def run_of(config: TrainerConfig, num_gpus: int | None = None) -> TrainingRun:
    typed = {} if num_gpus is None else {"num_gpus": num_gpus}
    return TrainingRun(**lay_together([config], typed).fields, **typed)


def uncounted(config: TrainerConfig) -> dict[str, str]:
    return {setting.key: setting.text for setting in config.uncounted}


# what a person would write by hand


def test_a_full_fine_tuning_with_packing() -> None:
    config = read("full.yaml")
    assert run_of(config) == TrainingRun(
        model="meta-llama/Llama-3.2-3B",
        method="full",
        base_dtype="bf16",
        mixed_precision="no",
        micro_batch_size=2,
        sequence_length=4096,
        packing=True,
        optimizer="paged_adamw_8bit",
        max_grad_norm=0,
        gradient_checkpointing=True,
        use_reentrant=False,
    )
    assert config.job == {"epochs": 3}
    assert uncounted(config).keys() == {"compile", "optimizer_in_bwd", "loss._component_"}
    assert any("flex attention" in note for note in config.notes)


def test_lora_on_every_module_the_head_included() -> None:
    config = read("lora.yaml")
    assert run_of(config) == TrainingRun(
        model="mistralai/Mistral-7B-v0.1",
        method="lora",
        rank=64,
        alpha=16,
        dropout=0.1,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"],
        base_dtype="bfloat16",
        adapter_dtype="bfloat16",
        mixed_precision="no",
        micro_batch_size=4,
        gradient_accumulation_steps=4,
        sequence_length=1024,
        optimizer="adamw_torch",
        max_grad_norm=1.0,
        gradient_checkpointing=False,
    )
    assert config.job == {"epochs": 3, "max_steps": 3 * 450}
    assert config.job_defaults == {"save_steps": 450}
    assert not config.uncounted


def test_qlora_over_four_gpus() -> None:
    config = read("qlora_distributed.yaml")
    assert run_of(config, num_gpus=4) == TrainingRun(
        model="meta-llama/Llama-3.1-70B",
        method="qlora",
        quantization="nf4",
        double_quant=True,
        prepare_kbit=False,
        rank=16,
        alpha=32,
        target_modules=["q_proj", "v_proj"],
        base_dtype="bfloat16",
        adapter_dtype="bfloat16",
        mixed_precision="no",
        micro_batch_size=2,
        gradient_accumulation_steps=8,
        sequence_length=2048,
        optimizer="adamw_torch_fused",
        max_grad_norm=0,
        gradient_checkpointing=True,
        use_reentrant=False,
        checkpoint_offload=True,
        num_gpus=4,
        strategy="fsdp2",
    )
    assert uncounted(config).keys() == {"custom_sharded_layers", "model._component_", "loss._component_"}


def test_qdora_with_interpolations_and_anchors() -> None:
    config = read("qdora.yaml")
    assert run_of(config) == TrainingRun(
        model="meta-llama/Meta-Llama-3-8B",
        method="qdora",
        double_quant=True,
        prepare_kbit=False,
        rank=32,
        alpha=64,
        dropout=0.05,
        target_modules=["q_proj", "v_proj", "gate_proj", "up_proj", "down_proj"],
        base_dtype="float32",
        adapter_dtype="float32",
        mixed_precision="no",
        gradient_accumulation_steps=16,
        sequence_length=8192,
        packing=True,
        optimizer="adamw_torch_fused",
        max_grad_norm=1e9,
        gradient_checkpointing=True,
        use_reentrant=False,
        checkpoint_offload=True,
    )
    ignored = {setting.key: setting.text for setting in config.ignored}
    assert ignored["rank"] == "other settings take their value from it"
    # keys of the user's own, of which an anchor is all that is used
    assert uncounted(config).keys() == {"len", "common", "model.quantize_base", "loss._component_"}


def test_a_full_fine_tuning_over_eight_gpus_that_checkpoints_every_other_layer() -> None:
    config = read("full_distributed.yaml")
    assert run_of(config, num_gpus=8) == TrainingRun(
        model="Qwen/Qwen2.5-7B",
        method="full",
        base_dtype="bfloat16",
        mixed_precision="no",
        micro_batch_size=2,
        gradient_accumulation_steps=8,
        optimizer="adamw_torch_fused",
        max_grad_norm=1,
        gradient_checkpointing=True,
        checkpoint_every=2,
        use_reentrant=False,
        num_gpus=8,
        strategy="fsdp2",
    )
    assert uncounted(config).keys() == {"tokenizer.max_seq_len", "fsdp_reshard_after_forward", "loss._component_"}


def test_phi_has_its_projections_in_one_in_transformers() -> None:
    config = read("phi.yaml")
    assert run_of(config) == TrainingRun(
        model="microsoft/Phi-3-mini-4k-instruct",
        method="qlora",
        double_quant=True,
        prepare_kbit=False,
        rank=8,
        alpha=16,
        target_modules=["qkv_proj", "o_proj", "gate_up_proj", "down_proj"],
        base_dtype="bfloat16",
        adapter_dtype="bfloat16",
        mixed_precision="no",
        micro_batch_size=8,
        sequence_length=512,
        optimizer="paged_adamw_32bit",
        max_grad_norm=0,
        gradient_checkpointing=True,
        use_reentrant=False,
    )
    assert uncounted(config).keys() == {"model._component_", "model.lora_attn_modules"}


def test_a_command_line_goes_over_the_config_that_it_names() -> None:
    config = read("run.sh")
    assert run_of(config) == TrainingRun(
        model="meta-llama/Llama-3.2-1B",
        method="qlora",
        double_quant=True,
        prepare_kbit=False,
        rank=64,
        alpha=16,
        dropout=0.1,
        target_modules=["q_proj", "v_proj", "gate_proj", "up_proj", "down_proj"],
        base_dtype="bfloat16",
        adapter_dtype="bfloat16",
        mixed_precision="no",
        micro_batch_size=8,
        gradient_accumulation_steps=4,
        sequence_length=1024,
        optimizer="adamw_torch_fused",
        max_grad_norm=0,
        gradient_checkpointing=False,
        num_gpus=4,
        strategy="fsdp2",
    )
    assert config.job == {"epochs": 3}
    assert any("lora.yaml is read with it" in note for note in config.notes)


# recipes that a plan does not cover


def test_preference_learning_is_uncounted() -> None:
    assert "reference" in uncounted(read("dpo.yaml"))["loss._component_"]


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"tasks": ["arc"]}, "evaluating"),
        ({"max_new_tokens": 300}, "generating"),
        ({"quantizer": {"_component_": "torchtune.training.quantization.Int4WeightOnlyQuantizer"}}, "quantizing"),
    ],
)
def test_configs_that_train_nothing_are_refused(tmp_path: Path, settings: dict[str, Any], what: str) -> None:
    with pytest.raises(InputError, match=f"{what} .* trains nothing; give that of a fine-tuning recipe"):
        read_with(tmp_path, optimizer=None, **settings)


@pytest.mark.parametrize(
    "key", ["teacher_model", "quantizer", "ref_checkpointer", "layer_dropout", "early_exit_loss", "compile"]
)
def test_what_makes_a_step_larger_is_uncounted_where_it_is_on(tmp_path: Path, key: str) -> None:
    assert uncounted(read_with(tmp_path, **{key: {"_component_": "torchtune.x"}})) == {key: keys.MOVES[key]}
    assert not read_with(tmp_path, **{key: False}).uncounted


# settings one by one


def test_without_a_length_the_longest_example_decides(tmp_path: Path) -> None:
    config = read_with(tmp_path, tokenizer={"_component_": "torchtune.models.llama3.llama3_tokenizer"})
    assert "longest example" in uncounted(config)["tokenizer.max_seq_len"]
    assert "sequence_length" not in {**config.run, **config.run_defaults}
    assert not lay_together([config], {"sequence_length": 1024}).uncounted[1:]  # settled by what was typed
    packed = read_with(
        tmp_path, tokenizer={"path": "x"}, dataset={"_component_": "torchtune.datasets.x", "packed": True}
    )
    assert "refuses to pack" in uncounted(packed)["tokenizer.max_seq_len"]


@pytest.mark.parametrize(("clip", "norm"), [(None, 0), (1.0, 1.0), ("0.5", 0.5), ("inf", 1e9), (float("inf"), 1e9)])
def test_clipping(tmp_path: Path, clip: object, norm: float) -> None:
    assert run_of(read_with(tmp_path, clip_grad_norm=clip)).max_grad_norm == norm


def test_selective_checkpointing_counts_only_without_the_other(tmp_path: Path) -> None:
    both = read_with(tmp_path, enable_activation_checkpointing=True, ac_mode="selective", ac_option=2)
    assert run_of(both).checkpoint_every == 1
    full = read_with(tmp_path, ac_mode="full", ac_option=2)
    assert (run_of(full).gradient_checkpointing, run_of(full).checkpoint_every) == (True, 1)
    assert not run_of(read_with(tmp_path, ac_mode="none")).gradient_checkpointing


def test_offloading_needs_checkpointing_as_in_torchtune(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="checkpoint_offload true does not apply"):
        run_of(read_with(tmp_path, enable_activation_offloading=True))


def test_several_datasets_pack_all_or_none(tmp_path: Path) -> None:
    one: dict[str, Any] = {"_component_": "torchtune.datasets.alpaca_dataset", "packed": True}
    assert run_of(read_with(tmp_path, dataset=[one, one])).packing
    assert not run_of(read_with(tmp_path, dataset=[one, {**one, "packed": False}])).packing


def test_a_model_of_ones_own_has_to_be_named(tmp_path: Path) -> None:
    config = read_with(tmp_path, model={"_component_": "my.models.lora_big", "lora_attn_modules": ["q_proj"]})
    assert "name it with --model" in uncounted(config)["model._component_"]
    assert TrainingRun(**lay_together([config], {"model": "gpt2"}).fields, model="gpt2").method == "lora"


def test_adapters_of_an_unknown_model_are_told_by_its_name_or_its_settings(tmp_path: Path) -> None:
    """Both as people's scripts have them."""
    named = lay_together(
        [read_with(tmp_path, model={"_component_": "torchtune.models.qwen2.qlora"})], {"model": "gpt2"}
    )
    assert (named.fields["method"], named.fields["quantization"]) == ("qlora", "nf4")
    full = lay_together([read_with(tmp_path, model={"_component_": "torchtune.models.qwen.qwen_0_6b"})], {})
    assert (full.fields["method"], "rank" in full.fields) == ("full", False)


def test_the_length_of_a_dataset_counts_where_the_tokenizer_has_none(tmp_path: Path) -> None:
    """As in configs for the first releases, and in `cnn_dailymail_articles_dataset`."""
    dataset = {"_component_": "torchtune.datasets.chat_dataset", "source": "json", "max_seq_len": 3072}
    assert run_of(read_with(tmp_path, tokenizer={"path": "x"}, dataset=dataset)).sequence_length == 3072
    assert run_of(read_with(tmp_path, dataset=dataset)).sequence_length == 512


def test_a_full_fine_tuning_has_no_defaults_of_adapters(tmp_path: Path) -> None:
    config = read_with(tmp_path, model={"_component_": "torchtune.models.gemma2.gemma2_9b"})
    assert run_of(config).method == "full"
    assert not {"rank", "dropout", "adapter_dtype", "quantization"} & config.run_defaults.keys()


def test_untied_embeddings_and_parts_of_vision_models_are_uncounted(tmp_path: Path) -> None:
    untied = read_with(tmp_path, model={**MINIMAL["model"], "tie_word_embeddings": False})
    assert uncounted(untied).keys() == {"model.tie_word_embeddings"}
    vision = {"_component_": "torchtune.models.llama3_2_vision.lora_llama3_2_vision_11b", "decoder_trainable": "frozen"}
    assert uncounted(read_with(tmp_path, model={**MINIMAL["model"], **vision})).keys() == {
        "model._component_",
        "model.decoder_trainable",
    }


def test_dora_is_a_method_of_its_own(tmp_path: Path) -> None:
    run = run_of(read_with(tmp_path, model={**MINIMAL["model"], "use_dora": True}))
    assert (run.method, run.use_dora, run.quantization) == ("dora", True, "none")


def test_values_that_make_no_run_are_named_by_file_and_key(tmp_path: Path) -> None:
    reading = lay_together([read_with(tmp_path, batch_size=0)], {})
    with pytest.raises(InputError, match="micro_batch_size"):
        TrainingRun(**reading.fields)
    assert reading.origin("micro_batch_size") == f"{tmp_path / 'config.yaml'}: batch_size"


def test_values_that_are_needed_have_to_make_sense(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config.yaml: epochs must be a whole number, not 'many'"):
        read_with(tmp_path, epochs="many")


def test_unknown_keys_and_those_of_later_versions_are_uncounted(tmp_path: Path) -> None:
    config = read_with(tmp_path, expert_parallel_dim=2, model={**MINIMAL["model"], "lora_banks": 3})
    assert uncounted(config).keys() == {"expert_parallel_dim", "model.lora_banks"}
    assert all("not a setting of torchtune 0.6.1" in text for text in uncounted(config).values())


def test_placeholders_are_uncounted_where_they_matter(tmp_path: Path) -> None:
    config = read_with(tmp_path, batch_size="${oc.env:BATCH}", output_dir="${oc.env:HOME}/out")
    assert uncounted(config).keys() == {"batch_size"}


def test_an_unknown_optimizer_is_refused_by_its_name(tmp_path: Path) -> None:
    config = read_with(tmp_path, optimizer={"_component_": "torchao.optim.AdamW4bit"})
    with pytest.raises(InputError, match=r"optimizer must be adamw_torch, .* not 'torchao.optim.AdamW4bit'"):
        run_of(config)


def test_arguments_that_change_what_an_optimizer_keeps_are_uncounted(tmp_path: Path) -> None:
    sgd = {"_component_": "torch.optim.SGD", "momentum": 0.9, "foreach": False, "nesterov": True}
    config = read_with(tmp_path, optimizer=sgd)
    assert run_of(config).optimizer == "sgd"
    assert uncounted(config).keys() == {"optimizer.momentum", "optimizer.foreach"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tune run lora_finetune_single_device", "has no --config"),
        ("tune run lora_finetune_single_device --config llama3/8B_lora", "write it to a file with `tune cp`"),
    ],
)
def test_commands_without_a_config_that_is_here(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.sh").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_config(tmp_path / "run.sh", "torchtune")


def test_a_command_of_a_recipe_for_one_device(tmp_path: Path) -> None:
    write(tmp_path)
    command = "tune run lora_finetune_single_device --config config.yaml optimizer=bitsandbytes.optim.Lion8bit epochs=2"
    (tmp_path / "run.sh").write_text(command, encoding="utf-8")
    config = read_config(tmp_path / "run.sh", "torchtune")
    assert "strategy" not in {**config.run, **config.run_defaults}
    assert run_of(config).optimizer == "lion_8bit"
    assert config.job == {"epochs": 2}


def test_a_command_with_torchruns_options_and_a_recipe_of_ones_own(tmp_path: Path) -> None:
    write(tmp_path)
    command = (
        "tune run --nnodes=1 --nproc-per-node 2 ./my_recipe.py --config config.yaml model.lora_rank=4 \\\n dtype=fp32"
    )
    (tmp_path / "run.sh").write_text(command, encoding="utf-8")
    run = run_of(read_config(tmp_path / "run.sh", "torchtune"))
    assert (run.num_gpus, run.strategy, run.rank, run.base_dtype) == (2, "fsdp2", 4, "float32")


def test_it_is_told_by_its_components() -> None:
    def signs(**settings: Any) -> tuple[str, ...]:
        return torchtune.FORMAT.signs(Document("x", Path(), settings))

    assert signs(**MINIMAL) == ("model._component_", "tokenizer._component_", "optimizer._component_")
    assert not signs(model_name_or_path="x", optimizer={"type": "AdamW"}, model={"_target_": "x"}, base_model="y")
    assert FORMATS[1] == torchtune.FORMAT.name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.text(max_size=8) | st.just("${batch_size}"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["_component_", "packed", "x"]), inner),
    max_leaves=5,
)
NAMES = [
    *("model", "tokenizer", "optimizer", "loss", "dataset", "batch_size", "epochs", "max_steps_per_epoch", "dtype"),
    *("clip_grad_norm", "ac_mode", "ac_option", "enable_activation_checkpointing", "device", "tensor_parallel_dim"),
    *(*keys.MOVES, *keys.DISTRIBUTED, "policy_model", "something_new"),
]
PARTS = [*model.LORA_ARGUMENTS, "_component_", "max_seq_len", "fused", "foreach", "optim_bits"]


@given(
    st.dictionaries(st.sampled_from(NAMES), JSON),
    st.dictionaries(st.sampled_from(PARTS), JSON),
    st.sampled_from(["torchtune.models.phi3.qlora_phi3_mini", "torchtune.models.llama2.llama2_7b", "x"]),
)
def test_any_config_is_read_or_refused_in_a_sentence(
    settings: dict[str, Any], parts: dict[str, Any], component: str
) -> None:
    from planner.trainer_configs.reader import Reader

    named = {"model": {**parts, "_component_": component}, "optimizer": parts, "tokenizer": parts}
    for given_settings in (settings, {**named, **settings}, {**settings, **named}):
        reader = Reader(Document("any.yaml", Path(), given_settings), torchtune.FORMAT)
        try:
            torchtune.FORMAT.read(reader)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert reader.finish().format == "torchtune"
