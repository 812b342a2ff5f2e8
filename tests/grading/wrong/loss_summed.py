"""Sums over the images where the loss has means."""

import solution


def nce_loss(data, noise, data_log_noise, noise_log_noise, noise_ratio, **weights):
    total = 0
    for x, log_noise, sign, weight in ((data, data_log_noise, -1, 1), (noise, noise_log_noise, 1, noise_ratio)):
        ratio = solution.log_ratio(weights["diagonal"], weights["couplings"], weights["log_partition"], x, log_noise)
        total += weight * solution.softplus(sign * (ratio - solution.np.log(noise_ratio))).sum()
    return total
