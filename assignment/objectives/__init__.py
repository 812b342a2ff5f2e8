"""What is minimised: each objective has `loss(model, x, seed)` and `trainable_variables`, its own unknowns."""
