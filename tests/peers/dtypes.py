# SPDX-License-Identifier: Apache-2.0
"""Every element type that ONNX allows an operator.

For each operator's newest version, each type variable of its schema and each tensor type of that variable,
a small case is made from a row of the table below (the other variables keep a usual type). Expected outputs come
from ONNX's reference implementation, which computes in float64 or int64 where numpy lacks the type or is
too narrow in it; they are then rounded once to the output's type. Where the reference cannot compute at all,
the row gives them. The cases of an operator stand side by side in one graph, 16-bit floats in another.
"""
from types import SimpleNamespace

import ml_dtypes  # noqa: F401: registers the narrow types with numpy
import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from peers import build, case

USUAL = ("float", "int64", "bool", "string", "uint8", "int32", "int8")
NUMPY = {"float", "double", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "string",
         "complex64", "complex128"}
NARROW = ("int4", "uint4", "int2", "uint2", "float4e2m1", "float6e2m3", "float6e3m2")
OPSET = onnx.defs.onnx_opset_version()


def number(word):
    return {"float": TensorProto.FLOAT, "double": TensorProto.DOUBLE}.get(word) or TensorProto.DataType.Value(word.upper())


def as_numpy(word):
    return np.dtype(helper.tensor_dtype_to_np_dtype(number(word)))


def put(values, word):
    """Small integers and halves as this type; unsigned types get magnitudes."""
    values = np.asarray(values)
    if word == "float8e8m0":
        values = np.where(values == 0, 2.**-127, values)
    if word == "string":
        return values if values.dtype == object else np.vectorize(str, otypes=[object])(values)
    if word.startswith("uint") or word == "float8e8m0":
        values = abs(values)
    return values.astype(np.float64 if values.dtype.kind == "f" else values.dtype).astype(as_numpy(word))


class Moved:
    """Elements that the operator moves and does not compute with: some that each type has."""

    def __init__(self, *dims):
        self.dims = dims

    def __call__(self, word):
        count = int(np.prod(self.dims))
        pool = {"bool": [1, 0, 0], "uint2": [0, 1, 2, 3], "int2": [-2, -1, 0, 1], "float4e2m1": [0, .5, -1.5, 3, 6, -4],
                "float8e8m0": [1, 2, .25, 8], "complex64": [1 + 2j, -3j, 2], "complex128": [1 + 2j, -3j, 2],
                "string": np.array(["a", "", "héllo", "longer than sixteen bytes"], object)}.get(word, [-3, 0, 5, 2, -7, 1, 4])
        return put(np.resize(np.array(pool), count).reshape(self.dims), word)


def row(*inputs, outs=1, more=None, fix=None, expect=None, nodes=None, shape_only=False, opset=None, only=None, result=None, as_float=False, **attrs):
    """An operator's line: inputs are arrays, Moved, or None for an absent one; attributes may be functions of the chosen
    types {variable: type}, or many at once, more(types); outs: how many outputs; fix(types, variable) makes the other variables fit; expect(inputs,
    types): the expected outputs; nodes(types): a graph in place of the one node; only: the variables to go through; result: the type of a graph's output;
    as_float: the reference gets floats."""
    return SimpleNamespace(**locals())


def a(*values):
    return np.array(values)


X = a([-2, -1, 0], [1, 2, 3])
UP = a([1, 2, 3], [4, 5, 6])
UNIT = a([-.5, 0., .5])
IMAGE = np.arange(16).reshape(1, 1, 4, 4) % 5
ONES = np.ones
NUMBER = {v: lambda t, v=v: number(t[v]) for v in ("T", "T2", "T3")}


def unary(names, x, **more):
    return {n: row(x, **more) for n in names.split()}


def info(name, word, dims=None):
    return helper.make_tensor_value_info(name, number(word), dims)


def node(op, inputs, outputs, **attrs):
    return helper.make_node(op, inputs.split(), outputs.split(), **attrs)


def body(nodes, inputs, outputs):
    return helper.make_graph(nodes, "body", inputs, outputs)


def from_sequence(op, inputs, **attrs):
    return lambda t: [node("SequenceConstruct", "x0 x1", "s"), node(op, inputs, "y0", **attrs)]


def if_nodes(t):
    return [node("If", "x0", "y0", then_branch=body([node("Identity", "x1", "a")], [], [info("a", t["V"])]),
                 else_branch=body([node("Identity", "x2", "b")], [], [info("b", t["V"])]))]


def loop_nodes(t):
    inner = body([node("Identity", "c", "d"), node("Identity", "v", "w"), node("Identity", "v", "u")],
                 [info("i", "int64", []), info("c", "bool", []), info("v", t["V"])],
                 [info("d", "bool"), info("w", t["V"]), info("u", t["V"])])
    return [node("Loop", "x0 x1 x2", "y0 y1", body=inner)]


def scan_nodes(t):
    inner = body([node("Identity", "v", "w"), node("Identity", "x", "u")],
                 [info("v", t["V"]), info("x", t["V"])], [info("w", t["V"]), info("u", t["V"])])
    return [node("Scan", "x0 x1", "y0 y1", body=inner, num_scan_inputs=1)]


def map_nodes(t):
    inner = body([node("Identity", "v", "w")], [info("v", t["S"])], [info("w", t["S"])])
    return [node("SequenceConstruct", "x0 x1", "s"), node("SequenceMap", "s", "r", body=inner),
            node("SequenceAt", "r x2", "y0")]


def same_scale(t, var):
    if var == "T1":
        t["T2"] = t["T1"] if t["T1"] in ("float16", "bfloat16") else "float"
    if var == "T2" and t["T2"] in ("float", "float16", "bfloat16"):
        t["T1"] = t["T2"]


def wide_product(t, var):
    for x in ("T1", "T2"):
        if "float8" in t[var]:
            t["T1"] = t["T2"] = t["T3"] = t[var]


def set_equal(*names):
    def fix(t, var):
        for n in names:
            if var in names:
                t[n] = t[var]
    return fix


def same_width(t, var):
    size = as_numpy(t[var]).itemsize
    t["T2" if var == "T1" else "T1"] = t[var] if t[var] in NARROW else {1: "uint8", 2: "uint16", 4: "uint32", 8: "uint64"}.get(size, t[var])


def cast_expect(xs, t):
    """Of 0, 1, 1, where float8e8m0 has its least number for 0."""
    return [put(a("0", "1", "1").astype(object) if t["T2"] == "string" and t["T1"] != "float8e8m0" else
                a("5.877472e-39", "1", "1").astype(object) if t["T2"] == "string" else
                wide(xs[0]) if t["T1"] != "string" else [0, 1, 1], t["T2"])]


def stacked(xs, t):
    return [xs[2], np.stack([xs[2], xs[2]])]


def pooled(xs, t):
    x = xs[0][0, 0]
    blocks = np.lib.stride_tricks.sliding_window_view(x, (2, 2)).reshape(9, 4)
    at = blocks.astype(np.float64).argmax(1)
    return [np.take_along_axis(blocks, at[:, None], 1).reshape(1, 1, 3, 3),
            (np.arange(9) // 3 * 4 + np.arange(9) % 3 + at // 2 * 4 + at % 2).reshape(1, 1, 3, 3)]


def largest(xs, t):
    return [xs[0].astype(np.float64).reshape(1, 1, 2, 2, 2, 2).max((3, 5)).astype(xs[0].dtype)]


def scattered(xs, t):
    y = xs[0].copy()
    y[xs[1]] = xs[2]
    return [y]


def one_hot(xs, t):
    return [xs[2][np.eye(3, dtype=int)[[0, 2, 1]]]]


def zeros_drawn(xs, t):
    return [np.zeros((2, 4), as_numpy(t["T2"]))]


def doubled(xs, t):
    return [xs[0].repeat(2, 2).repeat(2, 3)]


def quadratic(xs, t):
    return [narrow(np.sqrt((xs[0].astype(np.float64) ** 2).sum((2, 3), keepdims=True)), t["T"])]


OPS = {
    **unary("Abs Neg Sign Relu", X),
    **unary("Floor Ceil Round Exp Erf Sin Cos Tan Sinh Cosh Tanh Atan Asinh Sigmoid Elu Selu Celu Softplus Softsign "
            "HardSigmoid HardSwish Mish Swish Gelu LeakyRelu ThresholdedRelu Shrink IsNaN IsInf Identity", X / 2),
    **unary("Sqrt Log Reciprocal", UP),
    **unary("Acos Asin Atanh", UNIT),
    "Acosh": row(UP),
    "Identity": row(Moved(2, 3)),
    "Not": row(Moved(3)),
    "BitwiseNot": row(X),
    **{n: row(UP, a(1, 2, 3)) for n in "Add Sub Mul Div Equal Less Greater LessOrEqual GreaterOrEqual BitwiseAnd BitwiseOr "
       "BitwiseXor Max Min Mean Sum".split()},
    "Equal": row(Moved(2, 3), Moved(3)),
    "PRelu": row(X, a(2, 1, 3)),
    "Pow": row(UP, a(1, 2, 0)),
    "Mod": row(UP, a(2, 3, 4), fmod=1),
    "BitShift": row(UP, a(1, 2, 0), direction="LEFT"),
    **{n: row(Moved(2, 3), Moved(3)) for n in ("And", "Or", "Xor")},
    "Where": row(a(True, False, True), Moved(2, 3), Moved(3)),
    "Clip": row(X, a(0)[0], a(2)[0]),
    "Cast": row(a(0, 1, 1), to=NUMBER["T2"], expect=cast_expect),
    "CastLike": row(a(0, 1, 1), a(1), expect=cast_expect),
    "BitCast": row(Moved(3), to=NUMBER["T2"], fix=same_width, expect=lambda xs, t: [xs[0].view(as_numpy(t["T2"]))]),
    "Dropout": row(X, fix=None, outs=2),
    "RandomUniform": row(dtype=NUMBER["T"], shape=[2, 3], shape_only=True),
    "RandomNormal": row(dtype=NUMBER["T"], shape=[2, 3], shape_only=True),
    "RandomUniformLike": row(Moved(2, 3), dtype=NUMBER["T2"], shape_only=True),
    "RandomNormalLike": row(Moved(2, 3), dtype=NUMBER["T2"], shape_only=True),
    "Bernoulli": row(a(0, 1, 1), dtype=NUMBER["T2"], expect=lambda xs, t: [put([0, 1, 1], t["T2"])]),
    "Multinomial": row(a([0, 1], [1, 0]), dtype=NUMBER["T2"], sample_size=4, shape_only=True, expect=zeros_drawn),
    "CumSum": row(UP, a(1)[0]),
    "CumProd": row(UP, a(1)[0]),
    "Constant": row(value=lambda t: onnx.numpy_helper.from_array(Moved(2, 3)(t["T"])),
                    expect=lambda xs, t: [Moved(2, 3)(t["T"])]),
    "ConstantOfShape": row(a(2, 3), value=lambda t: onnx.numpy_helper.from_array(put([1], t["T2"])),
                           expect=lambda xs, t: [put(ONES((2, 3), int), t["T2"])]),
    "Range": row(a(1)[0], a(6)[0], a(2)[0]),
    "EyeLike": row(Moved(3, 4), dtype=NUMBER["T2"], k=1, expect=lambda xs, t: [put(np.eye(3, 4, 1, dtype=int), t["T2"])]),
    "Trilu": row(Moved(3, 4), a(1)[0]),
    "MatMul": row(UP, UP.T),
    "Gemm": row(UP, UP.T, a(1, 2)),
    "Einsum": row(UP, UP.T, equation="ij,jk->ik"),
    "MatMulInteger": row(UP, UP.T, a(1)[0], a(1)[0]),
    "Det": row(a([2, 1], [1, 3])),
    **{n: row(X / 2) for n in ("Softmax", "LogSoftmax", "Hardmax")},
    **{n: row(UP, a(1), keepdims=0) for n in "ReduceSum ReduceMax ReduceMin ReduceProd ReduceSumSquare ReduceL1 ReduceL2 "
       "ReduceMean ReduceLogSum ReduceLogSumExp".split()},
    "ArgMax": row(X, axis=1), "ArgMin": row(X, axis=1),
    "If": row(a(True)[0], Moved(2, 3), Moved(3), nodes=if_nodes, only="V"),
    "Loop": row(a(2)[0], a(True)[0], Moved(2, 3), nodes=loop_nodes, outs=2, only="V", expect=stacked),
    "Scan": row(Moved(2), Moved(3, 2), nodes=scan_nodes, outs=2, only="V"),
    "SequenceEmpty": row(dtype=lambda t: number(t["S"]), nodes=lambda t: [
        node("SequenceEmpty", "", "s", dtype=number(t["S"])), node("SequenceLength", "s", "y0")],
        result="int64", expect=lambda xs, t: [np.array(0)]),
    "SequenceConstruct": row(Moved(2), Moved(3), a(1)[0], nodes=from_sequence("SequenceAt", "s x2")),
    "SequenceAt": row(Moved(2), Moved(3), a(0)[0], nodes=from_sequence("SequenceAt", "s x2")),
    "SequenceLength": row(Moved(2), Moved(3), nodes=from_sequence("SequenceLength", "s"), result="int64", expect=lambda xs, t: [np.array(2)]),
    "SequenceInsert": row(Moved(2), Moved(3), a(0)[0], nodes=lambda t: [
        node("SequenceConstruct", "x0", "s"), node("SequenceInsert", "s x1 x2", "r"), node("SequenceAt", "r x2", "y0")]),
    "SequenceErase": row(Moved(2), Moved(3), a(0)[0], nodes=lambda t: [
        node("SequenceConstruct", "x0 x1", "s"), node("SequenceErase", "s x2", "r"), node("SequenceAt", "r x2", "y0")]),
    "SequenceMap": row(Moved(2), Moved(3), a(1)[0], nodes=map_nodes, only="S"),
    "ConcatFromSequence": row(Moved(2), Moved(3), nodes=from_sequence("ConcatFromSequence", "s", axis=0)),
    "SplitToSequence": row(Moved(4), a(1, 3), a(1)[0], nodes=lambda t: [
        node("SplitToSequence", "x0 x1", "s"), node("SequenceAt", "s x2", "y0")]),
    "Optional": row(Moved(2, 3), nodes=lambda t: [node("Optional", "x0", "o"), node("OptionalGetElement", "o", "y0")],
                    only="V", expect=lambda xs, t: [xs[0]]),
    "OptionalGetElement": row(Moved(2, 3), nodes=lambda t: [node("OptionalGetElement", "x0", "y0")], only="O"),
    "OptionalHasElement": row(Moved(2, 3), nodes=lambda t: [node("OptionalHasElement", "x0", "y0")], only="O", result="bool",
                              expect=lambda xs, t: [np.array(True)]),
    "Conv": row(IMAGE, ONES((2, 1, 2, 2)), a(1, 2)),
    "ConvTranspose": row(IMAGE, ONES((1, 2, 2, 2)), a(1, 2)),
    "ConvInteger": row(IMAGE, ONES((2, 1, 2, 2)), a(1)[0], a(0)[0]),
    "DeformConv": row(IMAGE, ONES((1, 1, 2, 2)), np.zeros((1, 8, 3, 3)), a(1), ONES((1, 4, 3, 3))),
    "QLinearConv": row(IMAGE, a(1.)[0], a(0)[0], ONES((2, 1, 2, 2)), a(1.)[0], a(0)[0], a(1.)[0], a(0)[0], a(1, 2)),
    "QLinearMatMul": row(a([1, 2], [0, 1]), a(1.)[0], a(0)[0], a([1, 0], [1, 2]), a(1.)[0], a(0)[0], a(1.)[0], a(0)[0],
                         fix=wide_product, expect=lambda xs, t: [put([[3, 4], [1, 2]], t["T3"])]),
    "MaxPool": row(IMAGE, kernel_shape=[2, 2], outs=2, expect=pooled),
    "AveragePool": row(IMAGE, kernel_shape=[2, 2]),
    "LpPool": row(IMAGE, kernel_shape=[2, 2]),
    **{n: row(IMAGE) for n in "GlobalAveragePool GlobalMaxPool".split()},
    "GlobalLpPool": row(IMAGE, expect=quadratic),
    "MaxUnpool": row(ONES((1, 1, 2, 2)), a([[[5, 7], [13, 15]]]), kernel_shape=[2, 2], strides=[2, 2]),
    "BatchNormalization": row(IMAGE, a(2), a(1), a(1), a(4), outs=1),
    "InstanceNormalization": row(IMAGE, a(2), a(1)),
    "GroupNormalization": row(ONES((1, 2, 3)) * a(1, 2, 4), a(1, 2), a(0, 1), num_groups=1),
    "LayerNormalization": row(UP, a(1, 2, 1), a(0, 1, 0), outs=1,
                              fix=lambda t, v: t.update(U="bfloat16" if t["T"] == "bfloat16" else "float")),
    "RMSNormalization": row(UP, a(1, 2, 1)),
    "LRN": row(IMAGE, size=3),
    "LpNormalization": row(UP), "MeanVarianceNormalization": row(IMAGE),
    "QuantizeLinear": row(a(0, 1, 1), a(1)[0], a(0)[0], fix=same_scale, only=("T1", "T2", "T3"),
                          expect=lambda xs, t: [put([0, 1, 1], t["T3"])]),
    "DequantizeLinear": row(a(0, 1, 1), a(1)[0], a(0)[0], output_dtype=NUMBER["T3"],
                            fix=lambda t, v: t.update(T3=t["T2"]) if v == "T2" and t["T2"] != "float8e8m0" else None,
                            expect=lambda xs, t: [put([0, 1, 1], t["T3"])]),
    "DynamicQuantizeLinear": row(UP, outs=3),
    "RNN": row(a([[1., 2]]) / 4, ONES((1, 3, 2)) / 4, ONES((1, 3, 3)) / 4, ONES((1, 6)) / 4, hidden_size=3, outs=2),
    "GRU": row(a([[1., 2]]) / 4, ONES((1, 9, 2)) / 4, ONES((1, 9, 3)) / 4, ONES((1, 18)) / 4, hidden_size=3, outs=2),
    "LSTM": row(a([[1., 2]]) / 4, ONES((1, 12, 2)) / 4, ONES((1, 12, 3)) / 4, ONES((1, 24)) / 4, hidden_size=3, outs=3),
    "Reshape": row(Moved(2, 3), a(3, -1)), "Flatten": row(Moved(2, 3, 2)), "Squeeze": row(Moved(2, 1, 3), a(1)),
    "Unsqueeze": row(Moved(2, 3), a(1)), "Transpose": row(Moved(2, 3)), "Concat": row(Moved(2, 3), Moved(2, 2), axis=1),
    "Split": row(Moved(5), a(2, 3), outs=2), "Slice": row(Moved(5), a(3), a(0), a(0), a(-2)),
    "Gather": row(Moved(3, 2), a(2, 0)), "GatherElements": row(Moved(3, 2), a([2, 0])), "GatherND": row(Moved(3, 2), a([2, 0])),
    "ScatterElements": row(Moved(4), a(2, 0), Moved(2)), "ScatterND": row(Moved(4), a([2], [0]), Moved(2)),
    "Scatter": row(Moved(4), a(2, 0), Moved(2), opset=10, expect=scattered),
    "TensorScatter": row(Moved(1, 1, 4, 2), Moved(1, 1, 2, 2), a(1)), "Expand": row(Moved(1, 3), a(2, 3)),
    "Tile": row(Moved(2), a(3)), "Pad": row(Moved(3), a(1, 2), Moved(), a(0)), "Shape": row(Moved(2, 3)), "Size": row(Moved(2, 3)),
    "OneHot": row(a(0, 2, 1), a(3)[0], Moved(2), expect=one_hot), "DepthToSpace": row(Moved(1, 4, 1, 2), blocksize=2),
    "SpaceToDepth": row(Moved(1, 1, 2, 2), blocksize=2), "ReverseSequence": row(Moved(3, 2), a(3, 2)),
    "Compress": row(Moved(4), a(True, False, True)), "NonZero": row(Moved(2, 3)), "TopK": row(UP, a(2), outs=2),
    "Unique": row(Moved(6), outs=4), "AffineGrid": row(ONES((1, 2, 3)), a(1, 1, 2, 2)),
    "GridSample": row(Moved(1, 1, 2, 2), a([[[-1., -1], [1, 1]]]), mode="nearest"),
    "CenterCropPad": row(Moved(2, 3), a(3, 2)), "Col2Im": row(Moved(1, 4, 2), a(1, 8), a(1, 4), strides=[1, 4],
                  expect=lambda xs, t: [xs[0][0].T.reshape(1, 1, 1, 8)]),
    "NonMaxSuppression": row(a([[[0., 0, 1, 1]]])[0], a([[[.5]]])[0], a(1)[0]),
    "RoiAlign": row(IMAGE, a([0, 0, 3, 3]), a(0), output_height=2, output_width=2),
    "MaxRoiPool": row(IMAGE, a([0, 0, 0, 3, 3]), pooled_shape=[2, 2], expect=largest),
    "Resize": row(Moved(1, 1, 2, 2), None, a(1., 1, 2, 2), mode="nearest", expect=doubled),
    "Upsample": row(Moved(1, 1, 2, 2), a(1., 1, 2, 2), opset=9),
    "DFT": row(a([[1], [2], [4], [8]]), None, a(1)[0]),
    "STFT": row(a([[1], [2], [4], [8]]), a(2)[0], a(1, 1)),
    **{n: row(a(4)[0], output_datatype=NUMBER["T2"]) for n in ("HannWindow", "HammingWindow", "BlackmanWindow")},
    "MelWeightMatrix": row(a(2)[0], a(8)[0], a(64)[0], a(0)[0], a(32)[0], output_datatype=NUMBER["T3"]),
    "Attention": row(ONES((1, 1, 2, 4)), ONES((1, 1, 2, 4)), ONES((1, 1, 2, 4)), ONES((2, 2)), outs=1),
    "RotaryEmbedding": row(ONES((1, 1, 2, 4)), ONES((3, 2)), ONES((3, 2)), a([0, 1])),
    "NegativeLogLikelihoodLoss": row(X / 2, a(0, 2), a(1, 2, 1)),
    "SoftmaxCrossEntropyLoss": row(X / 2, a(0, 2), a(1, 2, 1), outs=2),
    "LinearAttention": row(ONES((1, 2, 4)), ONES((1, 2, 4)), ONES((1, 2, 4)), ONES((1, 1, 4, 4)), q_num_heads=1, kv_num_heads=1, outs=2,
                           update_rule="linear"),
    "CausalConvWithState": row(ONES((1, 2, 4)), ONES((2, 1, 3)), a(1, 2), outs=2),
    "FlexAttention": row(ONES((1, 1, 2, 4)), ONES((1, 1, 2, 4)), ONES((1, 1, 2, 4))),
    "SwiGLU": row(X / 2, X / 2),
    "StringConcat": row(Moved(3), Moved(1)), "StringSplit": row(np.array(["a b", "c"], object), outs=2),
    "StringNormalizer": row(Moved(4)), "RegexFullMatch": row(Moved(4), pattern="a|h.*"),
    "TfIdfVectorizer": row(a(2, 3, 2), mode="TF", min_gram_length=1, max_gram_length=1, max_skip_count=0, ngram_counts=[0],
                           ngram_indexes=[0, 1], pool_int64s=lambda t: [2, 3] if t["T"] != "string" else None,
                           pool_strings=lambda t: ["2", "3"] if t["T"] == "string" else None),
}

TREE = dict(nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0], nodes_values=[1., 0., 0.],
            nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0])
SVM = dict(kernel_type="LINEAR", kernel_params=[0., 0., 0.], coefficients=[1., -1.], support_vectors=[1., 0, 2, 2, 1, 1],
           rho=[-2.])


def labels(t, name="classlabels_ints"):
    return {"classlabels_strings" if t["T2"] == "string" else name: ["no", "yes"] if t["T2"] == "string" else [0, 1]}


def coded(t):
    """Attributes of a LabelEncoder from 1, 2, 3 to 3, 1, 2; others become 1."""
    def of(words, values, word):
        name = {"string": "strings", "int64": "int64s", "float": "floats"}.get(word)
        if name:
            return {f"{words}_{name}": list(put(values, word)) if word == "string" else list(map(float if word == "float" else int, values))}
        return {f"{words}_tensor": onnx.numpy_helper.from_array(put(values, word), words)}
    return of("keys", [1, 2, 3], t["T1"]) | of("values", [3, 1, 2], t["T2"]) | {"default_tensor": onnx.numpy_helper.from_array(
        put([1], t["T2"]), "default")}


def decided(xs, t):
    """The linear machine has 1 and -2 for the rows of X."""
    return [put(a("no", "yes").astype(object) if t["T2"] == "string" else [0, 1], t["T2"]),
            a([-1, 1], [2, -2]).astype(np.float32)]


ML = {
    "ArrayFeatureExtractor": row(Moved(2, 3), a(2, 0)),
    "Binarizer": row(X, threshold=0.),
    "Imputer": row(X, replaced_value_float=lambda t: -1. if t["T"] in ("float", "double") else None, imputed_value_floats=lambda t:
                   [5.] if t["T"] in ("float", "double") else None, replaced_value_int64=lambda t: None if t["T"] in ("float", "double")
                   else -1, imputed_value_int64s=lambda t: None if t["T"] in ("float", "double") else [5],
                   expect=lambda xs, t: [np.where(xs[0] == -1, 5, xs[0]).astype(xs[0].dtype)]),
    "Scaler": row(X, as_float=True, offset=[1., 2, 3], scale=[2., 1, .5]),
    "Normalizer": row(UP, norm="L1"),
    "LinearRegressor": row(X, as_float=True, coefficients=[1., 2, 3], intercepts=[.5]),
    "LinearClassifier": row(X, more=labels, coefficients=[1., 2, 3, -1, -2, -3], intercepts=[.5, 1.], outs=2,
                            expect=lambda xs, t: [put(["yes", "no"] if t["T2"] == "string" else [1, 0], t["T2"]),
                                                  a([-3.5, 5], [14.5, -13]).astype(np.float32)]),
    "SVMRegressor": row(X, as_float=True, n_supports=2, **SVM),
    "SVMClassifier": row(X, as_float=True, more=labels, vectors_per_class=[1, 1], **SVM, outs=2, expect=decided),
    "OneHotEncoder": row(a(1, 3, 2), cats_int64s=lambda t: [1, 2, 3] if t["T"] != "string" else None,
                         cats_strings=lambda t: ["1", "2", "3"] if t["T"] == "string" else None,
                         expect=lambda xs, t: [np.eye(3, dtype=np.float32)[[0, 2, 1]]]),
    "FeatureVectorizer": row(UP, UP[:, :2], inputdimensions=[3, 2], expect=lambda xs, t: [np.concatenate(xs, 1).astype(np.float32)]),
    "CategoryMapper": row(a(1, 3, 2), cats_int64s=[1, 2], cats_strings=["1", "2"], default_int64=-1, default_string="?",
                          fix=lambda t, v: t.update({"T1" if v == "T2" else "T2": "int64" if t[v] == "string" else "string"}),
                          expect=lambda xs, t: [a(1, -1, 2) if t["T2"] == "int64" else a("1", "?", "2").astype(object)]),
    "LabelEncoder": row(a(1, 3, 2, 4), more=coded, expect=lambda xs, t: [put([3, 2, 1, 1], t["T2"])]),
    "TreeEnsemble": row(UP, aggregate_function=1, post_transform=0, n_targets=1, tree_roots=[0], nodes_featureids=[0],
                        nodes_splits=lambda t: onnx.numpy_helper.from_array(put([2.], t["T"])), nodes_trueleafs=[1], nodes_falseleafs=[1],
                        nodes_modes=onnx.numpy_helper.from_array(np.zeros(1, np.uint8)), nodes_truenodeids=[0],
                        nodes_falsenodeids=[1], leaf_targetids=[0, 0],
                        leaf_weights=lambda t: onnx.numpy_helper.from_array(put([3., 5.], t["T"])),
                        expect=lambda xs, t: [put([[3], [5]], t["T"])]),
    "TreeEnsembleRegressor": row(UP, opset=3, n_targets=1, target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 0],
                                 target_weights=[3., 5.], **TREE, expect=lambda xs, t: [a([3], [5]).astype(np.float32)]),
    "TreeEnsembleClassifier": row(UP, opset=3, more=lambda t: labels(t, "classlabels_int64s"), class_treeids=[0, 0], class_nodeids=[1, 2], class_ids=[0, 1],
                                  class_weights=[1., 1.], **TREE, outs=2,
                                  expect=lambda xs, t: [put(["no", "yes"] if t["T2"] == "string" else [0, 1], t["T2"]),
                                                        np.eye(2, dtype=np.float32)]),
}
MAPS = {"CastMap", "DictVectorizer", "ZipMap"}  # maps and not tensors: ml_features.py
ELSEWHERE = {"ImageDecoder"}                    # strings.py has its bytes


def attributes(r, chosen):
    out = {k: v(chosen) if callable(v) else v for k, v in r.attrs.items()} | (r.more(chosen) if r.more else {})
    return {k: v for k, v in out.items() if v is not None}


def wide(array):
    """The same elements in the type that numpy computes best in."""
    if array is None or array.dtype == object or array.dtype.name in ("bool", "complex64", "complex128"):
        return array
    exact = array.astype(np.float64)
    return exact if array.dtype.kind == "f" or "float" in array.dtype.name else array.astype(np.int64)


def widened(word):
    if word in ("string", "bool") or word.startswith("complex"):
        return word
    return "double" if "float" in word else "int64"


def narrow(result, word):
    result = np.asarray(result)
    if word == "string":  # the reference pads with the number 0
        return np.vectorize(lambda x: x if isinstance(x, str) else "", otypes=[object])(result)
    with np.errstate(all="ignore"):
        return result.astype(as_numpy(word))


def compute(r, schema, chosen, inputs, results):
    """Expected outputs; None if the reference cannot."""
    if r.expect:
        return r.expect(inputs, chosen)
    ways = [(inputs, chosen)] if all(w in NUMPY for w in chosen.values()) else []
    ways.append(([wide(x) for x in inputs], {v: widened(w) for v, w in chosen.items()}))
    as_float = ([x if x is None or x.dtype.kind in "OSc" or x.dtype == bool else x.astype(np.float32) for x in inputs],
                {v: "float" if w not in ("string", "bool") and "complex" not in w else w for v, w in chosen.items()})
    if r.as_float or len(inputs) == 1:
        ways = [as_float] if r.as_float else ways + [as_float]
    for xs, types in ways:
        try:
            c = make(r, schema, types, xs, [types.get(w, w) for w in results["words"]])
            model = build(c, False)
            with np.errstate(all="ignore"):
                got = ReferenceEvaluator(model).run(None, {f"x{i}": x for i, x in enumerate(xs) if x is not None})
            return [narrow(g, chosen.get(w, w)) for g, w in zip(got, results["words"])]
        except Exception:  # noqa: BLE001: the next way
            continue
    return None


def make(r, schema, chosen, inputs, words, **more):
    opset = r.opset or (OPSET if not schema.domain else schema.since_version)
    return case(more.pop("name", "x"), schema.name, inputs, attributes(r, chosen), domain=schema.domain, opset=opset,
                outputs=[f"y{i}" for i in range(len(words))], types=[number(w) for w in words], symbolic=False,
                nodes=r.nodes(chosen) if r.nodes else None, **more)


def tensor_types(schema):
    """{type variable: [word of each tensor type, or of the tensors in a sequence or optional]}"""
    out = {}
    for c in schema.type_constraints:
        words = [t[7:-1] for t in c.allowed_type_strs if t.startswith("tensor(")]
        out[c.type_param_str] = words or sorted({t.split("(")[-1].rstrip(")") for t in c.allowed_type_strs if "tensor" in t})
    return out


def variable_of(formals, i):
    """The type variable, or the type, of formal input or output i (the last may be variadic)."""
    text = formals[min(i, len(formals) - 1)].type_str
    return text[7:-1] if text.startswith("tensor(") else text


def usual(words):
    return next((w for w in USUAL if w in words), words[0])


def sweep(schema, r):
    variables = tensor_types(schema)
    for var, words in variables.items():
        if r.only is not None and var not in r.only:
            continue
        for word in words:
            chosen = {v: usual(ws) for v, ws in variables.items() if ws} | {var: word}
            if r.fix:
                r.fix(chosen, var)
            if r.nodes:
                chosen = {v: word for v in chosen}
                at = lambda i, x: word if isinstance(x, Moved) else x.dtype.name  # noqa: E731
                results = [r.result or word] * r.outs
            else:
                at = lambda i, x: chosen.get(v := variable_of(schema.inputs, i), v)  # noqa: E731
                results = [chosen.get(v := variable_of(schema.outputs, i), v) for i in range(r.outs)]
            inputs = [x if x is None else x(at(i, x)) if callable(x) else put(x, at(i, x)) for i, x in enumerate(r.inputs)]
            expected = compute(r, schema, chosen, inputs, {"words": results})
            assert expected is not None, f"{schema.name} has no expected outputs with {chosen}: give its row expect="
            half = any(as_numpy(w).itemsize == 2 and "float" in w for w in results)
            yield make(r, schema, chosen, inputs, results, name=f"{var}_{word}", expected=expected,
                       compare="shape" if r.shape_only else "element", rtol=4e-3 if half else 1e-5, atol=1e-3 if half else 1e-6)


def renamed(graph, name):
    """The nodes of a graph with every name of a value changed by name(), in subgraphs too."""
    out = []
    for n in graph:
        new = onnx.NodeProto()
        new.CopyFrom(n)
        new.input[:], new.output[:] = map(name, n.input), map(name, n.output)
        for g in (x.g for x in new.attribute if x.type == onnx.AttributeProto.GRAPH):
            inner = renamed(g.node, name)
            del g.node[:]
            g.node.extend(inner)
            for v in list(g.input) + list(g.output):
                v.name = name(v.name)
        out.append(new)
    return out


def joined(parts, name):
    """One case, a graph of all the parts side by side; outputs and nodes are named by their types."""
    inputs, nodes, outputs, kinds, expected = [], [], [], [], []
    for c in parts:
        at, part = len(inputs), c["name"]
        names = [f"x{i}" if x is not None else "" for i, x in enumerate(c["inputs"])]
        graph = c["nodes"] or [helper.make_node(c["op"], names, c["outputs"], domain=c["domain"], **c["attrs"])]
        nodes += renamed(graph, lambda n: n and (f"x{at + int(n[1:])}" if n[0] == "x" and n[1:].isdigit() else f"{part}_{n}"))
        for n in nodes[-len(graph):]:
            n.name = part
        inputs += c["inputs"]
        outputs += [f"{part}_{n}" for n in c["outputs"]]
        kinds += c["types"]
        expected += c["expected"]
    c = parts[0]
    return case(name, c["op"], inputs, domain=c["domain"], opset=c["opset"], nodes=nodes, outputs=outputs, types=kinds,
                expected=expected, symbolic=False, compare=c["compare"], rtol=c["rtol"], atol=c["atol"])


def newest():
    """The newest version of each operator that is not withdrawn; of withdrawn ones, the last before."""
    found = {}
    for s in onnx.defs.get_all_schemas_with_history():
        if s.domain in ("", "ai.onnx.ml", "ai.onnx.preview") and not s.deprecated:
            if s.since_version > (found[s.domain, s.name].since_version if (s.domain, s.name) in found else 0):
                found[s.domain, s.name] = s
    return found


def cases():
    for (domain, name), schema in sorted(newest().items()):
        if name in MAPS | ELSEWHERE:
            continue
        r = (ML if domain == "ai.onnx.ml" else OPS).get(name)
        assert r, f"{name} has no row in dtypes.py"
        parts = list(sweep(schema, r))
        for half in (False, True):
            chosen = [c for c in parts if (c["rtol"] > 1e-3) == half]
            if chosen:
                yield joined(chosen, name.lower() + "_half" * half)
