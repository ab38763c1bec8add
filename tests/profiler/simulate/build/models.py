"""Small models, and every PEFT method with options that suit them."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from tests.support.families import model_of
from tests.support.peft_runs import LLAMA

METHODS: dict[str, dict[str, Any]] = {
    "ADALORA": {"total_step": 100},
    "ADAPTION_PROMPT": {"adapter_len": 4, "adapter_layers": 2},
    "BEFT": {},
    "BOFT": {},
    "C3A": {"block_size": 16},
    "CARTRIDGE": {"num_virtual_tokens": 4},
    "CPT": {"cpt_token_ids": [1, 2, 3], "cpt_mask": [1, 1, 1], "cpt_tokens_type_mask": [1, 2, 3]},
    "DEFT": {},
    "DELORA": {},
    "FOURIERFT": {"n_frequency": 50},
    "GLORA": {},
    "GRALORA": {},
    "HIRA": {},
    "HRA": {},
    "IA3": {},
    "LILY": {},
    "LN_TUNING": {},
    "LOHA": {},
    "LOKR": {},
    "LORA": {"target_modules": "all-linear", "init_lora_weights": "pissa_niter_4"},
    "MISS": {},
    "MULTITASK_PROMPT_TUNING": {"num_virtual_tokens": 4, "num_tasks": 2},
    "OFT": {},
    "OSF": {},
    "PEANUT": {},
    "POLY": {},
    "PREFIX_TUNING": {"num_virtual_tokens": 4},
    "PROMPT_TUNING": {"num_virtual_tokens": 4, "prompt_tuning_init": "RANDOM"},
    "PSOFT": {},
    "PVERA": {},
    "P_TUNING": {"num_virtual_tokens": 4},
    "RANDLORA": {},
    "ROAD": {"group_size": 16},
    "SHADOW": {},
    "SHIRA": {"r": 4},
    "SUPERTUNING": {},
    "TINYLORA": {},
    "TRAINABLE_TOKENS": {"token_indices": [0, 511]},
    "UNILORA": {},
    "VBLORA": {"vector_length": 16, "num_vectors": 32},
    "VERA": {},
    "WAVEFT": {"n_frequency": 40},
}
"""peft_type -> fields of its `adapter_config.json`."""


def model_on(device: str, config: dict[str, Any] = LLAMA, dtype: str = "bfloat16") -> Any:
    """transformers' model of a config."""
    with warnings.catch_warnings(), torch.device(device):
        warnings.simplefilter("ignore")
        return model_of(config, attention="eager", dtype=dtype)
