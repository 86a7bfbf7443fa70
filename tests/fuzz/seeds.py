#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seeds of the fuzzing targets: seeds.py [DIR] writes the models of tests/tiny.py and a model an operator.

An operator's row is its inputs, as dims of a float input, as constants (int64 lists, or tensors by dtype),
and its attributes. Files that a fuzzer found lie in the same folder under other names and stay.
"""
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import tiny  # noqa: E402
from onnxfile import (BOOL, DOUBLE, FLOAT, FLOAT16, INT8, INT32, INT64, STRING, UINT8, block, graph, info,  # noqa: E402
                      model, node, tensor)


class C:
    """A constant input."""

    def __init__(self, dtype, dims, values):
        self.dtype, self.dims, self.values = dtype, dims, values


def ints(*values):
    return C(INT64, [len(values)], list(values))


def scalar(value, dtype=INT64):
    return C(dtype, [], [value])


N = ["n", 4]
IMAGE = ["n", 2, 6, 6]

UNARY = """Abs Neg Sign Floor Ceil Round Sqrt Reciprocal Exp Log Erf Sin Cos Tan Asin Acos Atan Sinh Cosh Tanh Asinh Acosh
Atanh Sigmoid Relu LeakyRelu Elu Selu Celu Softplus Softsign HardSigmoid HardSwish Mish ThresholdedRelu Shrink Gelu IsNaN
IsInf Identity Softmax LogSoftmax Hardmax Flatten Transpose Shape Size NonZero Det EyeLike Dropout""".split()
BINARY = "Add Sub Mul Div Pow Mod PRelu Equal Less Greater LessOrEqual GreaterOrEqual Max Min Mean Sum".split()
REDUCE = "Sum Mean Max Min Prod L1 L2 LogSum LogSumExp SumSquare".split()

ROWS = [(op, [["n", "n"] if op in ("Det", "EyeLike") else N], {"fmod": 1} if op == "Mod" else {}, 1) for op in UNARY]
ROWS += [(op, [N, [4]], {"fmod": 1} if op == "Mod" else {}, 1) for op in BINARY]
ROWS += [("Reduce" + op, [N, ints(-1)], {"keepdims": i % 2}, 1) for i, op in enumerate(REDUCE)]
ROWS += [
    ("MatMul", [N, C(FLOAT, [4, 3], [i / 4 for i in range(12)])], {}, 1),
    ("Gemm", [N, C(FLOAT, [3, 4], [i / 4 for i in range(12)]), C(FLOAT, [3], [1.0, 2.0, 3.0])],
     {"transB": 1, "alpha": 0.5, "beta": 2.0}, 1),
    ("Einsum", [["a", "b"], ["b", "c"]], {"equation": "ij,jk->ki"}, 1),
    ("Conv", [IMAGE, C(FLOAT, [2, 2, 3, 3], [0.1] * 36)], {"pads": [1, 1, 1, 1], "strides": [2, 1]}, 1),
    ("ConvTranspose", [IMAGE, C(FLOAT, [2, 1, 3, 3], [0.1] * 18)], {"strides": [2, 2], "output_padding": [1, 0]}, 1),
    ("MaxPool", [IMAGE], {"kernel_shape": [3, 2], "ceil_mode": 1, "dilations": [2, 1]}, 2),
    ("AveragePool", [IMAGE], {"kernel_shape": [2, 3], "pads": [1, 1, 0, 0], "count_include_pad": 1}, 1),
    ("LpPool", [IMAGE], {"kernel_shape": [2, 2]}, 1), ("GlobalAveragePool", [IMAGE], {}, 1),
    ("GlobalMaxPool", [IMAGE], {}, 1), ("LRN", [IMAGE], {"size": 3}, 1),
    ("BatchNormalization", [IMAGE] + [C(FLOAT, [2], [0.5, 1.0])] * 4, {}, 1),
    ("InstanceNormalization", [IMAGE] + [C(FLOAT, [2], [0.5, 1.0])] * 2, {}, 1),
    ("LayerNormalization", [N, C(FLOAT, [4], [1.0] * 4)], {}, 3),
    ("DepthToSpace", [["n", 4, 2, 2]], {"blocksize": 2}, 1), ("SpaceToDepth", [IMAGE], {"blocksize": 2}, 1),
    ("Reshape", [N, ints(0, 2, -1)], {}, 1), ("Squeeze", [["n", 1, 4], ints(1)], {}, 1),
    ("Unsqueeze", [N, ints(0, -1)], {}, 1), ("Expand", [["n", 1], ints(2, 1, 3)], {}, 1),
    ("Tile", [N, ints(2, 3)], {}, 1), ("Slice", [N, ints(3, -5), ints(-9, 100), ints(1, 0), ints(-1, 2)], {}, 1),
    ("Pad", [N, ints(1, 0, -1, 2)], {"mode": "reflect"}, 1), ("Concat", [N, ["m", 4]], {"axis": 0}, 1),
    ("Split", [["n", 5], ints(2, 3)], {"axis": 1}, 2), ("Gather", [N, ints(0, -1)], {"axis": 1}, 1),
    ("GatherElements", [N, C(INT64, [1, 2], [0, -1])], {"axis": 1}, 1),
    ("GatherND", [N, C(INT64, [2, 1], [0, -1])], {}, 1),
    ("ScatterElements", [N, C(INT64, [1, 2], [0, -1]), C(FLOAT, [1, 2], [5.0, 6.0])], {"axis": 1, "reduction": "add"}, 1),
    ("ScatterND", [N, C(INT64, [1, 1], [0]), C(FLOAT, [1, 4], [1.0] * 4)], {"reduction": "max"}, 1),
    ("Where", [C(BOOL, [4], [True, False, True, False]), N, [1]], {}, 1), ("Clip", [N, scalar(0.0, FLOAT)], {}, 1),
    ("Cast", [N], {"to": INT8}, 1), ("CastLike", [N, scalar(1.0, DOUBLE)], {}, 1),
    ("CumSum", [N, scalar(1, INT32)], {"reverse": 1, "exclusive": 1}, 1), ("TopK", [N, ints(2)], {"largest": 0}, 2),
    ("ArgMax", [N], {"axis": 1, "select_last_index": 1}, 1), ("ArgMin", [N], {"keepdims": 0}, 1),
    ("OneHot", [C(INT64, [3], [0, -1, 7]), scalar(4), C(FLOAT, [2], [0.0, 1.0])], {}, 1),
    ("Range", [scalar(0.0, FLOAT), scalar(2.5, FLOAT), scalar(0.5, FLOAT)], {}, 1),
    ("ConstantOfShape", [ints(2, 3)], {"value": tensor(INT32, [1], [7])}, 1),
    ("Trilu", [["b", "n", "m"], scalar(-1)], {"upper": 0}, 1), ("Compress", [N, C(BOOL, [2], [False, True])], {"axis": 1}, 1),
    ("ReverseSequence", [["t", 2], C(INT64, [2], [1, 2])], {}, 1), ("Unique", [N], {"sorted": 0}, 4),
    ("Resize", [IMAGE, None, C(FLOAT, [4], [1.0, 1.0, 1.5, 0.7])], {"mode": "linear"}, 1),
    ("GridSample", [IMAGE, C(FLOAT, [1, 1, 2, 2], [0.1, -2.0, 0.0, 0.9])], {}, 1),
    ("RoiAlign", [IMAGE, C(FLOAT, [1, 4], [0.0, 0.0, 3.0, 4.0]), ints(0)], {"output_height": 2, "output_width": 2}, 1),
    ("NonMaxSuppression", [[1, "k", 4], [1, 2, "k"], scalar(3), scalar(0.5, FLOAT)], {}, 1),
    ("LSTM", [["t", 1, 2], C(FLOAT, [1, 12, 2], [0.1] * 24), C(FLOAT, [1, 12, 3], [0.1] * 36)], {"hidden_size": 3}, 3),
    ("GRU", [["t", 1, 2], C(FLOAT, [1, 9, 2], [0.1] * 18), C(FLOAT, [1, 9, 3], [0.1] * 27)], {"hidden_size": 3}, 2),
    ("RNN", [["t", 1, 2], C(FLOAT, [1, 3, 2], [0.1] * 6), C(FLOAT, [1, 3, 3], [0.1] * 9)], {"hidden_size": 3}, 2),
    ("QuantizeLinear", [N, scalar(0.1, FLOAT), scalar(3, UINT8)], {}, 1),
    ("DequantizeLinear", [C(INT8, [2, 2], [-128, 0, 1, 127]), C(FLOAT, [2], [0.1, 0.2])], {"axis": 0}, 1),
    ("DynamicQuantizeLinear", [N], {}, 3),
    ("MatMulInteger", [C(UINT8, [2, 2], [0, 1, 2, 255]), C(INT8, [2, 2], [1, -1, 0, -128])], {}, 1),
    ("BitShift", [C(UINT8, [3], [1, 2, 255]), C(UINT8, [3], [1, 9, 3])], {"direction": "LEFT"}, 1),
    ("STFT", [[1, "t", 1], scalar(2), None, scalar(4)], {}, 1), ("DFT", [["n", 4, 1]], {"axis": 1}, 1),
    ("StringNormalizer", [C(STRING, [2], ["One", "two"])], {"case_change_action": "UPPER"}, 1),
    ("SplitToSequence", [N], {"axis": 0}, 1), ("SequenceConstruct", [N, N], {}, 1), ("SequenceEmpty", [], {"dtype": 1}, 1),
    ("RandomNormalLike", [N], {"seed": 1.0}, 1), ("Multinomial", [N], {"sample_size": 3, "seed": 1.0}, 1),
    ("Cast", [C(STRING, [3], ["1.5", "nan", "-inf"])], {"to": FLOAT16}, 1),
]


def operator(op, inputs, attributes, outputs):
    names, ports, constants = [], [], []
    for i, x in enumerate(inputs):
        names.append("" if x is None else f"i{i}")
        if isinstance(x, C):
            constants.append(tensor(x.dtype, x.dims, x.values, names[-1]))
        elif x is not None:
            ports.append(info(names[-1], FLOAT, x))
    results = [f"o{i}" for i in range(outputs)]
    # No types of outputs: the engine must find them.
    ends = [block(1, r) for r in results]
    return model(graph([node(op, names, results, **attributes)], ports, ends, constants), opset=20)


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "corpus"
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in tiny.MODELS.items():
        (folder / f"{name}.onnx").write_bytes(make())
    for i, (op, inputs, attributes, outputs) in enumerate(ROWS):
        (folder / f"op_{i:03}_{op}.onnx").write_bytes(operator(op, inputs, attributes, outputs))


if __name__ == "__main__":
    main()
