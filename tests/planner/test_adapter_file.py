"""The adapter file, against `save_pretrained`: its size to the byte, and the names in it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import safetensors

from planner.adapter_file import adapter_entries, adapter_file_bytes
from planner.run import TrainingRun
from tests.support.families import architecture_of
from tests.support.peft_runs import GPT2, LLAMA, MIXTRAL, peft_model

BIASED = LLAMA | {"attention_bias": True, "mlp_bias": True}
TIED = LLAMA | {"tie_word_embeddings": True}


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        (LLAMA, {}),
        (LLAMA, {"adapter_dtype": "float32", "base_dtype": "float16"}),
        (LLAMA, {"method": "dora"}),
        (LLAMA, {"target_modules": ["q_proj", "embed_tokens", "lm_head"]}),
        (TIED, {"target_modules": ["embed_tokens", "lm_head"]}),
        (LLAMA, {"target_modules": r".*(embed_tokens|v_proj)"}),
        (LLAMA, {"target_modules": ["embed_tokens"], "use_dora": True}),
        (LLAMA, {"modules_to_save": ["lm_head", "norm"]}),
        (LLAMA, {"modules_to_save": ["mlp"]}),
        (BIASED, {"bias": "all", "target_modules": ["q_proj"]}),
        (BIASED, {"bias": "lora_only", "target_modules": ["q_proj"]}),
        (BIASED, {"bias": "all", "target_modules": ["v_proj"], "modules_to_save": ["q_proj"]}),
        (BIASED, {"bias": "all", "target_modules": ["v_proj"], "modules_to_save": ["mlp"]}),
        (MIXTRAL, {}),
        (GPT2, {"target_modules": ["c_attn", "wte"]}),
        (LLAMA, {"method": "ia3"}),
        (LLAMA, {"method": "ln_tuning", "modules_to_save": ["lm_head"]}),
        (LLAMA, {"method": "prompt_tuning"}),
        (LLAMA, {"method": "p_tuning", "encoder_hidden_size": 24}),
        (LLAMA, {"method": "prefix_tuning", "prefix_projection": True}),
        (LLAMA, {"method": "trainable_tokens", "trainable_token_count": 3}),
        (TIED, {"method": "trainable_tokens"}),
    ],
    ids=str,
)
def test_it_is_what_save_pretrained_writes(config: dict[str, Any], fields: dict[str, Any], tmp_path: Path) -> None:
    lora = {"rank": 4} if fields.get("method", "lora") in ("lora", "dora") else {}
    run = TrainingRun(model="tiny", **lora, **fields)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft_model(config, run, meta=False).save_pretrained(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    with safetensors.safe_open(file, "pt") as opened:
        theirs = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    architecture = architecture_of(config)
    assert {entry.name: entry.shape for entry in adapter_entries(architecture, run)} == theirs
    assert adapter_file_bytes(architecture, run) == file.stat().st_size


def test_full_fine_tuning_writes_no_adapter() -> None:
    assert adapter_file_bytes(architecture_of(LLAMA), TrainingRun(model="tiny", method="full")) == 0
