"""The options of every command that takes a run: one row for each field, and for what stands for several."""

from __future__ import annotations

from lora_plan.arguments import Option

MODEL, METHOD, PRECISION, BATCH, SAVERS = "Model", "Method", "Precision", "Batch", "Memory savers"
GPU = "GPU"

RUN_OPTIONS = (
    Option("model", "--model", MODEL, "NAME", "Catalogue name, Hugging Face id, or path of a config.json."),
    Option("run_file", "--run", MODEL, "FILE", "A run as YAML, TOML or JSON; flags go before its fields."),
    Option(
        "config",
        "--config",
        MODEL,
        "FILE",
        "The config of a trainer: TRL or TrainingArguments, Axolotl, LLaMA-Factory, torchtune, PEFT, accelerate or "
        "DeepSpeed; or a script with its command line. May be given again; flags go before what it says.",
        repeated=True,
    ),
    Option("config_format", "--config-format", MODEL, "NAME", "Whose config it is. [default: told by its content]"),
    Option(
        "method",
        "--method",
        METHOD,
        "NAME",
        "full, lora, qlora, dora, rslora, ia3, prompt_tuning, prefix_tuning, p_tuning, ln_tuning or "
        "trainable_tokens. [default: lora]",
    ),
    Option("rank", "--rank", METHOD, "N", "LoRA's r. [default: 16]"),
    Option("alpha", "--alpha", METHOD, "X", "lora_alpha. [default: twice the rank]"),
    Option("dropout", "--dropout", METHOD, "X", "lora_dropout. [default: 0]"),
    Option(
        "target_modules",
        "--target-modules",
        METHOD,
        "NAMES",
        "all-linear, names with commas between them, or a regex. [default: all-linear]",
    ),
    Option(
        "target_parameters",
        "--target-parameters",
        METHOD,
        "NAMES",
        "Parameters that are no nn.Linear, such as experts.gate_up_proj.",
    ),
    Option("modules_to_save", "--modules-to-save", METHOD, "NAMES", "Modules trained in full beside it."),
    Option("bias", "--bias", METHOD, "WHICH", "Biases that train too: none, all or lora_only."),
    Option("use_dora", "--use-dora", METHOD, "", "Weight-decomposed LoRA.", negated=True),
    Option("use_rslora", "--use-rslora", METHOD, "", "Scale by alpha / sqrt(rank).", negated=True),
    Option(
        "num_virtual_tokens",
        "--num-virtual-tokens",
        METHOD,
        "N",
        "Of prompt, prefix and p-tuning. [default: 20]",
    ),
    Option(
        "prefix_projection",
        "--prefix-projection",
        METHOD,
        "",
        "Prefix tuning through an encoder.",
        negated=True,
    ),
    Option(
        "encoder_hidden_size",
        "--encoder-hidden-size",
        METHOD,
        "N",
        "Of that encoder, or p-tuning's. [default: the model's]",
    ),
    Option("encoder_num_layers", "--encoder-num-layers", METHOD, "N", "Of p-tuning's encoder. [default: 2]"),
    Option("trainable_token_count", "--trainable-tokens", METHOD, "N", "Embeddings that trainable_tokens trains."),
    Option(
        "precision",
        "--precision",
        PRECISION,
        "PRESET",
        "Both of the next two: bf16, fp16, fp32, bf16-mixed, fp16-mixed, bf16-pure or fp16-pure.",
    ),
    Option("base_dtype", "--base-dtype", PRECISION, "DTYPE", "Of the loaded model. [default: bfloat16]"),
    Option(
        "mixed_precision",
        "--mixed-precision",
        PRECISION,
        "KIND",
        "Autocast: no, bf16 or fp16. [default: bf16]",
    ),
    Option("adapter_dtype", "--adapter-dtype", PRECISION, "DTYPE", "Of the adapter. [default: float32]"),
    Option(
        "quantization",
        "--quantization",
        PRECISION,
        "SCHEME",
        "none, nf4, fp4, int8, gptq or awq; nf4-dq is nf4 with double quantization.",
    ),
    Option("double_quant", "--double-quant", PRECISION, "", "Quantize the 4-bit scales too.", negated=True),
    Option("group_size", "--group-size", PRECISION, "N", "Weights per scale of gptq and awq. [default: 128]"),
    Option("gptq_kernel", "--gptq-kernel", PRECISION, "NAME", "torch or triton_v2. [default: torch]"),
    Option(
        "prepare_kbit",
        "--prepare-kbit",
        PRECISION,
        "",
        "PEFT's prepare_model_for_kbit_training, which casts the unquantized rest to float32.",
        negated=True,
    ),
    Option("micro_batch_size", "--batch-size", BATCH, "N", "Sequences per GPU and forward pass. [default: 1]"),
    Option("gradient_accumulation_steps", "--grad-accum", BATCH, "N", "Micro-batches per step. [default: 1]"),
    Option("sequence_length", "--seq-len", BATCH, "N", "Tokens of the longest batch. [default: 2048]"),
    Option("packing", "--packing", BATCH, "", "Pack samples instead of padding them.", negated=True),
    Option(
        "eval_batch_size",
        "--eval-batch-size",
        BATCH,
        "N",
        "Sequences per evaluation pass. [default: 0, none]",
    ),
    Option(
        "gradient_checkpointing",
        "--gradient-checkpointing",
        SAVERS,
        "",
        "Keep block inputs only and recompute the rest. [default: on]",
        negated=True,
    ),
    Option("checkpoint_every", "--checkpoint-every", SAVERS, "N", "Checkpoint every n-th block. [default: 1]"),
    Option(
        "checkpoint_offload",
        "--checkpoint-offload",
        SAVERS,
        "",
        "Block inputs wait in host memory.",
        negated=True,
    ),
    Option("use_reentrant", "--use-reentrant", SAVERS, "", "The reentrant kind of checkpointing.", negated=True),
    Option(
        "attention",
        "--attention",
        SAVERS,
        "NAME",
        "eager, sdpa, flash_attention_2 or flash_attention_3. [default: sdpa]",
    ),
    Option("kernels", "--kernels", SAVERS, "NAME", "hf, liger, foak, foak-liger or unsloth. [default: hf]"),
    Option("chunked_loss", "--chunked-loss", SAVERS, "", "The logits never exist at once.", negated=True),
    Option("optimizer", "--optimizer", SAVERS, "NAME", "Of OptimizerNames. [default: adamw_torch_fused]"),
    Option("max_grad_norm", "--max-grad-norm", SAVERS, "X", "Gradient clipping; 0 for none. [default: 1]"),
    Option("trainer", "--trainer", SAVERS, "NAME", "transformers, trl, or plain: a loop of one's own."),
    Option("empty_cache", "--empty-cache", SAVERS, "", "The loop empties the cache between steps.", negated=True),
    Option("transformers_version", "--transformers-version", SAVERS, "VERSION", "As 4.48.1. [default: the newest]"),
    Option("peft_version", "--peft-version", SAVERS, "VERSION", "As 0.15.2. [default: the newest]"),
    Option("num_gpus", "--gpus", GPU, "N", "How many cards. [default: 1]"),
    Option("strategy", "--strategy", GPU, "NAME", "ddp, fsdp2, zero3, ..., for more than one card."),
)

FLAGS = {option.name: option.flag for option in RUN_OPTIONS}
"""Field -> its flag."""
