"""Part `ml`: the exact maximum likelihood, the yardstick."""

from assignment.parts.record import save


def fit(exercise, settings, progress, part, checkpoint):
    """Fits Λ by Fisher scoring, in seconds: too soon for a checkpoint."""
    layer, history, seconds = exercise.maximum_likelihood(settings.connectivity, settings.weights)
    return save(
        exercise,
        settings,
        part,
        "ml",
        None,
        layer,
        seconds=seconds,
        steps=len(history) - 1,
        facts={"optimizer": "fisher_scoring"},
        arrays={"loss": [-value for value in history]},
    )
