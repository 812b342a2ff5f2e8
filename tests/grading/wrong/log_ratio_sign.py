"""The notes' w(x) with Λ_n − Λ_θ for Λ_θ − Λ_n: the log-ratio's sign is turned round."""

import numpy as np
import solution


def nce_loss(noise_ratio, data_log_noise, noise_log_noise, data, noise, **model):
    weights = model["diagonal"], model["couplings"], model["log_partition"]
    on_data = -solution.log_ratio(*weights, data, data_log_noise)
    on_noise = -solution.log_ratio(*weights, noise, noise_log_noise)
    log_nu = np.log(noise_ratio)
    return solution.softplus(log_nu - on_data).mean() + noise_ratio * solution.softplus(on_noise - log_nu).mean()
