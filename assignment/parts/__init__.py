"""The exercise's parts: each loads the data, fits, and saves what it found."""
