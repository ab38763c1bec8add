"""What there is on this machine to measure with."""
