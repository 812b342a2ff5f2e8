"""`train` hands back no couplings."""


def train(estimator, images, connectivity, seed):
    return 1 / images.var(), None, 0.0
