"""How fast published runs were, beside what `planner.time` says of them; and what its constants are fitted on."""
