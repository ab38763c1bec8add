"""What the reader sees: a plan or a simulation on the terminal, as JSON and as a picture."""
