"""Each edge counted once in xᵀΛx."""

import solution


def quadratic_form(diagonal, couplings, images):
    return solution.quadratic_form(diagonal, couplings / 2, images)
