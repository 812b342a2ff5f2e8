"""Each edge counted once in xᵀΛx, which losses, gradients and fits are built on."""

import solution

_right = solution.quadratic_form


def quadratic_form(diagonal, couplings, images):
    return _right(diagonal, couplings / 2, images)


solution.quadratic_form = quadratic_form
