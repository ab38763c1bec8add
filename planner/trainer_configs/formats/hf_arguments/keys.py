"""The settings of `TrainingArguments`: which field of a run each is, what it moves, or that it moves nothing.

Names: transformers 5.23.0, training_args.py and training_args_seq2seq.py; what they do: trainer.py.
"""

from __future__ import annotations

from collections.abc import Collection


def words(text: str) -> tuple[str, ...]:
    """The names in a table of names."""
    return tuple(text.split())


SAME = {
    "per_device_train_batch_size": "micro_batch_size",
    "per_gpu_train_batch_size": "micro_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "max_grad_norm": "max_grad_norm",
    "optim": "optimizer",
}
"""Setting -> the field of the run that it is. `per_gpu_train_batch_size` is the name until transformers 4."""

SPLIT = "the batch is shared out over the GPUs, and planned as each GPU's own"

MOVES = {
    "auto_find_batch_size": "the batch is halved after an out-of-memory, and planned as it is written",
    "bf16_full_eval": "evaluation casts the whole model to bfloat16, beside what training holds",
    "ddp_bucket_cap_mb": "DDP's buckets for gradients are planned in torch's own size",
    "debug": "the debugger keeps the last values of every module",
    "fp16_full_eval": "evaluation casts the whole model to float16, beside what training holds",
    "full_determinism": "deterministic kernels take other workspaces",
    "jit_mode_eval": "evaluation traces the model",
    "label_smoothing_factor": "the smoothed loss keeps log-probabilities of every token beside the loss's own",
    "liger_kernel_config": "which kernels liger replaces is planned as its own choice",
    "mp_parameters": "SageMaker's model parallelism spreads the model over GPUs",
    "neftune_noise_alpha": "NEFTune adds noise to a copy of the embeddings' output",
    "no_cuda": "trains on the CPU, and is planned on a GPU",
    "optim_args": "arguments of the optimizer can change what it keeps",
    "optim_target_modules": "the optimizer treats these modules otherwise than the rest",
    "parallelism_config": "tensor, context or sequence parallelism spreads each step over GPUs",
    "past_index": "states of one batch are kept for the next",
    "predict_with_generate": "evaluation generates, with a KV cache",
    "resume_from_checkpoint": "a checkpoint's states are loaded beside the new ones",
    "sharded_ddp": "FairScale shards over the GPUs",
    "split_batches": SPLIT,
    "torch_compile": "compiled graphs keep other tensors",
    "torch_compile_backend": "compiled graphs keep other tensors",
    "torch_compile_mode": "compiled graphs keep other tensors",
    "torchdynamo": "compiled graphs keep other tensors",
    "use_cache": "the model fills a KV cache in training steps",
    "use_cpu": "trains on the CPU, and is planned on a GPU",
}
"""Settings that move memory where they are on, and that a run cannot say."""

HARMLESS = words(
    """
    adam_beta1 adam_beta2 adam_epsilon average_tokens_across_devices batch_eval_metrics data_seed dataloader_drop_last
    dataloader_in_order dataloader_multiprocessing_context dataloader_num_workers dataloader_persistent_workers
    dataloader_pin_memory dataloader_prefetch_factor ddp_broadcast_buffers ddp_find_unused_parameters ddp_static_graph
    ddp_timeout disable_tqdm do_train enable_jit_checkpoint eval_accumulation_steps eval_delay eval_do_concat_batches
    eval_steps eval_use_gather_object generation_config generation_max_length generation_num_beams greater_is_better
    hub_always_push hub_model_id hub_private_repo hub_revision hub_strategy hub_token ignore_data_skip
    include_for_metrics include_num_input_tokens_seen label_names learning_rate length_column_name
    load_best_model_at_end local_rank log_level log_level_replica log_on_each_node logging_first_step
    logging_nan_inf_filter logging_steps logging_strategy lr_scheduler_kwargs lr_scheduler_type metric_for_best_model
    output_dir prediction_loss_only project push_to_hub remove_unused_columns report_to
    restore_callback_states_from_checkpoint run_name save_on_each_node save_only_model save_total_limit seed
    skip_memory_metrics sortish_sampler trackio_bucket_id trackio_space_id trackio_static_space_id warmup_steps
    weight_decay
    """
)
"""Settings that move neither the memory of a GPU nor time. Those of evaluation gather logits only for a script that
computes metrics of its own; those of generation count with `predict_with_generate`; `Trainer` itself does not look at
`do_train`; the best model is loaded from the host; DDP's are bitmaps, and buckets of the same size."""

FORMER = words(
    """
    dispatch_batches fp16_backend fp16_opt_level half_precision_backend include_inputs_for_metrics
    include_tokens_per_second logging_dir overwrite_output_dir push_to_hub_model_id push_to_hub_organization
    push_to_hub_token ray_scope save_safetensors tpu_metrics_debug tpu_num_cores use_ipex use_mps_device warmup_ratio
    xpu_backend
    """
)
"""Harmless settings of releases before 5.23, which configs still have."""

OTHER_HOURS = {
    "group_by_length": "batches of like lengths pad less, so the hours are fewer than planned",
    "tf32": "products of float32 numbers are faster, so the hours may be fewer than planned",
    "train_sampling_strategy": "which samples meet in a batch moves hours alone",
}
"""Settings that move time, not memory, and that a run cannot say."""


def without(besides: Collection[str], *keys: str) -> tuple[str, ...]:
    """The keys that a trainer does not read in a way of its own."""
    return tuple(key for key in keys if key not in besides)
