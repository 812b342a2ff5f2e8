"""What a fit asks of its images: minibatches, chunks for statistics, and the first few; from an array or from disk."""

import numpy as np

from assignment.checks import image_stack

CHUNK_BYTES = 2**25


class ArrayImages:
    """Images [N, H, W] in memory, with the interface of `assignment.data.ImageStream`."""

    def __init__(self, images):
        self.images = images
        self.size = images.shape[1:]

    def __len__(self):
        return len(self.images)

    def take(self, n):
        """The first n images."""
        return self.images[:n]

    def chunks(self):
        """All images in order, some at a time."""
        step = max(1, CHUNK_BYTES // self.images[0].nbytes)
        return (self.images[start : start + step] for start in range(0, len(self), step))

    def minibatches(self, batch_size, seed, skip=0):
        """Endless minibatches [B, H, W]: pass after pass over the images, each in a new random order.

        The images that do not fill a last minibatch of their pass are left out of it; the first `skip` minibatches too.
        """
        passes, skip = divmod(skip, len(self) // batch_size)
        random = np.random.default_rng(seed)
        for _ in range(passes):
            random.permutation(len(self))
        while True:
            order = random.permutation(len(self))
            for start in range(skip * batch_size, len(self) - batch_size + 1, batch_size):
                yield self.images[order[start : start + batch_size]]
            skip = 0


def as_images(images):
    """An array as `ArrayImages`, float32; what streams already as it is.

    ValueError unless an array is a finite, non-empty stack of floating point images [N, H, W].
    """
    if hasattr(images, "minibatches"):
        return images
    return ArrayImages(image_stack(images))


def second_moments(images):
    """E[xxᵀ] of images, float64 [D, D]; products in float32, sums of chunks in float64."""
    images = images if hasattr(images, "chunks") else ArrayImages(np.asarray(images))
    total = 0.0
    for chunk in images.chunks():
        flat = chunk.reshape(len(chunk), -1)
        total = total + (flat.T @ flat).astype(np.float64)
    return total / len(images)
