"""Forward passes of frozen networks: by OpenVINO on a CPU where it is installed, else by Keras."""

from typing import Protocol

import numpy as np

from karyo_lib.networks.backend import compile_options, inference_engine, keras

_BATCH = 16


class Forward(Protocol):
    def predict(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs by name, float32, each of shape (N, ...), for inputs of shape (N, ...)."""
        ...


def prepare_forward(model: keras.Model, one_at_a_time: bool = False) -> Forward:
    """Make a functional network with one input and named outputs ready to run forward. With OpenVINO every
    image is computed on its own, so that it has the same values to the bit in any company, by all cores where
    it is always given ``one_at_a_time``; the engines agree within 1e-4 of the largest value of an output."""
    if inference_engine() == "openvino":
        from karyo_lib.networks.openvino_forward import OpenVINOForward

        return OpenVINOForward(model, one_at_a_time)
    return KerasForward(model)


class KerasForward:
    def __init__(self, model: keras.Model):
        self._model = model
        model.compile(**compile_options())

    def predict(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        computed = self._model.predict(inputs, batch_size=_BATCH, verbose=0)
        return {name: array.astype("float32") for name, array in computed.items()}
