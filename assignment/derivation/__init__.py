"""The derivation of the exercise, corrected: `formulas`, and `errata`, what the course's notes have otherwise."""
