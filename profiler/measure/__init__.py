"""Real training steps of a run on a device, and what they take."""
