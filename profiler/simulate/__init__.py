"""What a run needs by running it: the real training stack on fake tensors, without a GPU."""
