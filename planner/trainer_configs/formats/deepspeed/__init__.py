"""DeepSpeed's configs: a file of their own, or what stands under a key of a trainer's."""

from __future__ import annotations

from planner.trainer_configs.document import Document
from planner.trainer_configs.format import ConfigFormat
from planner.trainer_configs.formats.deepspeed.keys import DTYPES, PRECISIONS, VERSION
from planner.trainer_configs.formats.deepspeed.settings import read_deepspeed
from planner.trainer_configs.reader import Reader

__all__ = ["DTYPES", "FORMAT", "VERSION", "read_deepspeed"]


def _signs(document: Document) -> tuple[str, ...]:
    settings = document.settings
    own = [name for name in ("zero_optimization", "train_micro_batch_size_per_gpu") if name in settings]
    own += [name for name in PRECISIONS if isinstance(settings.get(name), dict)]
    return tuple(own)


def _read(reader: Reader) -> None:
    read_deepspeed(reader)
    reader.default("deepspeed/runtime/constants.py: GRADIENT_CLIPPING_DEFAULT", max_grad_norm=1.0)
    reader.default("deepspeed/runtime/config.py: _set_batch_related_parameters", gradient_accumulation_steps=1)
    reader.note("a DeepSpeed config says nothing of the model, the method, the sequences and the optimizer's defaults")


FORMAT = ConfigFormat(name="deepspeed", title="DeepSpeed", version=VERSION, signs=_signs, read=_read)
