"""The settings at the top of torchtune's configs, and what each is about.

Names: what the recipes of 0.6.1 (`recipes/*.py` and `recipes/dev/*.py`) read of their configs.
"""

from __future__ import annotations

DATA = "data move hours alone; give --dataset or --examples for hours and cost"

HARMLESS = (
    *("output_dir", "seed", "lr_scheduler", "metric_logger", "profiler", "log_every_n_steps", "log_level"),
    *("log_peak_memory_stats", "checkpointer", "save_adapter_weights_only", "kd_ratio", "fake_quant_after_n_steps"),
    *("teacher_checkpointer", "value_checkpointer", "reward_checkpointer"),
)
"""The profiler's records, and checkpoints, are kept in host memory and on disk. The models that checkpoints are of are
said by the settings below."""

HOST = ("resume_from_checkpoint", "low_cpu_ram", "enable_async_checkpointing")
"""Checkpoints are read into host memory, and copied there before they are written."""

NOT_READ = ("fsdp", "memory_efficient_fsdp_wrap", "profile_memory", "ac_option")
"""In the configs of 0.6.1, and read by no recipe; `ac_option` counts where `ac_mode` is selective."""

SECOND_MODEL = "a second model is on the GPU beside the one that is planned"
REINFORCED = "of reinforcement learning, whose steps also generate and score, which is not planned"

MOVES = {
    "compile": "compiled graphs keep other tensors",
    "optimizer_in_bwd": "each gradient is used and freed within the backward pass, so the peak is lower than planned",
    "cudnn_deterministic_mode": "deterministic kernels take other workspaces",
    "custom_sharded_layers": "FSDP shards these layers by themselves, and they are planned with the rest of the model",
    "fsdp_cpu_offload": "parameters, gradients and optimizer states wait in host memory, and are planned on the GPU",
    "quantizer": "quantization-aware training keeps what it rounds and how, which is not planned",
    "layer_dropout": "layers are left out at random, and all are planned",
    "early_exit_loss": "losses at earlier layers make logits of their own",
    "teacher_model": SECOND_MODEL,
    "kd_loss": "distillation keeps the logits of teacher and student",
    "ref_checkpointer": SECOND_MODEL,
    "ref_policy_checkpointer": SECOND_MODEL,
    "reward_and_value_model": "two more models, of value and reward, are on the GPU beside the one that is planned",
    "enable_kv_cache": "generation fills a KV cache",
    "forward_batch_size": REINFORCED,
    "max_generated_tokens": REINFORCED,
    "ppo_batch_size": REINFORCED,
    "grpo_samples": REINFORCED,
}
"""Setting -> what it does to memory where it is on."""

OF_REINFORCEMENT = (
    *("num_steps", "ppo_epochs", "temperature", "top_k", "min_response_length", "penalise_no_eos", "reward_penalty"),
    *("stop_token_ids", "whiten_rewards", "gamma", "lmbda", "kl_coeff", "ref_hash_checkpointer", "save_every_n_epochs"),
)
"""Numbers of PPO and GRPO: what their steps hold is said by the settings above."""

NO_TRAINING = {
    "tasks": "evaluating a model",
    "max_new_tokens": "generating text",
    "prompt": "generating text",
    "quantizer": "quantizing a model",
}
"""Setting of a config without an optimizer -> what it is for."""

LOSSES = {
    "torchtune.modules.loss.CEWithChunkedOutputLoss": (
        "the loss goes over 16-bit logits in chunks, so the peak at the loss is lower than planned"
    ),
    "torchtune.modules.loss.LinearCrossEntropyLoss": (
        "the logits are made in chunks, so the peak at the loss is lower than planned"
    ),
}
"""Loss -> what it does. The second is of releases after 0.6.1, whose configs all have it."""

CROSS_ENTROPY = "torch.nn.CrossEntropyLoss"
"""On float32 logits (`TransformerDecoder.forward`), as in transformers."""

PREFERENCE = "a step of preference learning holds two answers to a prompt and a reference, which is not planned"
"""Of losses in torchtune.rlhf."""

DISTRIBUTED = ("custom_sharded_layers", "fsdp_cpu_offload", "fsdp_reshard_after_forward", "ac_mode")
"""Settings that only the recipes for several GPUs read."""
