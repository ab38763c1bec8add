"""How long a training step takes: work, rates, and what neither hides."""
