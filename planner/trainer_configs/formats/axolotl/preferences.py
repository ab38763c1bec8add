"""Preference methods, rewards and reinforcement learning: what their steps hold besides is not planned."""

from __future__ import annotations

from planner.trainer_configs.formats.axolotl.keys import words
from planner.trainer_configs.formats.axolotl.values import ignores_given
from planner.trainer_configs.reader import Reader, is_off

_REFERENCE = "a reference model, and two sequences a sample"
_GENERATES = "generations, their log-probabilities, and a reference model"

STEPS_HOLD = {
    "dpo": _REFERENCE,
    "ipo": _REFERENCE,
    "kto": "a reference model, and each sequence beside an unrelated one",
    "orpo": "two sequences a sample",
    "simpo": "two sequences a sample",
    "grpo": _GENERATES,
    "gdpo": _GENERATES,
    "ebft": _GENERATES,
}
"""`RLType` of utils/schemas/enums.py -> what a step holds that is not planned."""

OF_PREFERENCES = words(
    """
    beta center_rewards_coefficient cpo_alpha dpo_beta dpo_generate_during_eval dpo_label_smoothing dpo_loss_type
    dpo_loss_weights dpo_norm_loss dpo_padding_free dpo_use_liger_kernel dpo_use_logits_to_keep dpo_use_weighting ebft
    kto_desirable_weight kto_undesirable_weight max_prompt_len orpo_alpha precompute_ref_log_probs rl_beta rpo_alpha
    simpo_gamma trl vllm
    """
)


def read_preferences(reader: Reader) -> None:
    """Take `rl`, the reward models, and what counts with them."""
    kind = reader.raw("rl")
    if not is_off(kind):
        held = STEPS_HOLD.get(str(kind).lower(), "what its method adds")
        reader.uncounted("rl", f"each step holds {held}, which is not planned")
    if reader.flag("reward_model"):
        reader.uncounted("reward_model", "each step holds two sequences a sample, and a head with one output")
    if reader.flag("process_reward_model"):
        reader.uncounted("process_reward_model", "a head that classifies tokens takes the place of the vocabulary's")
    ignores_given(reader, ("rl", "reward_model", "process_reward_model"))
    reader.ignores(*OF_PREFERENCES, why="counts with rl or a reward model")
