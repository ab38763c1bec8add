"""What a training run is: its fields, the rules they obey, and the files it is written in."""

from planner.run.files import dumps, read_fields, read_mapping, read_run, write_run
from planner.run.training_run import TrainingRun

__all__ = ["TrainingRun", "dumps", "read_fields", "read_mapping", "read_run", "write_run"]
