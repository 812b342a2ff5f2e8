"""The fits: each takes a layer and images, and returns a `FitResult`."""
