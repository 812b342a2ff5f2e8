"""Minibatches in random order from images too many for memory."""

import itertools
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np

_BLOCK_BYTES = 2**16  # Neighbours that are read together: enough for a disk, few enough to mix images that are sorted.
_POOL_BYTES = 2**24
_AHEAD = 2
# One for all: the C library keeps memory for every thread there has been, 100 MB in the end.
_thread = ThreadPoolExecutor(1)


class Shuffle:
    """Minibatches of images in random order.

    A pass over the images reads the blocks of their file in random order into one pool after another, and draws each
    pool's images in random order. So what fits into one pool is shuffled uniformly; of more, the images of a block
    stay within one pool. The images that do not fill a last minibatch of their pass are left out of it.
    The seed and the number of a minibatch decide it, and nothing else does.

    Args:
      read: function (start, out) that fills `out` [m, H, W] with the images from number `start` on.
      count: N.
      size: (H, W).
      batch_size: at most N.
      seed: non-negative integer, or a sequence of them.
    """

    def __init__(self, read, count, size, batch_size, seed):
        self.read, self.count, self.size, self.batch_size, self.seed = read, count, size, batch_size, seed
        image_bytes = 4 * size[0] * size[1]
        self.block = max(1, _BLOCK_BYTES // image_bytes)
        self.blocks = -(-count // self.block)
        self.pools = min(self.blocks, -(-count * image_bytes // _POOL_BYTES))

    def minibatches(self, skip):
        """Endless minibatches [batch_size, H, W] from number `skip` on, without reading the pools before it."""
        pool = np.empty([-(-self.blocks // self.pools) * self.block, *self.size], np.float32)
        first, skip = divmod(skip, self.count // self.batch_size)
        for number in itertools.count(first):
            yield from self._one_pass(number, skip, pool)
            skip = 0

    def _one_pass(self, number, skip, pool):
        rest = pool[:0]
        for images, order in self._pools(number, skip * self.batch_size, pool):
            while len(rest) + len(order) >= self.batch_size:
                wanted = self.batch_size - len(rest)
                drawn = images.take(order[:wanted], axis=0)
                yield np.concatenate([rest, drawn]) if len(rest) else drawn
                rest, order = pool[:0], order[wanted:]
            rest = np.concatenate([rest, images.take(order, axis=0)])

    def _pools(self, number, skip, pool):
        """The images of one pool after another, and the order in which to draw them, without the first `skip`."""
        blocks = self._generator(number, 0).permutation(self.blocks)
        for k, members in enumerate(np.array_split(blocks, self.pools), 1):
            starts = np.sort(members) * self.block
            lengths = np.minimum(self.block, self.count - starts)
            order = self._generator(number, k).permutation(lengths.sum())
            if skip < len(order):
                yield self._fill(pool, starts, lengths), order[skip:]
            skip = max(0, skip - len(order))

    def _fill(self, pool, starts, lengths):
        ends = np.cumsum(lengths)
        for start, length, end in zip(starts.tolist(), lengths.tolist(), ends.tolist(), strict=True):
            self.read(start, pool[end - length : end])
        return pool[: ends[-1]]

    def _generator(self, *key):
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


def ahead(iterator):
    """The same endless elements, the next ones of which are made in a thread while one is used."""
    coming = deque(_thread.submit(next, iterator) for _ in range(_AHEAD))
    while True:
        yield coming.popleft().result()
        coming.append(_thread.submit(next, iterator))
