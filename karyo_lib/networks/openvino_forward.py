"""Frozen networks run by OpenVINO: the graph is built from Keras's layers, which is sooner done than by a
saved model, works from every backend, and needs neither files nor OpenVINO's converter."""

import os
from collections.abc import Callable

import numpy as np

from karyo_lib.networks.backend import keras  # first: it sees to it that openvino reports nothing

# isort: split
import openvino
from openvino import opset13 as ops

_CHANNELS_FIRST, _CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


class OpenVINOForward:
    """By OpenVINO, an image at a time: on as many streams as the processor has room for, or on all of it."""

    def __init__(self, model: keras.Model, one_at_a_time: bool = False):
        hint = "LATENCY" if one_at_a_time else "THROUGHPUT"
        options = {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": "f32"}
        # What a joblib worker or a batch system says about threads, OpenVINO would overlook.
        threads = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
        if threads.isdigit() and int(threads) > 0:
            options["INFERENCE_NUM_THREADS"] = int(threads)
        self._compiled = openvino.Core().compile_model(_build_graph(model), "CPU", options)
        self._names = tuple(model.output)

    def predict(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        arrays: dict[str, np.ndarray] = {}

        def keep(request: openvino.InferRequest, position: int) -> None:
            request.wait()
            for number, name in enumerate(self._names):
                computed = request.get_output_tensor(number).data
                if position == 0:  # sizes follow the input's where the network takes any
                    arrays[name] = np.empty((len(inputs), *computed.shape[1:]), "float32")
                arrays[name][position] = computed[0]

        # Requests of this call alone (calls may come from many threads), and no callbacks: OpenVINO's thread
        # would still want Python's lock after one, and hang where the model is let go at that moment.
        most = min(len(inputs), self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        requests = [self._compiled.create_infer_request() for _ in range(most)]
        for position in range(len(inputs) + most):
            request = requests[position % most]
            if position >= most:
                keep(request, position - most)
            if position < len(inputs):
                request.start_async({0: inputs[position : position + 1]})
        return arrays


def _build_graph(model: keras.Model) -> openvino.Model:
    sides = [-1 if side is None else side for side in model.input.shape[1:]]
    inlet = ops.parameter(openvino.PartialShape([1, *sides]), np.float32)
    nodes = {id(model.input): ops.transpose(inlet, np.array(_CHANNELS_FIRST))}
    for layer in model.layers:
        if not isinstance(layer, keras.layers.InputLayer):
            received = layer.input if isinstance(layer.input, list) else [layer.input]
            nodes[id(layer.output)] = _convert(layer, [nodes[id(tensor)] for tensor in received])
    outlets = [ops.transpose(nodes[id(out)], np.array(_CHANNELS_LAST)) for out in model.output.values()]
    return openvino.Model(outlets, [inlet], model.name)


def _convert(layer: keras.layers.Layer, inputs: list[openvino.Node]) -> openvino.Node:
    """Return what a layer makes of its inputs, with channels first."""
    convert = _CONVERSIONS.get(type(layer))
    if convert is None:
        raise ValueError(
            f"Expected layers that karyo hands to OpenVINO ({', '.join(k.__name__ for k in _CONVERSIONS)}). "
            f"Received {layer.name!r}, {type(layer).__name__}: set KARYO_ENGINE=keras."
        )
    return convert(layer, inputs)


def _convolution(layer: keras.layers.Conv2D, inputs: list[openvino.Node]) -> openvino.Node:
    if layer.groups != 1:
        raise ValueError(f"Expected convolutions of one group. Received {layer.groups} in {layer.name!r}.")
    kernel = np.ascontiguousarray(keras.ops.convert_to_numpy(layer.kernel).transpose(3, 2, 0, 1))
    places = (layer.strides, [0, 0], [0, 0], layer.dilation_rate)
    out = ops.convolution(inputs[0], kernel, *places, auto_pad=_PADDING[layer.padding])
    if layer.use_bias:
        out = ops.add(out, keras.ops.convert_to_numpy(layer.bias).reshape(1, -1, 1, 1))
    return _activate(layer, out)


def _normalization(layer: keras.layers.BatchNormalization, inputs: list[openvino.Node]) -> openvino.Node:
    mean, variance = map(keras.ops.convert_to_numpy, (layer.moving_mean, layer.moving_variance))
    gamma = keras.ops.convert_to_numpy(layer.gamma) if layer.scale else np.ones_like(mean)
    beta = keras.ops.convert_to_numpy(layer.beta) if layer.center else np.zeros_like(mean)
    return ops.batch_norm_inference(inputs[0], gamma, beta, mean, variance, layer.epsilon)


def _pooling(layer: keras.layers.Layer, inputs: list[openvino.Node]) -> openvino.Node:
    places = (layer.strides, [0, 0], [0, 0], layer.pool_size)
    padding = _PADDING[layer.padding]
    if isinstance(layer, keras.layers.MaxPooling2D):
        strides, begin, end, size = places
        return ops.max_pool(inputs[0], strides, [1, 1], begin, end, size, auto_pad=padding).output(0)
    return ops.avg_pool(inputs[0], *places, exclude_pad=True, auto_pad=padding)


def _activate(layer: keras.layers.Layer, node: openvino.Node) -> openvino.Node:
    if layer.activation is keras.activations.relu:
        return ops.relu(node)
    if layer.activation is keras.activations.linear:
        return node
    raise ValueError(
        f"Expected the activation relu or none. Received {layer.activation} in {layer.name!r}: "
        "set KARYO_ENGINE=keras."
    )


def _doubling(layer: keras.layers.UpSampling2D, inputs: list[openvino.Node]) -> openvino.Node:
    scales, axes = np.array(layer.size, np.float32), np.array([2, 3], np.int64)
    places = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return ops.interpolate(inputs[0], scales, layer.interpolation, "scales", axes=axes, **places).output(0)


def _concatenation(layer: keras.layers.Concatenate, inputs: list[openvino.Node]) -> openvino.Node:
    if layer.axis not in (-1, 3):
        raise ValueError(f"Expected channels to be joined. Received axis {layer.axis} in {layer.name!r}.")
    return ops.concat(inputs, 1)


_PADDING = {"same": "same_upper", "valid": "valid"}
_CONVERSIONS: dict[type, Callable[[keras.layers.Layer, list[openvino.Node]], openvino.Node]] = {
    keras.layers.Conv2D: _convolution,
    keras.layers.BatchNormalization: _normalization,
    keras.layers.MaxPooling2D: _pooling,
    keras.layers.AveragePooling2D: _pooling,
    keras.layers.Add: lambda layer, inputs: ops.add(*inputs),
    keras.layers.UpSampling2D: _doubling,
    keras.layers.Activation: lambda layer, inputs: _activate(layer, inputs[0]),
    keras.layers.Concatenate: _concatenation,
}
