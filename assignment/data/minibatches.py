"""Images in pieces: minibatches in random order, and chunks in order."""

from collections.abc import Iterator, Sequence

import numpy as np

from assignment.checks import whole


def minibatches(images: np.ndarray, batch_size: int, seed: int | Sequence[int]) -> Iterator[np.ndarray]:
    """Endless minibatches: pass after pass over the images, each in a new random order.

    The images that do not fill a last minibatch of their pass are left out of it. Of a memory map no more is read
    than the minibatch.

    Args:
      images: [N, H, W] float32, an array or a memory map.
      batch_size: B, the images of a minibatch; all N where there are fewer.
      seed: non-negative integer or a list of them, which decides the order.

    Returns:
      Iterator of arrays [min(B, N), H, W].
    """
    size = min(whole("batch_size", batch_size, least=1), len(images))
    for part in seed if isinstance(seed, Sequence) else [seed]:
        whole("seed", part)
    return _passes(images, size, np.random.default_rng(seed))


def chunks(images: np.ndarray, chunk_bytes: int = 2**22) -> Iterator[np.ndarray]:
    """All images in order, in arrays [≤ m, H, W] of at most `chunk_bytes` bytes, if not one image alone."""
    length = max(1, chunk_bytes // max(1, images[:1].nbytes))
    return (images[start : start + length] for start in range(0, len(images), length))


def _passes(images: np.ndarray, size: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    while True:
        order = random.permutation(len(images))
        for start in range(0, len(images) - size + 1, size):
            yield images[order[start : start + size]]
