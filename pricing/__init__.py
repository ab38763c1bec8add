"""What a run costs: dated offers, what is billed besides, and quotes."""
