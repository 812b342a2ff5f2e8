"""How an objective is minimised: one step, one loop. They know an objective by its loss and its own unknowns."""
