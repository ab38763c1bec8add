"""Defaults that follow from other fields."""

import pytest

from planner.run import TrainingRun


@pytest.mark.parametrize(
    ("given", "implied"),
    [
        ({"rank": 8}, {"alpha": 16.0}),
        ({"method": "qlora"}, {"quantization": "nf4", "double_quant": True, "prepare_kbit": True}),
        ({"method": "qlora", "double_quant": False}, {"quantization": "nf4", "double_quant": False}),
        ({"quantization": "nf4"}, {"double_quant": False, "prepare_kbit": True}),
        ({"quantization": "gptq"}, {"prepare_kbit": False, "group_size": 128}),
        ({"method": "dora"}, {"use_dora": True, "use_rslora": False}),
        ({"method": "rslora"}, {"use_dora": False, "use_rslora": True}),
        ({"method": "ln_tuning"}, {"target_modules": ()}),
        ({"method": "prefix_tuning"}, {"gradient_checkpointing": False, "num_virtual_tokens": 20}),
        ({"base_dtype": "float16"}, {"mixed_precision": "fp16"}),
        ({"base_dtype": "float32"}, {"mixed_precision": "bf16"}),
        ({"num_gpus": 4}, {"strategy": "ddp"}),
        ({}, {"strategy": "none", "quantization": "none", "prepare_kbit": False}),
    ],
)
def test_dependent_defaults(given: dict[str, object], implied: dict[str, object]):
    run = TrainingRun(model="m", **given)
    assert {name: getattr(run, name) for name in implied} == implied


def test_what_a_preset_chose_is_listed_as_defaulted():
    assert {"quantization", "double_quant", "prepare_kbit"} <= set(TrainingRun(model="m", method="qlora").defaulted)
    assert "quantization" not in TrainingRun(model="m", method="qlora-nf4").defaulted


def test_the_kbit_default_is_what_peft_casts():
    """`prepare_model_for_kbit_training` casts 16-bit parameters, except in a GPTQ model."""
    import torch
    from peft import prepare_model_for_kbit_training

    class Model(torch.nn.Linear):
        quantization_method = "none"

    for scheme in ("bitsandbytes", "awq", "gptq"):
        model = Model(2, 2, dtype=torch.bfloat16)
        model.quantization_method = scheme
        prepared = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
        assert (prepared.weight.dtype == torch.float32) == (scheme != "gptq")
