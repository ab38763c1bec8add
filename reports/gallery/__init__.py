"""The gallery: pages that lora-plan made, as they come out. `python -m reports.gallery --write` makes them anew."""

from pathlib import Path

FOLDER = Path(__file__).parent
"""Where the pages lie."""
WRITE = "python -m reports.gallery --write"
