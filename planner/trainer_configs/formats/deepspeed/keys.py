"""The settings of DeepSpeed 0.19.8, and which of them move memory.

Names, defaults and meanings: deepspeed/runtime/config.py and the files that it takes its sections from
(zero/config.py, zero/offload_config.py, precision_config.py, activation_checkpointing/config.py).
"""

from __future__ import annotations

VERSION = "deepspeed 0.19.8"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


BATCH = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
OTHERS = (
    *("zero_optimization", "optimizer", "gradient_clipping", "activation_checkpointing"),
    "seq_parallel_communication_data_type",
)

HARMLESS = _words(
    """
    aio checkpoint comet comms_logger csv_monitor dataloader_drop_last datastates_ckpt disable_allgather dump_state
    flops_profiler gradient_allreduce_op gradient_predivide_factor log_level managed_gradient_accumulation
    memory_breakdown prescale_gradients scheduler steps_per_print tensorboard timers
    use_data_before_expert_parallelism vocabulary_size wall_clock_breakdown wandb zero_allow_untested_optimizer
    zero_force_ds_cpu_optimizer
    """
)
"""Logging, schedules, files, factors and checks; aio is how the host reads its disks."""

READ_BY_NOTHING = ("comms_config", "monitor_config")
"""Names of DeepSpeed's classes, under which configs have what stands at the top there (monitor/config.py)."""

MOVES = {
    "autotuning": ("enabled", "the autotuner tries other batches and stages than those that are written"),
    "communication_data_type": ("", "gradients are reduced in buffers of this dtype"),
    "compile": ("deepcompile", "compiled graphs keep other tensors"),
    "data_efficiency": ("enabled", "tokens or layers are left out of some steps"),
    "data_types": ("", "gradients, parameters or buffers are kept in these dtypes"),
    "disable_python_gc": ("", "tensors in reference cycles stay until DeepSpeed collects them"),
    "expert_parallel": ("enabled", "the experts are spread over GPUs"),
    "hybrid_engine": ("enabled", "generation shares the GPU with training"),
    "msamp": ("enabled", "weights and optimizer states are kept in 8 bits"),
    "pipeline": ("", "the layers are spread over GPUs"),
    "sequence_parallel_size": ("", "each sequence is split over GPUs"),
    "tensor_parallel": ("autotp_size", "each layer is split over GPUs"),
    "torch_autocast": ("enabled", "DeepSpeed's own autocast, which is not planned"),
    "weight_quantization": ("", "weights are quantized otherwise than is planned"),
}
"""Setting, or section -> the setting in it that switches it on ("": being there does), and what it does then."""

REMOVED = (
    *("amp", "compression_training", "curriculum_learning", "eigenvalue", "elasticity", "graph_harvesting", "nebula"),
    *("progressive_layer_drop", "quantize_training", "sparse_attention", "sparse_gradients"),
)
"""Sections of earlier releases, which this one refuses (`_REMOVED_TOP_LEVEL_CONFIG_KEYS`)."""

REMOVED_OF_ZERO = ("mics_hierarchical_params_gather", "mics_shard_size", "zeropp_loco_param")

BUFFERS = _words(
    """
    allgather_bucket_size allgather_partitions allgather_sequential compute_grad_norm contiguous_gradients
    legacy_stage1 max_live_parameters max_reuse_distance memory_efficient_linear model_persistence_threshold
    module_granularity_threshold overlap_comm param_persistence_threshold parameter_alignment prefetch_bucket_size
    reduce_bucket_size reduce_scatter round_robin_gradients stage3_allgather_sequential stage3_max_live_parameters
    stage3_max_reuse_distance stage3_model_persistence_threshold stage3_module_granularity_threshold
    stage3_param_persistence_threshold stage3_prefetch_bucket_size stage3_use_all_reduce_for_fetch_params
    sub_group_size use_all_reduce_for_fetch_params use_multi_rank_bucket_allreduce
    """
)
"""Settings of `zero_optimization` that size what ZeRO holds beside the shares; stage 3's have two names each. They are
uncounted with the section, in one sentence for all of them."""

HARMLESS_OF_ZERO = _words(
    """
    cpu_offload_use_pin_memory elastic_checkpoint enable_sanity_checks gather_16bit_weights_on_model_save
    ignore_unused_parameters load_from_fp32_weights log_trace_cache_warnings override_module_apply
    pipeline_loading_checkpoint stage3_gather_16bit_weights_on_model_save stage3_gather_fp16_weights_on_model_save
    """
)
"""Checks, host memory, loading and saving: a save gathers one layer at a time, outside of steps."""

MOVES_OF_ZERO = {
    "cpu_offload": "the optimizer's states are kept in host memory, and planned on the GPU",
    "cpu_offload_param": "the parameters are kept in host memory, and planned on the GPU",
    "leaf_module": "whole submodules are gathered at once",
    "save_muon_momentum_buffer_in_memory": "Muon's momentum stays on the GPU",
    "zenflow": "some gradients are applied on the GPU, and the rest on the host",
    "zero_hpz_partition_size": "a second share of the weights is kept within each machine",
    "zero_quantized_gradients": "gradients are quantized before they are reduced",
    "zero_quantized_nontrainable_weights": "frozen weights are kept in 8 bits",
    "zero_quantized_weights": "weights are quantized before they are gathered",
    **dict.fromkeys(REMOVED_OF_ZERO, f"{VERSION} refuses it, and what it did is not planned"),
}

OFFLOADS = {"offload_optimizer": "cpu_offload", "offload_param": "cpu_offload_param"}
"""Section of `zero_optimization` -> the earlier name of what it does, where its `device` is not `none`."""

OPTIMIZERS = {
    "adam": "adamw_torch_fused",
    "adamw": "adamw_torch_fused",
    "lion": "lion_32bit",
    "adagrad": "adagrad",
    "sgd": "sgd",
    "rmsprop": "rmsprop",
}
"""`optimizer.type` -> the optimizer that keeps as much. `FusedAdam` and `FusedLion` update in place, as torch's fused
one does; the last three are torch's own (`_configure_basic_optimizer` in runtime/engine.py)."""

DTYPES = {"bf16": "bfloat16", "fp16": "float16"}
"""Precision -> the dtype that the engine casts every parameter to (`_configure_distributed_model`, runtime/engine.py).
accelerate enters no autocast then (`native_amp` in accelerate/accelerator.py, 1.15)."""

PRECISIONS = {"bf16": "bf16", "bfloat16": "bf16", "fp16": "fp16"}
"""Section -> the precision that it switches on; `bfloat16` is bf16's earlier name."""

MASTERS_IN_16_BIT = ("bf16_master_weights_and_grads", "bf16_optimizer_states", "fp16_master_weights_and_grads")
HARMLESS_OF_PRECISION = _words(
    """
    enabled auto_cast check_grad_overflow consecutive_hysteresis hysteresis immediate_grad_update initial_scale_power
    loss_scale loss_scale_window min_loss_scale
    """
)
