"""Arrays of an ONNX file, read as plain protobuf data: nothing in the file is run."""

from typing import Any

import numpy as np

_FLOAT32 = 1


def read_onnx_arrays(contents: bytes) -> dict[str, np.ndarray]:
    """Return the named float32 arrays (initialisers) of an ONNX model.

    ``contents`` (bytes): the whole file. Returns dict of str to numpy.ndarray; read-only float32 arrays;
    convolution kernels are laid out OIHW. Raises ValueError if the bytes are no protobuf message of this
    layout.
    """
    from google.protobuf.message import DecodeError

    try:
        model = _model_message().FromString(contents)
    except DecodeError as error:
        raise ValueError(
            f"Expected an ONNX file. Received {len(contents)} bytes that are none ({error})."
        ) from error
    return {
        tensor.name: np.frombuffer(tensor.raw_data, dtype="<f4").reshape(tuple(tensor.dims))
        for tensor in model.graph.initializer
        if tensor.data_type == _FLOAT32
    }


def _model_message() -> Any:
    """Return a protobuf class that knows the four ONNX fields needed here (numbers as in onnx.proto)."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="karyo_onnx.proto", package="karyo_onnx")
    one, many = field.LABEL_OPTIONAL, field.LABEL_REPEATED
    layout = {
        "Tensor": [
            ("dims", 1, field.TYPE_INT64, many, None),
            ("data_type", 2, field.TYPE_INT32, one, None),
            ("name", 8, field.TYPE_STRING, one, None),
            ("raw_data", 9, field.TYPE_BYTES, one, None),
        ],
        "Graph": [("initializer", 5, field.TYPE_MESSAGE, many, ".karyo_onnx.Tensor")],
        "Model": [("graph", 7, field.TYPE_MESSAGE, one, ".karyo_onnx.Graph")],
    }
    for message, fields in layout.items():
        described = file.message_type.add(name=message)
        for name, number, kind, label, type_name in fields:
            described.field.add(name=name, number=number, type=kind, label=label, type_name=type_name)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("karyo_onnx.Model"))
