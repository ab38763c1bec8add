"""The settings of TRL's scripts, and of those written like them, beside the `TrainingArguments` that they take too.

Names: TRL 1.16.0, trainer/sft_config.py, trainer/model_config.py, scripts/utils.py (`ScriptArguments`,
`DatasetMixtureConfig`) and the other trainers' configs; alignment-handbook's `H4ArgumentParser` configs; transformers'
examples/pytorch/language-modeling/run_clm.py.
"""

from __future__ import annotations

VERSION = "trl 1.16.0"
PLAIN = ("TrainingArguments", "transformers 5.23.0")
"""What a config without anything of TRL's is taken for."""

SIGNS = (
    *("per_device_train_batch_size", "per_device_eval_batch_size", "per_gpu_train_batch_size", "num_train_epochs"),
    *("model_name_or_path", "use_peft", "packing_strategy", "assistant_only_loss", "completion_only_loss"),
)
"""What shows a config to be of a trainer built on `Trainer`."""

SFT_SIGNS = (
    # SFTConfig's own
    *("activation_offloading", "assistant_only_loss", "completion_only_loss", "dataset_kwargs", "dataset_num_proc"),
    *("dataset_text_field", "eval_packing", "model_init_kwargs", "packing", "packing_strategy", "padding_free"),
    *("chat_template_path", "shuffle_dataset", "truncation_mode", "max_seq_length", "use_liger"),
    # ModelConfig's and ScriptArguments'
    *("use_peft", "use_bnb_nested_quant", "bnb_4bit_quant_storage", "dataset_train_split", "dataset_test_split"),
    # alignment-handbook's
    *("dataset_mixer", "dataset_mixture"),
)
"""What shows it to be TRL's, whose defaults are others than those of `TrainingArguments`."""

OF_DATA = (
    *("dataset_name", "dataset_config", "dataset_train_split", "dataset_test_split", "dataset_streaming", "datasets"),
    *("streaming", "dataset_text_field", "dataset_kwargs", "dataset_mixer", "dataset_mixture", "dataset_splits"),
    *("dataset_configs", "dataset_config_name", "dataset_path", "dataset", "train_file", "validation_file"),
    *("train_files", "validation_files", "test_files"),
    *("train_data_path", "eval_data_path", "data_path", "validation_split_percentage", "max_train_samples"),
    *("max_eval_samples", "dataset_split", "text_column", "dataset_columns", "dataset_shuffle_seed"),
)

HARMLESS = (
    *("model_revision", "trust_remote_code", "dataset_num_proc", "eos_token", "pad_token", "shuffle_dataset"),
    *("truncation_mode", "completion_only_loss", "assistant_only_loss", "ignore_bias_buffers", "eval_packing"),
    # storage in another dtype takes the same bytes
    "bnb_4bit_quant_storage",
    # of earlier releases of TRL, of alignment-handbook and of run_clm.py
    *("preprocessing_num_workers", "chat_template", "tokenizer_name_or_path", "tokenizer_name", "config_name"),
    *("model_code_revision", "base_model_revision", "dataset_batch_size", "num_of_sequences", "chars_per_token"),
    *("append_concat_token", "add_special_tokens", "auto_insert_empty_system_msg", "sanity_check", "token"),
    *("use_auth_token", "cache_dir", "overwrite_cache", "use_fast_tokenizer", "low_cpu_mem_usage", "keep_linebreaks"),
    *("dataset_prepared_path", "system_prompt", "wandb_project", "wandb_entity", "wandb_run_group", "wandb_run_id"),
    *(
        "wandb_log_model",
        "benchmarks",
        "callbacks",
        "hub_model_revision",
        "overwrite_hub_revision",
        "push_to_hub_revision",
    ),
    *("push_to_hub_repo_id", "device_map", "remove_columns", "config", "_n_gpu"),
    # of scripts that many others were made from: PEFT's examples/sft, QLoRA's qlora.py, FastChat, LLaVA, open-instruct
    *("chat_template_format", "splits", "bnb_4bit_quant_storage_dtype", "eval_dataset_size", "max_new_tokens"),
    *("do_mmlu_eval", "lora_weight_path", "version", "image_folder", "dataset_dir", "lazy_preprocess", "with_tracking"),
    *("use_slow_tokenizer", "group_by_modality_length", "is_multimodal"),
)
"""Settings that move neither the memory of a GPU nor time: packing of what is evaluated keeps its longest sequence."""

MOVES = {
    "padding_free": "batches are flattened without padding, and planned as padded to the longest sequence",
    "router_aux_loss_coef": "the routers' scores of every layer are kept for the auxiliary loss of experts",
    "use_unsloth": "what Unsloth's kernels allocate is not known",
    "freeze_layers": "these layers are not trained",
    "unfreeze_layers": "only these layers are trained",
    "vision_tower": "a vision tower's weights, and what it keeps of each image, are not planned",
}
"""Settings that move memory where they are on, and that a run cannot say."""

LENGTHS = ("max_length", "max_seq_length", "block_size", "model_max_length", "max_seq_len", "cutoff_len")
"""Of a sequence in tokens: SFTConfig's, its name until TRL 0.19, and those of scripts."""

MODELS = (
    *("model_name_or_path", "model_name", "model_id", "base_model_name_or_path", "pretrained_model_name_or_path"),
    *("base_model", "base_model_name", "base_model_path"),
)
"""What scripts call the model; TRL has the first."""

OTHER_STEPS = {
    "dpo": "two sequences a sample, and a reference model's log-probabilities of both",
    "orpo": "two sequences a sample",
    "cpo": "two sequences a sample",
    "kto": "a reference model's log-probabilities, and a batch for the KL term",
    "reward": "two sequences a sample, and a score in place of the logits",
    "grpo": "generations, and a reference model's log-probabilities of them",
    "rloo": "generations, and a reference model's log-probabilities of them",
    "ppo": "generations, a value model, a reward model and a reference model",
    "gkd": "generations, and a teacher model",
    "distillation": "generations, and a teacher model",
}
"""Trainers beside `SFTTrainer` -> what their step holds that one of supervised fine-tuning does not."""

OF_OTHER_STEPS = {
    "rloo": ("normalize_advantages", "reward_clip_range"),
    # trainer/grpo_config.py and rloo_config.py
    "grpo": (
        "num_generations",
        *("cache_implementation", "cast_lm_head_to_fp32", "chat_template_kwargs", "delta", "ds3_gather_for_generation"),
        *("entropy_coef", "entropy_coef_delta", "entropy_coef_max", "entropy_coef_min", "entropy_target", "epsilon"),
        *("epsilon_high", "generation_batch_size", "generation_kwargs", "importance_sampling_level", "min_p"),
        *("log_completions", "log_completions_hub_repo", "log_multimodal", "log_unique_prompts"),
        *("mask_truncated_completions", "max_completion_length", "max_tool_calling_iterations", "num_iterations"),
        *("multi_objective_aggregation", "num_completions_to_print", "num_generations_eval", "reward_weights"),
        *("off_policy_mask_threshold", "repetition_penalty", "sapo_temperature_neg", "sapo_temperature_pos"),
        *("scale_rewards", "steps_per_generation", "temperature", "top_entropy_quantile", "top_k", "top_p"),
        *("transformers_continuous_batching_config", "use_adaptive_entropy", "use_bias_correction_kl", "use_vllm"),
        *("use_transformers_continuous_batching", "use_transformers_paged", "vespo_k_neg", "vespo_k_pos"),
        *("vespo_lambda_neg", "vespo_lambda_pos", "vllm_enable_sleep_mode", "vllm_gpu_memory_utilization"),
        *("vllm_group_port", "vllm_importance_sampling_cap", "vllm_importance_sampling_clip_max"),
        *("vllm_importance_sampling_clip_min", "vllm_importance_sampling_correction", "vllm_max_model_length"),
        *("vllm_importance_sampling_mode", "vllm_mode", "vllm_model_impl", "vllm_server_base_url"),
        *("vllm_server_host", "vllm_server_port", "vllm_server_timeout", "vllm_structured_outputs_regex"),
        *("vllm_tensor_parallel_size", "reward_funcs", "reward_model_name_or_path"),
    ),
    "kto": ("desirable_weight", "undesirable_weight"),
    "reward": ("center_rewards_coefficient",),
    "distillation": ("teacher_model_init_kwargs", "teacher_model_name_or_path", "teacher_model_revision"),
    # trainer/dpo_config.py, whose settings others have too
    "dpo": (
        *("beta", "discopop_tau", "f_alpha_divergence_coef", "f_divergence_type", "label_smoothing", "ld_alpha"),
        *("loss_weights", "use_weighting", "precompute_ref_batch_size", "precompute_ref_log_probs", "sync_ref_model"),
        *("ref_model_mixup_alpha", "ref_model_sync_steps", "disable_dropout", "max_prompt_length", "rpo_alpha"),
        *("reference_free", "ref_model_init_kwargs", "max_target_length", "force_use_ref_model", "simpo_gamma"),
    ),
}
"""Settings that only those trainers have: the first of which one is there is taken for the config's."""
