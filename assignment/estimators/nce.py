"""Noise-contrastive estimation with a free log Z (Gutmann & Hyvärinen 2010; hand-out, Steps 0 to 4)."""

import math

import tensorflow as tf

from assignment.checks import image_shape, number, pair, positive
from assignment.distribution import mean_over_pieces
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
      noise: p_n, a TFP distribution on [H, W].
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
        one from p_n. `seed` is a pair of integers. A minibatch is worked in pieces, see `assignment.distribution`.
        """
        pair("seed", seed)
        image_shape("x", x, *as_gaussian(model).event_shape)
        if not self.noise.event_shape.is_compatible_with(x.shape[1:]):
            raise ValueError(f"noise must be on images of shape {tuple(x.shape[1:])}, not {self.noise.event_shape}")
        check_noise_count(self.noise_ratio, x.shape[0], x.shape[1] * x.shape[2])
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
