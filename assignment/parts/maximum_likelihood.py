"""Part `ml`: the exact maximum likelihood, the yardstick."""

from assignment.parts.record import save


def run(exercise, settings, progress, part="ml"):
    """Fits Λ by Fisher scoring."""
    layer, history, seconds = exercise.maximum_likelihood(settings.connectivity, settings.weights)
    arrays = {"loss": [-value for value in history]}
    facts = {"optimizer": "fisher_scoring"}
    return [
        save(
            exercise, settings, part, "ml", None, layer,
            seconds=seconds, steps=len(history) - 1, facts=facts, arrays=arrays,
        )
    ]  # fmt: skip
