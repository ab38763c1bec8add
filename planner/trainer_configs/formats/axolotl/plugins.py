"""Plugins: liger's kernels and the cut loss, which a run can say, and all others, which it cannot.

A plugin's settings count only with the plugin in `plugins`: Axolotl drops them otherwise (`merge_input_args`).
"""

from __future__ import annotations

from planner.trainer_configs.formats.axolotl.keys import words
from planner.trainer_configs.formats.axolotl.values import ignores_given
from planner.trainer_configs.reader import Reader, is_off, is_placeholder

LIGER = ("liger_rope", "liger_rms_norm", "liger_glu_activation")
"""Beside the loss, what liger patches of itself in models with RMSNorm; `liger_swiglu` is the last one's older name."""

_LOSS = "liger_fused_linear_cross_entropy"

LIGER_MOVES = {
    "liger_cross_entropy": "liger's loss without the head is not planned",
    "liger_kernel_impl": "liger's other kernels keep other tensors",
    "liger_rms_norm_gated": "liger's gated norm is not planned",
    "liger_use_token_scaling": "the loss keeps the probabilities of its tokens",
}

QUIET = ("swanlab", "lm_eval")
"""Plugins that log, or evaluate after training."""

OF_PLUGINS = words(
    """
    cut_cross_entropy dense_mixer diffusion dsv4_bf16_all dsv4_fp4_grouped_mode dsv4_fp8_lora_kernel
    dsv4_fp8_nonexpert_mode dsv4_shared_mlp_lora_kernel expert_backend expert_parallel_backend
    expert_parallel_fallback_on_unsupported expert_parallel_num_nvl_bytes expert_parallel_num_rdma_bytes
    expert_parallel_size expert_parallel_token_capacity gemma4_fp8_nonexpert gemma4_nf4_nonexpert grokfast_alpha
    grokfast_lamb hatchery kd_alpha kd_beta kd_ce_alpha kd_normalize_topk kd_online_server kd_online_server_base_url
    kd_online_timeout kd_online_topk kd_temperature kd_temperature_min kd_trainer liger_cross_entropy
    liger_fused_linear_cross_entropy liger_glu_activation liger_kernel_impl liger_layer_norm liger_rms_norm
    liger_rms_norm_gated liger_rope liger_swiglu liger_use_token_scaling llmcompressor lm_eval_batch_size lm_eval_model
    lm_eval_post_train lm_eval_tasks moe_bnb_fast moe_dequant_chunk_size moe_grouped_backend mora
    nemo_gym_auto_clone nemo_gym_auto_start nemo_gym_config_paths nemo_gym_datasets nemo_gym_dir nemo_gym_enabled
    nemo_gym_head_port nemo_gym_max_turns nemo_gym_model_name nemo_gym_multi_turn nemo_gym_run_timeout
    nemo_gym_server_timeout nemo_gym_verify_timeout nonexpert_quantization nvfp4_merge_aware
    nvfp4_merge_aware_start_step spectrum_model_name spectrum_top_fraction swanlab_api_host swanlab_api_key
    swanlab_completion_log_interval swanlab_completion_max_buffer swanlab_description swanlab_experiment_name
    swanlab_lark_secret swanlab_lark_webhook_url swanlab_log_completions swanlab_log_model swanlab_mode
    swanlab_project swanlab_web_host swanlab_workspace use_dsv4_kernels use_glm_dsa_kernels use_scattermoe
    use_sonicmoe use_swanlab
    """
)
"""Settings of the plugins of axolotl/integrations (their args.py)."""

_CUT = "never holds all logits at once, which are planned whole: the real peak at the loss is lower"


def read_plugins(reader: Reader) -> None:
    """Take `plugins` and the settings of those that Axolotl brings."""
    plugins = [name.lower() for name in reader.names("plugins") or ()]
    if any("liger" in name for name in plugins):
        _liger(reader)
    if any("cut_cross_entropy" in name for name in plugins):
        # on unless it says otherwise: axolotl/integrations/cut_cross_entropy/args.py
        if reader.flag("cut_cross_entropy") is not False:
            reader.uncounted("cut_cross_entropy", _CUT)
        reader.ignores("cut_cross_entropy")
    known = ("liger", "cut_cross_entropy", *QUIET)
    if others := [name for name in plugins if not any(word in name for word in known)]:
        reader.uncounted("plugins", f"what {' and '.join(others)} does to memory is not planned")
    if not is_placeholder(reader.document.settings.get("plugins")):
        reader.ignores("plugins", why="read with their settings")
        ignores_given(reader, OF_PLUGINS, why="counts with its plugin in plugins")
    reader.default("axolotl/integrations/liger/args.py: none of them on", kernels="hf")


def _liger(reader: Reader) -> None:
    """All of liger's kernels are planned, or none: with its loss all, as that moves most."""
    switches = [*LIGER[:2], "liger_swiglu" if reader.has("liger_swiglu") else LIGER[2]]
    on = [key for key in switches if reader.flag(key)]
    if reader.flag(_LOSS):
        reader.becomes(_LOSS, kernels="liger")
        for key in switches:
            if key not in on:
                reader.uncounted(key, "off, and planned with the rest of liger's kernels")
    else:
        for key in on:
            reader.uncounted(key, "liger's kernels are planned all together, or not at all; planned without")
    reader.moves(LIGER_MOVES)
    reader.ignores(*(key for key in (*switches, _LOSS) if not is_off(reader.raw(key))), why="one of liger's kernels")
    ignores_given(reader, (*switches, _LOSS, "liger_layer_norm"))
