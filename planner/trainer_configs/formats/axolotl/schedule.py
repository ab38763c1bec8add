"""Batches, sequences, the optimizer, and how long training goes on, evaluates and saves."""

from __future__ import annotations

import math

from planner.trainer_configs.formats.axolotl.keys import SCHEMAS
from planner.trainer_configs.formats.axolotl.values import ignores_given, is_null, whole_of
from planner.trainer_configs.reader import Reader, is_off, plain

_CONFIG = "axolotl/utils/config/__init__.py: normalize_config"
_BUILDER = "axolotl/core/builders/base.py"
_MOST_STEPS = 10**9
"""More than a job may have."""
_STEPS = "checkpoints are counted by steps; --save-steps says after how many"


def read_schedule(reader: Reader) -> None:
    """Take the settings of the loop."""
    _batches(reader)
    _sequences(reader)
    _length(reader)
    _evaluation(reader)
    _saving(reader)
    reader.same({"optimizer": "optimizer", "max_grad_norm": "max_grad_norm"})
    reader.default(f"{SCHEMAS}/training.py: optimizer", optimizer="adamw_torch_fused")
    reader.default("transformers/training_args.py: max_grad_norm", max_grad_norm=1.0)
    _cache(reader)


def _batches(reader: Reader) -> None:
    """`batch_size` is read only where gradient_accumulation_steps is null: left out, that is 1."""
    reader.same({"micro_batch_size": "micro_batch_size", "gradient_accumulation_steps": "gradient_accumulation_steps"})
    reader.default(f"{SCHEMAS}/training.py: micro_batch_size", micro_batch_size=1)
    if reader.has("batch_size") and not reader.has("gradient_accumulation_steps"):
        if is_null(reader, "gradient_accumulation_steps"):
            whole, micro = reader.whole("batch_size") or 0, whole_of(reader.gives("micro_batch_size"))
            if micro > 0:
                reader.becomes("batch_size", gradient_accumulation_steps=whole // micro)
        else:
            reader.ignores("batch_size", why="Axolotl accumulates 1 step where gradient_accumulation_steps is left out")
    if reader.has("batch_size"):
        reader.ignores("batch_size", why="gradient_accumulation_steps decides")
    reader.default(f"{SCHEMAS}/training.py: gradient_accumulation_steps", gradient_accumulation_steps=1)


def _sequences(reader: Reader) -> None:
    reader.same({"sequence_len": "sequence_length", "sample_packing": "packing"})
    reader.default(f"{SCHEMAS}/config.py: sequence_len", sequence_length=512)
    reader.default(f"{SCHEMAS}/config.py: sample_packing", packing=False)
    longest, trained = reader.whole("eval_sequence_len"), whole_of(reader.gives("sequence_length"))
    if longest is not None and longest > trained:
        reader.uncounted("eval_sequence_len", "longer than the sequences that are trained on, which are planned")
    elif longest is not None:
        reader.ignores("eval_sequence_len")
    why = "the longest batch decides"
    reader.ignores("pad_to_sequence_len", "pad_to_multiple_of", why=why)
    reader.ignores("multipack_real_batches", "eval_sample_packing", why="a batch has as many tokens in any case")


def _length(reader: Reader) -> None:
    if reader.has("num_epochs"):
        reader.becomes_job("num_epochs", epochs=plain(reader.raw("num_epochs")))
    steps = reader.whole("max_steps") or 0
    if steps > 0:
        reader.becomes_job("max_steps", max_steps=steps)
    elif reader.has("max_steps"):
        reader.ignores("max_steps", why="epochs decide")
    reader.default_job(f"{SCHEMAS}/training.py: num_epochs", epochs=1.0)


def _share(reader: Reader, key: str) -> float | None:
    """Times an epoch as a share of all steps; None where that is no share (`normalize_config`)."""
    times = reader.number(key)
    epochs = reader.number("num_epochs") if reader.has("num_epochs") else 1.0
    if not times or not epochs or times * epochs <= 0:
        return None
    share = 1.0 / (times * epochs)
    return share if share < 1 else None


def _evaluation(reader: Reader) -> None:
    """`_configure_save_and_eval_strategy`: without steps and without a strategy, nothing is evaluated."""
    held_out = reader.number("val_set_size") or 0.0
    strategy = next((key for key in ("eval_strategy", "evaluation_strategy") if reader.has(key)), None)
    asked = strategy is not None and str(reader.raw(strategy)).lower() != "no" and not is_off(reader.raw(strategy))
    stepped = not is_off(reader.raw("eval_steps")) or _share(reader, "evals_per_epoch") is not None
    on = (held_out > 0 or not is_off(reader.raw("test_datasets"))) and (stepped or asked)
    if reader.has("val_set_size"):
        if held_out < 1:
            reader.becomes_job("val_set_size", eval_split=plain(reader.raw("val_set_size")))
        else:
            reader.ignores("val_set_size", why="rows, and no share of them; --eval-split says the share")
    reader.default_job(f"{SCHEMAS}/config.py: val_set_size", eval_split=0.0)
    if on:
        reader.same({"eval_batch_size": "eval_batch_size"})
        reader.default(f"{_CONFIG}, as micro_batch_size", eval_batch_size=reader.gives("micro_batch_size"))
    else:
        reader.default(f"{_BUILDER}: _configure_save_and_eval_strategy", eval_batch_size=0)
        if reader.has("eval_batch_size"):
            reader.ignores("eval_batch_size", why="nothing is evaluated")
    keys = ("eval_steps", "evals_per_epoch", "eval_strategy", "evaluation_strategy", "test_datasets")
    why = "evaluation is planned, as large as its batch" if on else "nothing is evaluated"
    ignores_given(reader, keys, why=why)


def _saving(reader: Reader) -> None:
    """By steps, a share of them, or at the end of each epoch, which is the default."""
    share = _share(reader, "saves_per_epoch")
    steps = reader.number("save_steps")
    strategy = (reader.text("save_strategy") or "").lower()
    key = "saves_per_epoch" if share is not None else "save_steps"
    share = share if share is not None or steps is None or not 0 < steps < 1 else steps
    last = reader.whole("max_steps") or 0
    if share is not None and 0 < last <= _MOST_STEPS:
        reader.becomes_job(key, save_steps=math.ceil(share * last))
    elif share is None and steps:
        reader.becomes_job("save_steps", save_steps=plain(reader.raw("save_steps")))
    elif share is None and strategy == "no":
        reader.becomes_job("save_strategy", save_steps=0)
    elif not any(reader.has(name) for name in ("saves_per_epoch", "save_steps", "save_strategy")):
        reader.note(f"Axolotl saves at the end of each epoch; {_STEPS}")
    keys = ("saves_per_epoch", "save_steps", "save_strategy")
    ignores_given(reader, keys, why=_STEPS)


def _cache(reader: Reader) -> None:
    """`migrate_gc_steps`: gc_steps counts where neither of the settings that replace it is there."""
    newer = reader.has("torch_empty_cache_steps") or reader.has("gc_collect_steps")
    key = "torch_empty_cache_steps" if newer else "gc_steps"
    every = reader.whole(key) or 0
    if every == 1:
        reader.becomes(key, empty_cache=True)
    elif every > 1:
        reader.uncounted(key, "the cache is planned as if it were never emptied")
    ignores_given(reader, ("torch_empty_cache_steps", "gc_steps"))
