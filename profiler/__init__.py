"""How we know: published measurements, and the score of the planner against them."""
