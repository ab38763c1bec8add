"""Fields that exclude each other are one sentence that names both and says what to do."""

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from planner.run.contradictions import SCOPES
from planner.run.training_run import FIELDS


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"method": "full", "quantization": "nf4"},
            "method 'full' trains the base weights, which quantization 'nf4' freezes; "
            "set quantization to none, or use method qlora",
        ),
        (
            {"method": "full", "rank": 16},
            "rank 16 does not apply when method is 'full'; remove rank, or set method to lora, qlora, dora or rslora",
        ),
        (
            {"method": "full", "target_modules": ["q_proj"]},
            "target_modules ['q_proj'] does not apply when method is 'full'; "
            "remove target_modules, or set method to lora, qlora, dora, rslora, ia3 or ln_tuning",
        ),
        (
            {"method": "ia3", "use_dora": True},
            "use_dora true does not apply when method is 'ia3'; "
            "remove use_dora, or set method to lora, qlora, dora or rslora",
        ),
        (
            {"method": "lora", "num_virtual_tokens": 8},
            "num_virtual_tokens 8 does not apply when method is 'lora'; "
            "remove num_virtual_tokens, or set method to prompt_tuning, prefix_tuning or p_tuning",
        ),
        (
            {"method": "prefix_tuning", "encoder_hidden_size": 512},
            "encoder_hidden_size 512 does not apply when method is 'prefix_tuning'; "
            "remove encoder_hidden_size, "
            "or set method to p_tuning, or prefix_tuning with prefix_projection true",
        ),
        (
            {"method": "qlora", "quantization": "none"},
            "method 'qlora' needs quantization nf4 or fp4, not 'none'; use method lora, or remove quantization",
        ),
        (
            {"method": "qlora", "quantization": "int8"},
            "method 'qlora' needs quantization nf4 or fp4, not 'int8'; "
            "use method lora with quantization int8, or remove quantization",
        ),
        (
            {"method": "int8-lora", "quantization": "4bit"},
            "method 'int8-lora' means quantization 'int8', but quantization is 'nf4'; give one of them",
        ),
        (
            {"quantization": "nf4-dq", "double_quant": False},
            "quantization 'nf4-dq' means double_quant true, but double_quant is false; give one of them",
        ),
        (
            {"double_quant": True},
            "double_quant true does not apply when quantization is 'none'; "
            "remove double_quant, or set quantization to nf4 or fp4",
        ),
        (
            {"prepare_kbit": True, "quantization": "gptq"},
            "prepare_kbit true does not apply when quantization is 'gptq'; "
            "remove prepare_kbit, or set quantization to nf4, fp4, int8 or awq",
        ),
        (
            {"group_size": 64, "quantization": "nf4"},
            "group_size 64 does not apply when quantization is 'nf4'; "
            "remove group_size, or set quantization to gptq or awq",
        ),
        (
            {"method": "dora", "use_dora": False},
            "use_dora false contradicts method 'dora'; use method lora, or remove use_dora",
        ),
        (
            {"method": "rslora", "use_rslora": False},
            "use_rslora false contradicts method 'rslora'; use method lora, or remove use_rslora",
        ),
        (
            {"method": "dora", "quantization": "gptq"},
            "use_dora true does not work with quantization 'gptq' in PEFT; "
            "use quantization nf4 or int8, or method lora without DoRA",
        ),
        (
            {"method": "ia3", "quantization": "awq"},
            "method 'ia3' does not work with quantization 'awq' in PEFT; "
            "use quantization nf4 or int8, or method lora without DoRA",
        ),
        (
            {"target_parameters": ["experts.down_proj"], "dropout": 0.1},
            "target_parameters does not work with dropout 0.1 in PEFT; remove one of them",
        ),
        (
            {"target_parameters": ["experts.down_proj"], "use_dora": True},
            "target_parameters does not work with use_dora true in PEFT; remove one of them",
        ),
        (
            {"target_modules": []},
            "target_modules and target_parameters are both empty, so method 'lora' would train nothing; "
            "set target_modules to all-linear or to a list of module names",
        ),
        (
            {"gradient_checkpointing": False, "checkpoint_every": 2},
            "checkpoint_every 2 does not apply when gradient_checkpointing is false; "
            "remove checkpoint_every, or set gradient_checkpointing to true",
        ),
        (
            {"method": "prefix_tuning", "gradient_checkpointing": True},
            "gradient_checkpointing true does not work with method 'prefix_tuning' in PEFT; "
            "set gradient_checkpointing to false, or use method prompt_tuning",
        ),
        (
            {"num_gpus": 2, "strategy": "none"},
            "num_gpus 2 needs a strategy other than 'none'; set strategy to ddp, fsdp2 or zero3, or num_gpus to 1",
        ),
        (
            {"strategy": "fsdp"},
            "strategy 'fsdp' shards over several GPUs, but num_gpus is 1; "
            "set num_gpus to 2 or more, or remove strategy",
        ),
    ],
)
def test_contradictions(fields: dict[str, object], message: str):
    with pytest.raises(InputError) as caught:
        TrainingRun(model="m", **fields)
    assert str(caught.value) == message
    assert caught.value.field in FIELDS


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "full", "use_dora": False, "modules_to_save": [], "bias": "none"},
        {"quantization": "none", "double_quant": False, "prepare_kbit": False},
        {"gradient_checkpointing": False, "use_reentrant": False},
        {"num_gpus": 1, "strategy": "ddp"},
        {"method": "dora", "quantization": "nf4"},
        {"method": "qlora", "use_dora": True},
        {"method": "ia3", "quantization": "int8"},
        {"target_modules": [], "target_parameters": ["experts.gate_up_proj"]},
        {"method": "prefix_tuning", "prefix_projection": True, "encoder_hidden_size": 512},
        {"base_dtype": "bfloat16", "mixed_precision": "fp16"},
    ],
)
def test_what_agrees_or_switches_something_off_is_no_contradiction(fields: dict[str, object]):
    run = TrainingRun(model="m", **fields)
    assert TrainingRun(**run.to_dict()) == run


def test_scopes_name_fields():
    assert {field for scope in SCOPES for field in (*scope.fields, scope.against)} <= set(FIELDS)


class TestPeftRefusesTheSame:
    """The combinations refused because of PEFT, tried on PEFT."""

    @staticmethod
    def moe():
        from transformers import MixtralConfig, MixtralForCausalLM

        return MixtralForCausalLM(
            MixtralConfig(
                hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                num_key_value_heads=1, vocab_size=32, num_local_experts=2,
            )
        )  # fmt: skip

    @pytest.mark.parametrize("option", [{"lora_dropout": 0.1}, {"use_dora": True}])
    def test_target_parameters(self, option: dict[str, object]):
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(target_modules=[], target_parameters=["experts.down_proj"], **option)  # pyright: ignore[reportArgumentType]
        with pytest.raises(ValueError, match="does not work with"):
            get_peft_model(self.moe(), config)

    def test_prefix_tuning_with_gradient_checkpointing(self):
        from peft import PrefixTuningConfig, get_peft_model

        model = self.moe()
        model.model.gradient_checkpointing = True
        with pytest.raises(ValueError, match="does not work with gradient checkpointing"):
            get_peft_model(model, PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
