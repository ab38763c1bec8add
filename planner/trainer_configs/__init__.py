"""Configs that trainers read, as runs: which trainer's it is, what it says, and what that trainer adds by itself."""

from planner.trainer_configs.formats import FORMATS
from planner.trainer_configs.read import read_config
from planner.trainer_configs.reading import Reading, lay_together
from planner.trainer_configs.types import Default, Setting, TrainerConfig

__all__ = ["FORMATS", "Default", "Reading", "Setting", "TrainerConfig", "lay_together", "read_config"]
