"""Writes the voice activity detector of `app/core/audio/vad_model.py`: Silero VAD v6 as matrix products.

It takes the weights from the file that faster-whisper ships. ONNX is installed nowhere else:

    uv run --no-project --with onnx --with faster-whisper python tools/write_vad_model.py

The network looks at windows of 32 ms, and its convolutions reach over four positions. Run as convolutions, a window at
a time, they leave most of a processor idle. Here a layer is one matrix product over all windows, and the windows still
go through the recurrent layer one after another. The weights are the same, and probabilities differ by rounding (2e-6).

Input `frames`: float32 (4 n, 256), the four overlapping frames of each of n windows; states `h` and `c`: (1, 1, 128).
Output `probabilities`: float32 (n,), and the states after the last window.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from faster_whisper.utils import get_assets_path
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Weights = NDArray[np.float32]

FRAMES = 4  # of a window
BINS = 129  # of a frame's spectrum
STRIDES = (1, 2, 2, 1)  # of the convolutions
STATE = 128


class GraphWriter:
    """Collects the nodes and the weights of a graph."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add_weight(self, name: str, values: NDArray[Any]) -> str:
        """Add a weight and return its name."""
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, kind: str, *inputs: str, outputs: tuple[str, ...] = (), **attributes: int) -> str:
        """Add a node and return the name of its first output."""
        names = outputs or (f"{kind}_{len(self.nodes)}",)
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0]

    def add_affine(self, values: str, name: str, matrix: Weights, bias: Weights) -> str:
        """Add a product with a matrix and the sum with a bias."""
        product = self.add("MatMul", values, self.add_weight(f"{name}.matrix", matrix))
        return self.add("Add", product, self.add_weight(f"{name}.bias", bias))


def convolution_matrix(kernel: Weights, positions: int, stride: int) -> tuple[Weights, int]:
    """Return a convolution with one position of padding as (matrix, positions of its output).

    Args:
        kernel: Shape (outputs, inputs, 3).
        positions: Positions of its input.
        stride: From one position of the output to the next.
    """
    outputs, inputs, width = kernel.shape
    reached = (positions + 2 - width) // stride + 1
    matrix = np.zeros((positions, inputs, reached, outputs), np.float32)
    for to in range(reached):
        for tap in range(width):
            source = to * stride + tap - 1
            if 0 <= source < positions:
                matrix[source, :, to] = kernel[:, :, tap].T
    return matrix.reshape(positions * inputs, reached * outputs), reached


def build_model(source: Any) -> Any:
    """Return the model. source: the model that faster-whisper ships."""
    found = {one.name: numpy_helper.to_array(one) for one in source.graph.initializer}
    graph = GraphWriter()
    basis = found["encoder.feature_extractor.forward_basis_buffer"][:, 0]
    spectrum = graph.add("MatMul", "frames", graph.add_weight("basis", basis.T))
    squares = graph.add("Mul", spectrum, spectrum)
    ends = [graph.add_weight(f"end_{end}", np.array([end])) for end in (0, BINS, 2 * BINS)]
    axis = graph.add_weight("axis", np.array([1]))
    real, imaginary = (graph.add("Slice", squares, *ends[part : part + 2], axis) for part in range(2))
    magnitude = graph.add("Sqrt", graph.add("Add", real, imaginary))
    values = graph.add("Reshape", magnitude, graph.add_weight("window", np.array([-1, FRAMES * BINS])))
    positions = FRAMES
    for number, stride in enumerate(STRIDES):
        name = f"encoder.conv_layers.{number}"
        matrix, positions = convolution_matrix(found[f"{name}.weight"], positions, stride)
        values = graph.add("Relu", graph.add_affine(values, name, matrix, np.tile(found[f"{name}.bias"], positions)))
    assert positions == 1
    sequence = graph.add("Unsqueeze", values, axis)
    recurrent = [graph.add_weight(name, found[name]) for name in ("onnx::LSTM_209", "onnx::LSTM_210", "onnx::LSTM_211")]
    states = graph.add("LSTM", sequence, *recurrent, "", "h", "c", outputs=("states", "hn", "cn"), hidden_size=STATE)
    heard = graph.add("Relu", graph.add("Reshape", states, graph.add_weight("state", np.array([-1, STATE]))))
    decoder = found["decoder.conv1d.weight"][0], found["decoder.conv1d.bias"]
    probability = graph.add("Sigmoid", graph.add_affine(heard, "decoder", *decoder))
    graph.add("Reshape", probability, graph.add_weight("flat", np.array([-1])), outputs=("probabilities",))

    def tensor(name: str, *shape: str | int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    state = (1, 1, STATE)
    whole = helper.make_graph(
        graph.nodes,
        "silero_vad_v6",
        [tensor("frames", "frames", 256), tensor("h", *state), tensor("c", *state)],
        [tensor("probabilities", "windows"), tensor("hn", *state), tensor("cn", *state)],
        graph.weights,
    )
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


if __name__ == "__main__":
    model = build_model(onnx.load(Path(get_assets_path(), "silero_vad_v6.onnx")))
    onnx.checker.check_model(model)
    onnx.save(model, Path(__file__).parents[1] / "app/core/audio/silero_vad/model.onnx")
