"""How fast and how large: what `make bench` measures, side by side in one run."""
