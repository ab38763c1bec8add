"""The PEFT config that means what a run says."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from typing import Any

import peft

from planner.run import TrainingRun
from planner.run.rules import LORA_METHODS


def peft_config(run: TrainingRun) -> peft.PeftConfig | None:
    """The PEFT config that a run means; None for full fine-tuning."""
    if run.method == "full":
        return None
    task: dict[str, Any] = {"task_type": "CAUSAL_LM"}
    targets: dict[str, Any] = {
        "target_modules": _plain(run.target_modules) or None,  # None: PEFT's own choice for the model type
        "modules_to_save": list(run.modules_to_save) or None,
    }
    tokens: dict[str, Any] = {"num_virtual_tokens": run.num_virtual_tokens}
    encoder: dict[str, Any] = {"encoder_hidden_size": run.encoder_hidden_size}
    if run.method in LORA_METHODS:
        adapter: dict[str, Any] = {
            "r": run.rank,
            "lora_alpha": run.alpha,
            "lora_dropout": run.dropout,
            "bias": run.bias,
            "use_dora": run.use_dora,
            "use_rslora": run.use_rslora,
            "target_modules": _plain(run.target_modules),
            "target_parameters": list(run.target_parameters) or None,
        }
        return peft.LoraConfig(**(task | targets | adapter))
    if run.method == "ia3":
        return peft.IA3Config(**task, **targets)
    if run.method == "ln_tuning":
        return peft.LNTuningConfig(**task, **targets)
    if run.method == "prompt_tuning":
        # the number of heads is not used, but PEFT refuses a model whose config calls it otherwise (MPT, DBRX)
        return peft.PromptTuningConfig(**task, **tokens, num_attention_heads=1)
    if run.method == "p_tuning":
        return peft.PromptEncoderConfig(**task, **tokens, **encoder, encoder_num_layers=run.encoder_num_layers)
    if run.method == "prefix_tuning":
        return peft.PrefixTuningConfig(**task, **tokens, **encoder, prefix_projection=run.prefix_projection)
    return peft.TrainableTokensConfig(**task, token_indices=list(range(run.trainable_token_count)))


def _plain(value: str | tuple[str, ...]) -> str | list[str]:
    return list(value) if isinstance(value, tuple) else value
