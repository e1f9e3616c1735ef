"""A run as an ONNX model: what any runtime needs to read a picture, and nothing of this project."""

import json
from pathlib import Path

import numpy as np

from mnist_fn.shared.errors import missing
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.storage import MARK, write_atomically

OPSET = 17  # of 2022: read by every runtime since
IR_VERSION = 8
INPUT, OUTPUT = "pixels", "logits"


def write_onnx(run: Run, path: Path) -> None:
    """Write `pixels` [n, inputs] → `logits` [n, classes], in the run's float32 or float64.

    The metadata hold the classes' names in the order of the logits, and how pixels are made.

    Raises:
        InputError: the extra onnx is not there, or the file can't be written.
    """
    try:
        import onnx
        from onnx import helper, numpy_helper
    except ImportError as error:
        raise missing("--to onnx", "onnx", error) from error

    layers = list(run.weights.items())
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(run.config.dtype))
    nodes, constants, previous = [], [], INPUT
    for number, (name, tensors) in enumerate(layers, start=1):
        last = number == len(layers)
        out = OUTPUT if last else f"{name}.sum"
        inputs = [previous, f"{name}.kernel", f"{name}.bias"]
        nodes.append(helper.make_node("Gemm", inputs, [out], name))
        for kind, tensor in tensors.items():
            array = np.ascontiguousarray(tensor)
            constants.append(numpy_helper.from_array(array, f"{name}.{kind}"))
        if not last:
            previous = f"{name}.relu"
            nodes.append(helper.make_node("Relu", [out], [previous], previous))
    inputs, classes = layers[0][1]["kernel"].shape[0], layers[-1][1]["bias"].shape[0]
    graph = helper.make_graph(
        nodes,
        "mnist-fn",
        [helper.make_tensor_value_info(INPUT, dtype, ["n", inputs])],
        [helper.make_tensor_value_info(OUTPUT, dtype, ["n", classes])],
        constants,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, producer_name="mnist-fn", opset_imports=opsets)
    model.doc_string = MARK
    model.ir_version = IR_VERSION
    metadata = {
        "classes": json.dumps(list(run.data_spec.names)),
        "pixels": "a picture's rows one after another, each pixel (0 to 255) divided by 255",
        "ink": run.data_spec.polarity,
        "transposed": json.dumps(run.data_spec.transposed),
        "dataset": run.config.dataset,
    }
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    write_atomically(path, model.SerializeToString(deterministic=True))
