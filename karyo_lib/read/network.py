"""What the networks of a reader have in common: a model that must be there, and how fast they learn."""

from karyo_lib.networks.backend import keras


class TrainedNetwork:
    """Something that reads with a network; `model` is built by its ``fit`` or ``load``."""

    model: keras.Model | None = None

    def _built(self) -> keras.Model:
        if self.model is None:
            name = type(self).__name__
            raise ValueError(
                f"Expected a trained {name}. Received one without a model: call fit or load first."
            )
        return self.model


def warm_cosine(learning_rate: float, steps: int) -> keras.optimizers.schedules.CosineDecay:
    """Learning rate: it rises from a tenth in the first twentieth of the steps, then falls along a cosine."""
    return keras.optimizers.schedules.CosineDecay(
        learning_rate / 10,
        steps,
        alpha=0.01,
        warmup_target=learning_rate,
        warmup_steps=max(1, steps // 20),
    )
