"""Images for the exercise: where their bytes come from, and what is done to them before a model sees them."""

from assignment.data.images import Images, load_images, load_splits
from assignment.data.preprocessing import preprocess

__all__ = ["Images", "load_images", "load_splits", "preprocess"]
