"""LLaMA-Factory's settings that are no field of a run: those that move memory, and those that move nothing.

Names: llamafactory 0.9.5, the dataclasses in llamafactory/hparams; what they do: llamafactory/model and
llamafactory/train.
"""

from __future__ import annotations

from planner.trainer_configs.formats.hf_arguments import words

_IMAGES = "images, videos and sounds, and the towers that read them, are not planned"
_OTHER_OPTIMIZER = "keeps other states than AdamW, which is planned"

MOVES = {
    # model_args.py
    "enable_torch_profiler": "the profiler keeps tensors of its own",
    "export_dir": "this is the config of an export, which trains nothing",
    "mixture_of_depths": "blocks pass over tokens",
    "moe_aux_loss_coef": "the loss keeps the router's logits of every layer",
    "quantization_device_map": "the model is spread over GPUs",
    "shift_attn": "attention is shifted in groups, with copies of queries, keys and values",
    "upcast_layernorm": "norms in float32 give results in float32",
    "upcast_lmhead_output": "the head's result is cast to float32 before the loss",
    "use_kt": "KTransformers keeps experts in host memory",
    "use_v1_kernels": "kernels of LLaMA-Factory's own replace some of transformers'",
    # finetuning_args.py
    "compute_accuracy": "evaluation holds the logits to compare them",
    "freeze_language_model": "the language model is frozen, and planned as trained",
    "pissa_init": "PiSSA factors every target before training, in memory of its own",
    "ref_model": "a reference model stays in memory",
    "reward_model": "a reward model stays in memory",
    "use_adam_mini": f"Adam-mini {_OTHER_OPTIMIZER}",
    "use_apollo": f"APOLLO {_OTHER_OPTIMIZER}",
    "use_asft_loss": "a reference model stays in memory, and its logits are in the loss",
    "use_badam": "BAdam trains one block at a time, and is planned as AdamW on all of them",
    "use_dft_loss": "another loss, with other copies of the logits",
    "use_eaft_loss": "another loss, with other copies of the logits",
    "use_hyper_parallel": "HyperParallel shards in its own way",
    "use_llama_pro": "only expanded blocks are trained, and all are planned",
    "use_mca": "Megatron trains, with other kernels and shares",
    "use_muon": f"Muon {_OTHER_OPTIMIZER}",
    # training_args.py
    "fp8": "products in 8 bits keep other tensors",
    "fp8_enable_fsdp_float8_all_gather": "FSDP gathers in 8 bits",
    # of multimodal models alone
    **dict.fromkeys(
        (
            *("image_max_pixels", "image_min_pixels", "image_do_pan_and_scan", "crop_to_patches"),
            *("video_max_pixels", "video_min_pixels", "video_fps", "video_maxlen"),
            *("use_audio_in_video", "audio_sampling_rate"),
        ),
        _IMAGES,
    ),
}
"""Settings that move memory where they are on, and that a run cannot say."""

MOVES_OFF = {
    "freeze_vision_tower": "the vision tower is trained too, and not planned",
    "freeze_multi_modal_projector": "the projector of images is trained too, and not planned",
}
"""Those that are on by default, and move memory where they are off."""

OF_DATA = words(
    """
    buffer_size data_shared_file_system dataset dataset_dir eval_dataset eval_on_each_dataset interleave_probs
    max_samples media_dir mix_strategy streaming tokenized_path
    """
)
"""What is trained on, which lengths and hours follow from."""

HARMLESS = words(
    """
    adapter_folder cache_dir hf_hub_token init_special_tokens
    low_cpu_mem_usage model_revision ms_hub_token offload_folder om_hub_token print_param_status rope_scaling
    split_special_tokens train_from_scratch trust_remote_code use_fast_tokenizer
    export_device export_hub_model_id export_legacy_format export_quantization_bit export_quantization_dataset
    export_quantization_maxlen export_quantization_nsamples export_size
    infer_backend infer_dtype use_kv_cache vllm_config vllm_enforce_eager vllm_gpu_util vllm_max_lora_rank vllm_maxlen
    sglang_config sglang_lora_backend sglang_maxlen sglang_mem_fraction sglang_tp_size
    kt_expert_checkpoint_path kt_lora_expert_intermediate_size kt_lora_expert_num kt_use_lora_experts kt_weight_path
    default_system enable_thinking ignore_pad_token_for_loss mask_history overwrite_cache preprocessing_batch_size
    preprocessing_num_workers preserve_thinking template tool_format train_on_prompt
    eval_num_beams do_sample temperature top_p top_k num_beams max_length max_new_tokens repetition_penalty
    length_penalty skip_special_tokens
    create_new_adapter loraplus_lr_embedding loraplus_lr_ratio pissa_convert pissa_iter
    dpo_label_smoothing kto_chosen_weight kto_rejected_weight ld_alpha ppo_buffer_size ppo_epochs ppo_score_norm
    ppo_target ppo_whiten_rewards pref_bco_weight pref_beta pref_ftx pref_loss ref_model_adapters
    ref_model_quantization_bit reward_model_adapters reward_model_quantization_bit reward_model_type simpo_gamma
    galore_layerwise galore_proj_type galore_rank galore_scale galore_target galore_update_interval
    apollo_layerwise apollo_proj apollo_proj_type apollo_rank apollo_scale apollo_scale_front apollo_scale_type
    apollo_target apollo_update_interval
    badam_mask_mode badam_mode badam_start_block badam_switch_interval badam_switch_mode badam_update_ratio
    badam_verbose
    asft_alpha eaft_alpha hyper_parallel_args
    swanlab_api_key swanlab_lark_secret swanlab_lark_webhook_url swanlab_logdir swanlab_mode swanlab_project
    swanlab_run_name swanlab_workspace use_swanlab
    disable_shuffling early_stopping_steps include_effective_tokens_per_second plot_loss
    fp8_backend profile_modules profiler_active_steps profiler_output_dir profiler_profile_memory
    profiler_record_shapes profiler_repeat profiler_wait_steps profiler_warmup_steps profiler_with_stack
    master_addr master_port ray_init_kwargs
    """
)
"""Settings that move neither memory nor time, or that count with another one, which is then uncounted: those of
stages (`stage`), optimizers (`use_galore`, `use_apollo`, `use_badam`), losses, PiSSA, KTransformers, the profiler and
FP8. LoRA+ sorts the same tensors into groups with rates of their own; `rope_scaling` moves positions; inference and
export are not training."""

FORMER = words(
    """
    dpo_beta dpo_ftx dpo_loss efficient_eos kto_beta kto_ftx orpo_beta placement_strategy ray_run_name
    ray_storage_path reserved_label_len resources_per_worker
    """
)
"""Harmless settings of releases before 0.9.5, which configs still have."""

SIGNS = (
    *("finetuning_type", "lora_target", "cutoff_len", "quantization_bit", "dataset_dir", "val_size", "neat_packing"),
    *("enable_liger_kernel", "disable_gradient_checkpointing", "pure_bf16", "use_unsloth_gc", "flash_attn"),
    *("additional_target", "upcast_layernorm", "plot_loss", "use_swanlab"),
)
"""Settings that no other trainer that is read here has."""
