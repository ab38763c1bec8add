"""Axolotl's YAML: a config file, or a command line that trains with one.

Names and defaults: axolotl 0.19.0, utils/schemas/ (`AxolotlInputConfig` and what it is made of); what becomes of them:
utils/config/, loaders/, core/builders/. Axolotl takes a setting of null for one that is not there.
"""

from __future__ import annotations

from planner.trainer_configs.document import Document
from planner.trainer_configs.format import ConfigFormat
from planner.trainer_configs.formats.axolotl.adapters import read_adapter
from planner.trainer_configs.formats.axolotl.checkpointing import read_checkpointing
from planner.trainer_configs.formats.axolotl.gpus import read_gpus
from planner.trainer_configs.formats.axolotl.keys import (
    DATASETS,
    DATASETS_WHY,
    FORMER,
    GIVES,
    HARMLESS,
    MOVES,
    OF_OTHERS,
    OTHER_HOURS,
    TELLTALES,
    UNFROZEN_BESIDE_ADAPTERS,
    VERSION,
)
from planner.trainer_configs.formats.axolotl.launch import is_launch, with_its_file
from planner.trainer_configs.formats.axolotl.model import read_model
from planner.trainer_configs.formats.axolotl.plugins import read_plugins
from planner.trainer_configs.formats.axolotl.preferences import read_preferences
from planner.trainer_configs.formats.axolotl.schedule import read_schedule
from planner.trainer_configs.reader import PLACEHOLDER, Reader, is_off, is_placeholder


def _signs(document: Document) -> tuple[str, ...]:
    if document.words:
        return (" ".join(document.words),) if is_launch(document) else ()
    own = tuple(key for key in TELLTALES if key in document.settings)
    return ("base_model", *own) if "base_model" in document.settings and own else ()


def _read(reader: Reader) -> None:
    if is_launch(reader.document):
        with_its_file(reader)
    for key, fields in GIVES.items():
        if is_placeholder(reader.document.settings.get(key)):
            reader.uncounted(key, PLACEHOLDER, *fields)
    for read in (
        read_model,
        read_adapter,
        read_schedule,
        read_gpus,
        read_checkpointing,
        read_plugins,
        read_preferences,
    ):
        read(reader)
    if not is_off(reader.raw("adapter")):
        reader.moves({"unfrozen_parameters": UNFROZEN_BESIDE_ADAPTERS})
    reader.moves(MOVES)
    reader.ignores(*DATASETS, why=DATASETS_WHY)
    for key, why in OTHER_HOURS.items():
        reader.ignores(key, why=why)
    for why, keys in OF_OTHERS.items():
        reader.ignores(*keys, why=why)
    reader.ignores(*HARMLESS, *FORMER)
    reader.default("axolotl/core/trainers/base.py: AxolotlTrainer", trainer="transformers")


FORMAT = ConfigFormat(name="axolotl", title="Axolotl", version=VERSION, signs=_signs, read=_read)
