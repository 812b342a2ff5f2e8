"""One preprocessed split on disk, of which no more than is used at once is in memory."""

import hashlib
import numbers
import os
import weakref

import numpy as np

from assignment.data.raw import chunk_length
from assignment.data.shuffle import Shuffle, ahead
from assignment.errors import UserError


class ImageStream:
    """One preprocessed split, [N, H, W] float32, the noisy pixels minus `mean`.

    Its file stays open: whatever happens to the data folder, the images are those that were checked.

    Attributes:
      name: the data set, `mnist_sample` after falling back on it.
      source: where the bytes came from, in words.
      sha256: of the 8-bit images of this split, as they were before preprocessing.
      mean: [H, W] float32, the mean of the noisy training images, in units of the pixel range [0, 1].
      count: N, also `len`.
      size: (H, W).
    """

    def __init__(self, path, *, name, source, sha256, mean, count):
        """Opens the file `path`; OSError if that fails."""
        self.name, self.source, self.sha256, self.mean, self.count = name, source, sha256, mean, count
        self.size = mean.shape
        self._path = path
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __len__(self):
        return self.count

    def __repr__(self):
        return f"<ImageStream {self.name}: {self.count:,} images of {self.size[0]}×{self.size[1]} pixels>"

    def take(self, n):
        """The first n images, or all if there are fewer: [n, H, W] float32, in memory."""
        _check_integer("n", n, 0)
        return self._read(0, np.empty([min(n, self.count), *self.size], np.float32))

    def chunks(self):
        """All images in order, in arrays [≤ m, H, W] float32 of at most 4 MiB, if not one image alone."""
        length = chunk_length(self.size)
        for start in range(0, self.count, length):
            yield self._read(start, np.empty([min(length, self.count - start), *self.size], np.float32))

    def minibatches(self, batch_size, seed, skip=0):
        """Endless minibatches: pass after pass over the images, each in a new random order.

        The images that do not fill a last minibatch of their pass are left out of it. Beside three minibatches, an
        iterator holds at most some 16 MiB of images, from which it draws; see `Shuffle`.

        Args:
          batch_size: B, the images of a minibatch; all N where there are fewer.
          seed: non-negative integer or a list of them, which decides the order.
          skip: begins with minibatch number `skip`, as if those before it had been taken.

        Returns:
          A `tf.data.Dataset` of [min(B, N), H, W] float32, which reads ahead by itself. (A `prefetch` behind it, such
          as `tf.distribute` adds to a data set, calls Python from threads of TensorFlow: an iterator of that kind that
          lives to the end of the process can hang there.)

        Raises:
          ValueError, TypeError: an argument is not such a number.
        """
        import tensorflow as tf

        for name, value, least in (("batch_size", batch_size, 1), ("skip", skip, 0)):
            _check_integer(name, value, least)
        for part in seed if isinstance(seed, (list, tuple)) else [seed]:
            _check_integer("seed", part, 0)
        shuffle = Shuffle(self._read, self.count, self.size, min(batch_size, self.count), seed)
        dataset = tf.data.Dataset.from_generator(
            lambda: ahead(shuffle.minibatches(skip)),
            output_signature=tf.TensorSpec([shuffle.batch_size, *self.size], tf.float32),
        )
        # tf.data adds a prefetch of its own unless told not to. One that is in Python while the interpreter ends hangs:
        # 3 of 17 processes did. The thread of `ahead` is waited for before that.
        options = tf.data.Options()
        options.autotune.enabled = False
        options.experimental_optimization.inject_prefetch = False
        return dataset.with_options(options)

    def matches(self, bytes_sha256):
        """Has the file as many bytes as it should, and are they those with this SHA-256?"""
        with open(self._file, "rb", closefd=False) as file:
            file.seek(0)
            good = os.fstat(self._file).st_size == 4 * self.count * self.mean.size
            return good and hashlib.file_digest(file, "sha256").hexdigest() == bytes_sha256

    def _read(self, start, images):
        """Fills `images` [m, H, W] with those from number `start` on."""
        left = memoryview(images).cast("B") if images.size else b""
        offset = 4 * start * self.mean.size
        while left:
            done = os.preadv(self._file, [left], offset)
            if not done:
                raise UserError(f"{self._path} was cut short while it was read; run again")
            left, offset = left[done:], offset + done
        return images


def _check_integer(name, value, least):
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")
