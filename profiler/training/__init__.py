"""A real training run, watched through a callback of its `Trainer`."""
