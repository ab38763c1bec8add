"""Axolotl's settings by what they move: `AxolotlInputConfig` of axolotl 0.19.0, and what older configs still have.

Settings that the other modules here read are not listed.
"""

from __future__ import annotations

VERSION = "axolotl 0.19.0"

SCHEMAS = "axolotl/utils/schemas"
"""Where the settings and their defaults are."""


def words(text: str) -> tuple[str, ...]:
    """Names with space between them."""
    return tuple(text.split())


TELLTALES = words(
    """
    sequence_len sample_packing pad_to_sequence_len lora_target_linear val_set_size dataset_prepared_path
    eval_sample_packing evals_per_epoch saves_per_epoch train_on_inputs lora_modules_to_save micro_batch_size num_epochs
    flash_attention xformers_attention special_tokens pretraining_dataset unfrozen_parameters peft_use_dora adapter
    lora_r datasets
    """
)
"""Settings that beside `base_model` are Axolotl's alone."""

GIVES = {
    "adapter": ("method",),
    "attn_implementation": ("attention",),
    "bf16": ("base_dtype", "mixed_precision"),
    "gradient_checkpointing": ("gradient_checkpointing",),
    "load_in_4bit": ("quantization",),
    "load_in_8bit": ("quantization",),
    "lora_target_linear": ("target_modules",),
    "lora_target_modules": ("target_modules",),
}
"""Setting -> the fields of the run that settle it where it is a placeholder, beside those that it is written as."""

DATASETS = words(
    """
    datasets pretraining_dataset streaming dataset_exact_deduplication excess_length_strategy min_sample_len
    dataset_shard_num dataset_shard_idx
    """
)
DATASETS_WHY = "give --dataset or --examples for hours and cost"

HARMLESS = words(
    """
    accelerator_config adam_beta1 adam_beta2 adam_beta3 adam_epsilon adam_epsilon2 added_tokens_overrides
    auto_resume_from_checkpoints axolotl_config_path bench_dataset bench_split chat_template chat_template_jinja
    chat_template_kwargs cls_model_config comet_api_key comet_experiment_config comet_experiment_key comet_mode
    comet_online comet_project_name comet_workspace cosine_constant_lr_ratio cosine_min_lr_ratio curriculum_sampling
    dataloader_drop_last dataloader_num_workers dataloader_pin_memory dataloader_prefetch_factor
    dataset_keep_in_memory dataset_num_proc dataset_prepared_path dataset_processes ddp ddp_broadcast_buffers
    ddp_find_unused_parameters ddp_timeout default_system_message device dynamic_checkpoint early_stopping_patience
    embedding_lr embedding_lr_scale eot_tokens eval_causal_lm_metrics experimental_skip_move_to_device
    fix_untrained_tokens freeze_mm_modules fsdp_final_state_dict_type gc_collect_steps gradio_max_new_tokens
    gradio_server_name gradio_server_port gradio_share gradio_temperature gradio_title greater_is_better
    hf_mlflow_log_artifacts hf_use_auth_token hub_model_id hub_revision hub_strategy include_tkps
    include_tokens_per_second is_falcon_derived_model is_llama_derived_model is_mistral_derived_model is_preprocess
    is_qwen_derived_model jagged_restart_anneal_steps jagged_restart_steps jagged_restart_warmup_steps learning_rate
    load_best_model_at_end local_rank logging_steps loraplus_lr_embedding loraplus_lr_ratio loss_watchdog_patience
    loss_watchdog_threshold low_cpu_mem_usage lr_div_factor lr_groups lr_quadratic_warmup lr_scheduler
    lr_scheduler_kwargs mean_resizing_embeddings merge_lora merge_method metric_for_best_model mlflow_experiment_name
    mlflow_run_name mlflow_tracking_uri num_dataset_shards_to_save otel_metrics_host otel_metrics_port output_dir
    preprocess_iterable pretrain_multipack_attn pretrain_multipack_buffer_size pretraining_sample_concatenation
    profiler_steps profiler_steps_start push_dataset_to_hub qlora_sharded_model_loading quantization ray_run_name
    reinit_weights remove_unused_columns resources_per_worker resume_from_checkpoint role_boundaries
    sample_packing_bin_size sample_packing_eff_est sample_packing_group_size sample_packing_mp_start_method
    sample_packing_sequentially save_first_step save_only_model save_safetensors save_total_limit seed
    shuffle_before_merging_datasets shuffle_merged_datasets skip_prepare_dataset streaming_multipack_buffer_size strict
    tokenizer_legacy tokenizer_save_jinja_files tokenizer_type tokenizer_use_fast
    tokenizer_use_mistral_common torchdistx_path total_num_tokens total_supervised_tokens trackio_project_name
    trackio_run_name trackio_space_id train_on_inputs use_comet use_mlflow use_otel_metrics use_tensorboard use_trackio
    use_wandb wandb_entity wandb_log_model wandb_mode wandb_name wandb_project wandb_run_id wandb_watch warmup_ratio
    warmup_steps weight_decay world_size
    """
)
"""Schedules, logging, hubs, names, loading, and how samples are drawn and laid out; `quantization` is of
`axolotl quantize`, `merge_*` of `axolotl merge-lora`, and LoRA+ only groups the parameters of the optimizer."""

FORMER = words(
    """
    adamw_epsilon base_model_ignore_patterns collator_pad_to_longest debug do_train eval_max_new_tokens
    eval_table_max_new_tokens eval_table_size flash_attn_fuse_qkv gptq_disable_exllama gptq_groupsize gptq_model_v1
    inference log_sweep_max_lr log_sweep_min_lr logging_dir lora_out_dir overwrite_output_dir push_to_hub report_to
    rope_scaling sample_packing_seq_len_multiplier stop_words wandb_run_name wandb_run_group
    """
)
"""Settings of earlier releases, which Axolotl leaves out, refuses or replaces, and that moved no memory."""

OTHER_HOURS = {
    "group_by_length": "batches of like lengths pad less, so the hours are fewer than planned",
    "tf32": "products of float32 numbers are faster, so the hours may be fewer than planned",
}
"""Settings that move time, not memory, and that a run cannot say."""

OF_OTHERS: dict[str, tuple[str, ...]] = {
    "no code from outside is run here": ("trust_remote_code",),
    "a few rows of the embeddings, which are not counted": (
        "special_tokens",
        "tokens",
        "resize_token_embeddings_to_32x",
    ),
    "the sizes are those of the model that is catalogued": (
        *("revision_of_model", "model_revision", "tokenizer_config"),
    ),
    "counts with images, which processor_type asks for": ("image_size", "image_resize_algorithm", "processor_kwargs"),
    "counts with torch_compile": ("torch_compile_backend", "torch_compile_mode", "torch_compile_options"),
    "counts with its switch": (
        *("chunked_cross_entropy_num_chunks", "eaft_alpha", "eaft_k", "flex_attn_compile_kwargs", "fp32_norm_classes"),
        *("fp8_config", "fp8_enable_fsdp_float8_all_gather", "tiled_mlp_num_shards", "tiled_mlp_use_original_mlp"),
        *("scaling_softmax_factor", "scaling_softmax_bias", "model_quantization_config_kwargs", "heads_k_stride"),
        *("ring_attn_func", "lisa_layers_attribute", "lisa_step_interval", "relora_cpu_offload"),
        *("relora_prune_method", "relora_prune_ratio", "peft_layers_pattern", "num_labels"),
        *("num_generation_samples", "generation_max_new_tokens", "generation_temperature", "generation_top_p"),
        *("generation_top_k", "generation_prompt_ratio", "generation_do_sample"),
    ),
    "positions alone": ("use_pose", "pose_split_on_token_ids", "pose_max_context_len", "pose_num_chunks"),
    "of an optimizer that no table has": (
        *("dion_lr", "dion_momentum", "dion_rank_fraction", "dion_rank_multiple_of"),
        *("qgalore_rank", "qgalore_update_proj_gap", "qgalore_scale", "qgalore_proj_type", "qgalore_proj_quant"),
        *("qgalore_proj_bits", "qgalore_proj_group_size", "qgalore_cos_threshold", "qgalore_gamma_proj"),
        "qgalore_queue_size",
    ),
}
"""Why -> settings that are harmless by themselves."""

_COMPILED = "compiled graphs keep other tensors"
_FUSED = "fused kernels keep other tensors"
_UNSLOTH = "Axolotl has removed Unsloth's kernels, which kept other tensors"
_PARTLY = "only a part of the model is trained, and all of it is planned"
UNFROZEN_BESIDE_ADAPTERS = "its patterns decide which parameters train, and not the adapter alone, which is planned"
"""`freeze_layers_except` (train.py) takes the model with its adapter."""

MOVES = {
    "auto_find_batch_size": "the batch is halved after an out-of-memory, and planned as it is written",
    "batch_flattening": "the samples of a batch are laid end to end, and planned as padded",
    "bettertransformer": "BetterTransformer's layers keep other tensors",
    "chunked_cross_entropy": "the loss takes the logits in chunks, and is planned in one piece",
    "ddp_bucket_cap_mb": "DDP's buckets for gradients are planned in torch's own size",
    "deepcompile": _COMPILED,
    "do_bench_eval": "benchmarks are evaluated besides",
    "do_causal_lm_eval": "evaluation generates, with a KV cache",
    "experts_implementation": "experts are computed in another way than transformers' own",
    "flash_attn_cross_entropy": "flash-attention's loss keeps other tensors",
    "flash_attn_d512": "large heads take another attention kernel",
    "flash_attn_fuse_mlp": _FUSED,
    "flash_attn_rms_norm": _FUSED,
    "flash_optimum": "BetterTransformer's layers keep other tensors",
    "fp32_norms": "norms are kept in float32",
    "fp8": "products in 8 bits keep other tensors, and weights beside their copies",
    "fused_attn_kernel": _FUSED,
    "gemma4_hybrid_attn_impl": "two kinds of attention are planned as one",
    "generate_samples": "samples are generated, with a KV cache",
    "gpu_memory_limit": "parts of the model are placed in host memory",
    "landmark_attention": "landmark attention keeps other tensors",
    "large_head_attention": "large heads take another attention kernel",
    "layer_offloading": "weights wait in host memory, and are planned on the GPU",
    "lisa_n_layers": _PARTLY,
    "llama4_linearized_experts": "experts are loaded as layers of their own",
    "load_4bit": "a setting of the earliest releases, for GPTQ",
    "max_memory": "parts of the model are placed in host memory",
    "max_packed_sequence_len": "packing of the earliest releases, which this one refuses",
    "model_quantization_config": "weights are quantized in a way that is not planned",
    "neftune_noise_alpha": "NEFTune adds noise to a copy of the embeddings' output",
    "noisy_embedding_alpha": "NEFTune adds noise to a copy of the embeddings' output",
    "optim_args": "arguments of the optimizer can change what it keeps",
    "optim_target_modules": "the optimizer treats these modules otherwise than the rest",
    "ple_cpu_offload": "embeddings wait in host memory, and are planned on the GPU",
    "processor_type": "images become tokens, which are not planned",
    "qat": "fake quantization keeps copies of the weights",
    "quantize_moe_experts": "experts are quantized as they are loaded, and planned as bitsandbytes leaves them",
    "s2_attention": "shifted attention of earlier releases, which this one refuses",
    "scaling_softmax": "scaled attention keeps other tensors",
    "sdpa_varlen": "packed attention without a mask keeps other tensors",
    "selective_checkpointing": "attention is kept, and planned as recomputed",
    "shrink_embeddings": "rows of the embeddings are left out",
    "tiled_mlp": "each MLP is computed in tiles, and planned in one piece",
    "torch_compile": _COMPILED,
    "trainer_cls": "a trainer of one's own, planned as Axolotl's",
    "unfrozen_parameters": _PARTLY,
    "unsloth_cross_entropy_loss": _UNSLOTH,
    "unsloth_lora_mlp": _UNSLOTH,
    "unsloth_lora_o": _UNSLOTH,
    "unsloth_lora_qkv": _UNSLOTH,
    "unsloth_rms_norm": _UNSLOTH,
    "unsloth_rope": _UNSLOTH,
    "use_eaft": "the focal loss keeps other tensors",
    "use_kernels": "kernels from the Hub keep other tensors",
    "use_onebitllms": "linear layers are replaced by those of BitNet",
}
"""Settings that move memory where they are on, and that a run cannot say."""
