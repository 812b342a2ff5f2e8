"""Noise-contrastive estimation with a free log Z (Gutmann & Hyvärinen 2010; hand-out, Steps 0 to 4)."""

import math

import tensorflow as tf

from assignment.distribution import mean_over_pieces
from assignment.lattice.gaussian import as_gaussian


def nce_loss(data_log_ratio, noise_log_ratio, noise_ratio):
    """−J of the hand-out, in the log domain.

    With G(u) = log p_θ(u) − log p_n(u),
    −J = mean_i softplus(log ν − G(x_i)) + ν mean_j softplus(G(x'_j) − log ν).

    Args:
      data_log_ratio: G on data, [N]; noise_log_ratio: G on noise, [M]; noise_ratio: ν = (1 − η)/η.
    """
    log_nu = math.log(noise_ratio)
    data = tf.reduce_mean(tf.nn.softplus(log_nu - data_log_ratio))
    return data + noise_ratio * tf.reduce_mean(tf.nn.softplus(noise_log_ratio - log_nu))


def undecided_loss(noise_ratio):
    """−J of a classifier with p_θ = p_n, who knows only the odds: (1 + ν) log(1 + ν) − ν log ν."""
    return (1 + noise_ratio) * math.log1p(noise_ratio) - noise_ratio * math.log(noise_ratio)


def noise_ratio_from(eta):
    """ν = 1/η − 1; ValueError unless 0 < η < 1."""
    if not 0 < eta < 1:
        raise ValueError(f"eta, the probability of drawing data, must lie strictly between 0 and 1, not {eta}")
    return 1 / eta - 1


class NCE:
    """The hand-out's NCE against a fixed noise, with Λ's weights and c = log Z trained together.

    Args:
      noise: p_n, a TFP distribution on [H, W].
      noise_ratio: ν > 0, the expected number of noise images for each image.
      log_partition: where the learned c starts; None for log Z of a zero-mean Gaussian noise, −log p_n(0).
    """

    def __init__(self, noise, noise_ratio=1.0, log_partition=None):
        if not (math.isfinite(noise_ratio) and noise_ratio > 0):
            raise ValueError(f"noise_ratio must be a positive number, not {noise_ratio}")
        self.noise = noise
        self.noise_ratio = float(noise_ratio)
        if log_partition is None:
            log_partition = -noise.log_prob(tf.zeros(noise.event_shape, noise.dtype))
        self.log_partition = tf.Variable(tf.cast(log_partition, tf.float32), name="log_partition")
        self.trainable_variables = (self.log_partition,)

    def log_ratio(self, model, x):
        """G(x) = f_θ(x) − c − log p_n(x) for images [N, H, W], as [N]."""
        return as_gaussian(model).unnormalized_log_prob(x) - self.log_partition - self.noise.log_prob(x)

    def loss(self, model, x, seed):
        """−J on a minibatch x [B, H, W], by the hand-out's Step 1.

        z is drawn (1 + ν)B times with P(z = 0) = η; each z = 0 picks a random image of the minibatch, each z = 1 draws
        one from p_n. `seed` is a pair of integers. A minibatch is worked in pieces, see `assignment.distribution`.
        """
        return mean_over_pieces(lambda piece, own_seed: self.loss_of_piece(model, piece, own_seed), x, seed)

    def loss_of_piece(self, model, x, seed):
        """−J on images x [n, H, W] of a minibatch."""
        coins, picks, noise = tf.unstack(tf.random.split(seed, 3))
        images, noise_images = flip_coins(x.shape[0], self.noise_ratio, coins)
        chosen = tf.random.stateless_uniform([images], picks, maxval=x.shape[0], dtype=tf.int32)
        drawn = self.noise.sample(noise_images, seed=noise)
        # The log-ratio of every image, and then the pick: numbers are gathered faster than images.
        data = tf.gather(self.log_ratio(model, x), chosen)
        return nce_loss(data, self.log_ratio(model, drawn), self.noise_ratio)


def flip_coins(batch_size, noise_ratio, seed):
    """How often z = 0 and z = 1 come up in (1 + ν)·batch_size draws; drawn anew until both have."""
    draws = max(2, round(batch_size * (1 + noise_ratio)))

    def flip(_, seed):
        heads = tf.random.stateless_uniform([draws], seed) < 1 / (1 + noise_ratio)
        return tf.reduce_sum(tf.cast(heads, tf.int32)), tf.random.split(seed, 2)[0]

    images, _ = tf.while_loop(lambda n, _: (n == 0) | (n == draws), flip, flip(0, tf.convert_to_tensor(seed)))
    return images, draws - images
