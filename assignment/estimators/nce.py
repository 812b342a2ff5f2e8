"""Noise-contrastive estimation with a free log Z (Gutmann & Hyvärinen 2010; hand-out, Steps 0 to 4)."""

import math

import numpy as np
import tensorflow as tf

from assignment.checks import image_shape, number, pair, positive
from assignment.distribution import draw_pieces, piece_bounds, replicas, share
from assignment.lattice.gaussian import as_gaussian

FEWEST = 0.01  # noise images of an average minibatch: with fewer, the coins are thrown for ever until one is there
MOST_BYTES = 2**32  # of a minibatch's noise images: with more, the machine gives up before the fit does


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
    return 1 / number("eta, the probability of drawing data,", eta, 0, 1, "strictly between 0 and 1") - 1


def check_noise_count(noise_ratio, batch_size, pixels):
    """ValueError unless ν·B noise images of so many pixels are some, and not more than memory holds."""
    count = noise_ratio * batch_size
    if not FEWEST <= count <= MOST_BYTES / (4 * pixels):
        raise ValueError(
            f"noise_ratio must suit the minibatches: {noise_ratio:.3g} means {count:.3g} noise images of {pixels} "
            f"pixels to every {batch_size} images, too {'few' if count < FEWEST else 'many'}"
        )


class NCE:
    """The hand-out's NCE against a fixed noise, with Λ's weights and c = log Z trained together.

    Args:
      noise: p_n on [H, W], a `DiagonalNoise`, a TFP distribution, or what else has their `sample` and `log_prob`.
      noise_ratio: ν > 0, the expected number of noise images for each image.
      log_partition: where the learned c starts; None for log Z of a zero-mean Gaussian noise, −log p_n(0).
    """

    def __init__(self, noise, noise_ratio=1.0, log_partition=None):
        self.noise_ratio = positive("noise_ratio", noise_ratio)
        if not (hasattr(noise, "log_prob") and hasattr(noise, "sample")):
            raise TypeError(f"noise must be a distribution on images [H, W], not a {type(noise).__name__}")
        self.noise = noise
        if log_partition is None:
            log_partition = -noise.log_prob(tf.zeros(noise.event_shape, noise.dtype))
        log_partition = number("log_partition", log_partition)
        self.log_partition = tf.Variable(tf.cast(log_partition, tf.float32), name="log_partition")
        self.trainable_variables = (self.log_partition,)

    def log_ratio(self, model, x):
        """G(x) = f_θ(x) − c − log p_n(x) for images [N, H, W], as [N]."""
        return as_gaussian(model).unnormalized_log_prob(x) - self.log_partition - self.noise.log_prob(x)

    def loss(self, model, x, seed):
        """−J on a minibatch x [B, H, W], by the hand-out's Step 1.

        z is drawn (1 + ν)B times with P(z = 0) = η; each z = 0 picks a random image of the minibatch, each z = 1 draws
        one from p_n. `seed` is a pair of integers. Under several replicas x is this one's share of the minibatch, and
        the replicas' mean is −J.
        """
        self._check(model, x, seed)
        coins, drawn = tf.unstack(tf.random.split(seed, 2))
        shown, counts = throw_coins(x.shape[0] * replicas(), self.noise_ratio, coins)
        drawn = draw_pieces(lambda n, seed: self.log_ratio(model, self.noise.sample(n, seed=seed)), counts, drawn)
        log_nu = math.log(self.noise_ratio)
        on_data = tf.nn.softplus(log_nu - self.log_ratio(model, x))
        on_noise = tf.nn.softplus(drawn - log_nu)
        shown, counts = tf.cast(shown, on_data.dtype), tf.cast(counts, on_data.dtype)
        # 1/N and 1/M are those of the whole minibatch, the sums this replica's.
        data = tf.reduce_sum(share(shown) * on_data) / tf.reduce_sum(shown)
        other = tf.reduce_sum(on_noise) / tf.reduce_sum(counts)
        return replicas() * (data + self.noise_ratio * other)

    def _check(self, model, x, seed):
        pair("seed", seed)
        image_shape("x", x, *as_gaussian(model).event_shape)
        if not self.noise.event_shape.is_compatible_with(x.shape[1:]):
            raise ValueError(f"noise must be on images of shape {tuple(x.shape[1:])}, not {self.noise.event_shape}")
        check_noise_count(self.noise_ratio, x.shape[0], x.shape[1] * x.shape[2])


def throw_coins(batch_size, noise_ratio, seed):
    """Draws z for a minibatch of B images, (1 + ν)B times; anew until both values have come up.

    Returns:
      How often each image is picked, [B], N in all; and the noise images of each piece of the minibatch, [PIECES] whole
      numbers, M in all.
    """
    draws = max(2, round(batch_size * (1 + noise_ratio)))
    bounds = piece_bounds(batch_size)
    of_piece = np.diff(draws * bounds // batch_size)
    piece = np.repeat(np.arange(len(of_piece)), of_piece)  # of each draw, [(1 + ν)B]

    def throw(_, seed):
        return tf.random.stateless_uniform([draws], seed) < 1 / (1 + noise_ratio), tf.random.split(seed, 2)[0]

    def one_sided(shows_data, _):
        return tf.reduce_all(shows_data) | ~tf.reduce_any(shows_data)

    coins, picks = tf.unstack(tf.random.split(seed, 2))
    shows_data, _ = tf.while_loop(one_sided, throw, throw(None, coins))
    picks = tf.random.stateless_uniform([draws], picks)
    picked = bounds[piece] + tf.cast(picks * np.diff(bounds)[piece].astype(np.float32), tf.int32)
    shown = tf.math.unsorted_segment_sum(tf.cast(shows_data, tf.float32), picked, batch_size)
    return shown, tf.math.unsorted_segment_sum(1 - tf.cast(shows_data, tf.int32), piece, len(of_piece))
