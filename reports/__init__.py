"""What the reader sees: a plan on the terminal and as JSON."""
