"""J where −J is the loss: "minimize the NCE objective", as the notes have it."""

import solution


def nce_loss(**named):
    return -solution.nce_loss(**named)
