"""The exercise: each part loads the data, fits, and saves what it found."""
