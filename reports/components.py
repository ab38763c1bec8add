"""How components and instants are shown: their words, and a mark and a colour for each component."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shown:
    """One component in a view."""

    label: str
    mark: str
    """One column wide; tells the components of a bar apart without colour."""
    colour: str


SHOWN: dict[str, Shown] = {
    "base_weights": Shown("base weights", "█", "blue"),
    "adapters": Shown("adapters", "▒", "cyan"),
    "optimizer_states": Shown("optimizer states", "▓", "magenta"),
    "gradients": Shown("gradients", "░", "green"),
    "saved_activations": Shown("saved activations", "▚", "yellow"),
    "logits_and_loss": Shown("logits and loss", "▞", "red"),
    "temporaries": Shown("temporaries", "◆", "bright_magenta"),
    "runtime": Shown("cuBLAS workspaces", "▪", "bright_blue"),
}
CACHE = Shown("allocator's cache", "╱", "dim")
"""Reserved but not allocated: what the caching allocator holds beside live tensors."""

FREE = Shown("free", "·", "dim")

INSTANTS: dict[str, tuple[str, str]] = {
    "load": ("", "load"),
    "end_of_forward": ("end of", "forward"),
    "loss": ("", "loss"),
    "first_backward_block": ("first", "backw."),
    "middle_backward_block": ("middle", "backw."),
    "last_backward_block": ("last", "backw."),
    "optimizer_step": ("optim.", "step"),
    "evaluation": ("", "eval."),
}
"""Instant -> the two lines over its column."""


def component(name: str) -> Shown:
    """How a component is shown; one that has no row here by its own name."""
    return SHOWN.get(name) or Shown(name.replace("_", " "), "▪", "dim")


def instant(name: str) -> str:
    """An instant in words: `last backward block`."""
    return name.replace("_", " ")


def stretch(name: str) -> str:
    """The stretch of a step that leads to an instant, in words: `forward`."""
    return "forward" if name == "end_of_forward" else instant(name)


def instant_short(name: str) -> str:
    """An instant in the words over its column: `last backw.`."""
    above, below = INSTANTS.get(name, ("", instant(name)))
    return f"{above} {below}".strip()


def stretch_short(name: str) -> str:
    """The stretch of a step that leads to an instant, in few words."""
    return "forward" if name == "end_of_forward" else instant_short(name)
