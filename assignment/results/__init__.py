"""Fits on disk: the parts write them, the reports read them.

A fit is a pair of files in `results/<data set>/<part>/`: `<fit>.json` with its facts and `<fit>.npz` with its arrays.
`<fit>` is estimator-variant-weights-connectivity, see `fit_name`. A pair is written whole or not at all, and the same
fit gives the same bytes, but for `seconds`. All log-likelihoods and constants are in nats. `derivation.json` and
`bench.json` stand beside the data sets.

Facts (JSON). No number is NaN or infinite: null stands where there is none.

    part            "nce", "cnce", "sm", "second", "ml", "bonus8"
    fit             the name of the file
    estimator       "nce", "cnce", "sm", "ml"
    variant         nce: "fixed", "telescoped"; cnce: "isotropic", "matched"; sm: "plain", "preconditioned"; ml: null
    connectivity    4 or 8
    weights         "shared" or "per_edge"
    optimizer       "adam", "rmsprop", "sgd"; "fisher_scoring" for ml
    seed            of all random numbers
    steps, seconds  of the training
    status          "converged", or words for what happened
    suboptimality   nats per training image below the maximum of the likelihood; for plain score matching and isotropic
                    conditional NCE, KL from their own optimum; null where it is not known *
    dataset         {name, source, images, sha256; test_images *, fallback *: the bundled sample served instead}
    noise           what p_n is, {words; ratio, eta, scale, stages, epsilon *}; null for ml and sm
    log_partition   {estimate: the learned c, standard_error *, exact: log Z of the fitted Λ, gap: estimate − exact}
    held_out        {log_likelihood, maximum_likelihood, gap: how far below}, per test image, with the exact log Z
    min_eigenvalue  of the fitted Λ
    stencil         {diagonal, couplings [K]} for shared weights, else null *
    settings        the telescoped fit's {stage_spread, noise_spread, reach, passes} *
    request         the options that decide the fit: a fit is made again where they have changed *
    confused *, final_loss *, closed_form_min_eigenvalue *, coin * {seed, outcome}
    versions        of Python and of the packages

Arrays (NPZ); H × W pixels, numbered row by row, K coupling directions, S images, T stages:

    mean [H, W]                  the training split's mean image
    rows, cols, values [n]       Λ, both triangles, float64
    log_partition []             the learned c, NaN where there is none
    samples [S, H, W], data *    samples of the fit and training images, the mean added to both
    loss *                       by step
    diagonal *, couplings *      shared: [], [K]; per-edge: [H, W], [K, H, W], zero where the neighbour is off the image
    test_log_likelihood *        of each test image
    conditional_log_likelihood * [H, W], of each pixel given all others, mean over the test images
    covariance_pixel * [2]; covariance_fitted *, covariance_empirical * [H, W]: of that pixel with all others
    learned_log_partition *      c by step, with a fixed noise; exact_log_partition * at the steps exact_steps *
    data_log_ratio *, noise_log_ratio *   G of the fixed noise on held-out images and on noise images
    stage_learned *, stage_exact *, stage_standard_error *, stage_held_out * [T + 1]
    stage_spread *, stage_overlap * [T]
    stage_samples *, stage_samples_at *   a sample at some of the stages
    epsilon *, epsilon_loss *, epsilon_held_out *   the scan over ε

* only where the estimator has it.
"""

from assignment.results.files import locked, write_text, write_whole
from assignment.results.fit_files import Fit, entries, fit_name, load_fit, load_part, load_results, save_fit

__all__ = ["Fit", "entries", "fit_name", "load_fit", "load_part", "load_results", "save_fit"]
__all__ += ["locked", "write_text", "write_whole"]
