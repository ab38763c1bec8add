"""The memory model: ledgers at the named instants of a training step."""
