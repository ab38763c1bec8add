"""Checkpointing of activations, and where they wait."""

from __future__ import annotations

from planner.trainer_configs.formats.axolotl.keys import SCHEMAS
from planner.trainer_configs.formats.axolotl.values import ignores_given
from planner.trainer_configs.reader import Reader, is_off

_BUILDER = "axolotl/core/builders/base.py: _configure_gradient_checkpointing"
_NORMALIZE = "axolotl/utils/config/__init__.py: normalize_config"

_KWARGS = "gradient_checkpointing_kwargs"
_HARMLESS_KWARGS = ("preserve_rng_state", "determinism_check", "debug", "early_stop")

_EVERYTHING = (
    "with an adapter, whatever is kept waits in host memory, and nothing is recomputed; planned as checkpointing whose "
    "inputs wait there"
)


def read_checkpointing(reader: Reader) -> None:
    """Take the settings of gradient checkpointing; the adapter, and FSDP with its own, are to be read before."""
    key, written = "gradient_checkpointing", reader.raw("gradient_checkpointing")
    word = written.strip().lower() if isinstance(written, str) else ""
    # `unsloth` is the name of `offload` in releases of 2024
    offloads = word in ("offload", "offload_disk", "unsloth")
    on = offloads or bool(reader.flag(key))
    inputs_alone = reader.raw("activation_offloading") == "hidden_states" or is_off(reader.raw("adapter"))
    if offloads:
        if inputs_alone:
            reader.becomes(key, gradient_checkpointing=True, checkpoint_offload=True)
        else:
            reader.uncounted(key, _EVERYTHING)
            reader.default(_BUILDER, gradient_checkpointing=True, checkpoint_offload=True)
    elif reader.has(key) and (on or reader.gives(key) is None):
        reader.becomes(key, gradient_checkpointing=on)
    reader.default(f"{SCHEMAS}/config.py: gradient_checkpointing", gradient_checkpointing=False)
    offloads = offloads or _offloads(reader, on, inputs_alone)
    if on:
        _reentrant(reader, mixin=offloads and reader.raw("activation_offloading") != "hidden_states")
    ignores_given(reader, (key, "activation_offloading"))
    if reader.has(_KWARGS) and not (on and reader.mapping(_KWARGS)):
        reader.ignores(_KWARGS, why="" if on else "nothing is checkpointed")


def _offloads(reader: Reader, on: bool, inputs_alone: bool) -> bool:
    key = "activation_offloading"
    if is_off(reader.raw(key)):
        return False
    if not on:
        reader.uncounted(key, "Axolotl refuses it without gradient_checkpointing, and it is planned without")
    elif inputs_alone:
        reader.becomes(key, checkpoint_offload=True)
    else:
        reader.uncounted(key, _EVERYTHING)
        reader.default(_BUILDER, checkpoint_offload=True)
    return on


def _reentrant(reader: Reader, *, mixin: bool) -> None:
    given = reader.mapping(_KWARGS)
    if given is not None:
        if given:
            reader.same({f"{_KWARGS}.use_reentrant": "use_reentrant"})
            reader.ignores(*(f"{_KWARGS}.{name}" for name in _HARMLESS_KWARGS))
            reader.moves({f"{_KWARGS}.{name}": "changes what checkpointing keeps" for name in given})
        if reader.raw("activation_offloading") == "hidden_states":
            reader.default(f"{SCHEMAS}/validation.py: check_hidden_states_offloading", use_reentrant=False)
        reader.default("torch/utils/checkpoint.py: use_reentrant", use_reentrant=True)
    elif mixin and is_off(reader.raw("adapter")):
        # wrapped by torch's `apply_activation_checkpointing` (core/trainers/mixins/activation_checkpointing.py)
        reader.default("torch's checkpoint_wrapper: checkpoint_impl", use_reentrant=False)
    elif not is_off(reader.raw("unfrozen_parameters")) or not is_off(reader.raw("rl")):
        reader.default(_BUILDER, use_reentrant=False)
    elif reader.raw("activation_offloading") == "hidden_states":
        reader.default(f"{SCHEMAS}/validation.py: check_hidden_states_offloading", use_reentrant=False)
    else:
        reader.default(_NORMALIZE, use_reentrant=True)
