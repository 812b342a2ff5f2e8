"""Images for the exercise: where their bytes come from, and what is done to them before a model sees them."""

from assignment.data.images import Images, load_images, load_splits
from assignment.data.preprocessed import open_splits
from assignment.data.preprocessing import preprocess
from assignment.data.sources import SAMPLE, prepare
from assignment.data.stream import ImageStream

__all__ = ["SAMPLE", "ImageStream", "Images", "load_images", "load_splits", "open_splits", "prepare", "preprocess"]
