"""What a run costs: dated offers and quotes. Empty until time and price are planned."""
