"""The settings of PEFT's configs, and which of them move memory.

Names, defaults and meanings: PEFT 0.21.2, peft/config.py and config.py of each of peft/tuners.
"""

from __future__ import annotations

VERSION = "peft 0.21.2"

METHODS = {
    "LORA": "lora",
    "IA3": "ia3",
    "PROMPT_TUNING": "prompt_tuning",
    "PREFIX_TUNING": "prefix_tuning",
    "P_TUNING": "p_tuning",
    "LN_TUNING": "ln_tuning",
    "TRAINABLE_TOKENS": "trainable_tokens",
}
"""`peft_type` -> the method of the run."""

HARMLESS = ("auto_mapping", "inference_mode", "revision")
"""Of every type. Adapters are saved with inference_mode true."""

_MODULES = {"modules_to_save": "modules_to_save"}
_TARGETS = {"target_modules": "target_modules", **_MODULES}

SAME = {
    "LORA": {
        "r": "rank",
        "lora_alpha": "alpha",
        "lora_dropout": "dropout",
        "bias": "bias",
        "use_dora": "use_dora",
        "use_rslora": "use_rslora",
        "target_parameters": "target_parameters",
        **_MODULES,
    },
    "IA3": _TARGETS,
    "PROMPT_TUNING": {"num_virtual_tokens": "num_virtual_tokens"},
    "PREFIX_TUNING": {"num_virtual_tokens": "num_virtual_tokens", "prefix_projection": "prefix_projection"},
    "P_TUNING": {
        "num_virtual_tokens": "num_virtual_tokens",
        "encoder_hidden_size": "encoder_hidden_size",
        "encoder_num_layers": "encoder_num_layers",
    },
    "LN_TUNING": _TARGETS,
    "TRAINABLE_TOKENS": {},
}
"""Settings that the run has under another name, or the same. Targets of LoRA can be by layers, and are read apart."""

LORA_DEFAULTS = {"rank": 8, "alpha": 8, "dropout": 0.0, "bias": "none", "use_dora": False, "use_rslora": False}
"""Of peft/tuners/lora/config.py."""

_BEFORE_TRAINING = "looks at data before training, which is not planned"
_EXCLUDED = "modules are left out of the targets, and planned among them"
_SAVED = "modules are trained in full beside the prompt, and not planned"
_PROMPT = {"modules_to_save": _SAVED}

MOVES = {
    "LORA": {
        "alora_invocation_tokens": "adapters act on some tokens only, by masks",
        "arrow_config": "several adapters are routed between",
        "corda_config": _BEFORE_TRAINING,
        "enable_lora": "a fused layer has adapters for some of its parts only",
        "ensure_weight_tying": "layers that share a weight share an adapter or a copy",
        "eva_config": f"EVA {_BEFORE_TRAINING}",
        "exclude_modules": _EXCLUDED,
        "kasa_config": "KaSA adds singular values and losses of its own",
        "layer_replication": "the model is built up from repeated layers",
        "lora_bias": "adapters have biases, and are planned without",
        "lora_ga_config": f"LoRA-GA {_BEFORE_TRAINING}",
        "megatron_config": "layers are Megatron's, spread over GPUs",
        "monteclora_config": "MonteCLoRA samples adapters, with parameters of its own",
        "rank_pattern": "some modules have another rank than r, and are planned with r",
        "trainable_token_indices": "rows of the embeddings are trained beside the adapter",
        "use_bdlora": "adapters are block-diagonal",
        "use_qalora": "the adapter's input is pooled, so that A is narrower",
        "velora_config": "VeLoRA keeps compressed inputs for the adapters",
    },
    "IA3": {"exclude_modules": _EXCLUDED},
    "PROMPT_TUNING": _PROMPT,
    "PREFIX_TUNING": _PROMPT,
    "P_TUNING": {**_PROMPT, "encoder_dropout": "the encoder keeps masks of its dropout"},
    "LN_TUNING": {"exclude_modules": _EXCLUDED},
    "TRAINABLE_TOKENS": {},
}
"""Settings that move memory where they are on."""

_MODEL = ("num_attention_heads", "num_layers", "num_transformer_submodules", "token_dim")
"""What a prompt's config repeats of its model, from which PEFT fills it in."""

HARMLESS_OF = {
    "LORA": (
        *("alpha_pattern", "fan_in_fan_out", "loftq_config", "megatron_core", "merge_weights", "qalora_group_size"),
        "runtime_config",
    ),
    "IA3": ("fan_in_fan_out", "init_ia3_weights"),
    "PROMPT_TUNING": (
        *_MODEL,
        *("prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_kwargs", "tokenizer_name_or_path"),
    ),
    "PREFIX_TUNING": (*_MODEL, "init_weights"),
    "P_TUNING": _MODEL,
    "LN_TUNING": (),
    "TRAINABLE_TOKENS": ("init_weights",),
}
"""Scales, how an adapter begins, and what goes with a setting that is said to move memory. PEFT leaves runtime_config
out when it reads a file."""

BEGINNINGS = ("gaussian", "loftq", "olora", "orthogonal", "pissa")
"""Values of init_lora_weights that change the numbers in adapter and base alone; PiSSA's can end in `_niter_4`."""

OTHER_TYPES = (
    *("ADALORA", "ADAMSS", "ADAPTION_PROMPT", "BEFT", "BOFT", "C3A", "CARTRIDGE", "CPT", "DEFT", "DELORA", "FOURIERFT"),
    *("FROD", "GLORA", "GRALORA", "HIRA", "HRA", "LILY", "LOHA", "LOKR", "MISS", "MULTITASK_PROMPT_TUNING", "OFT"),
    *("OSF", "PEANUT", "POLY", "PSOFT", "PVERA", "RANDLORA", "ROAD", "SHADOW", "SHIRA", "SUPERTUNING", "TINYLORA"),
    *("UNILORA", "VBLORA", "VERA", "WAVEFT", "XLORA"),
)
"""The rest of peft/utils/peft_types.py."""
