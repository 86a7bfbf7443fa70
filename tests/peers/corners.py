# SPDX-License-Identifier: Apache-2.0
"""Operators of ai.onnx: versions, types and sizes that neither ONNX's own cases nor other families reach."""
import numpy as np
from onnx import TensorProto, helper

from peers import case

F32, F64, I64, STRING = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING
rng = np.random.default_rng(21)


def rand(*dims, dtype=np.float32):
    return rng.standard_normal(dims).astype(dtype)


def texts(*words):
    return np.array(words, dtype=object)


def plain(name, op, inputs, attrs=None, opset=22, **more):
    return case(name, op, inputs, attrs, domain="", opset=opset, **more)


def numbers_as_text():
    words = ["1", " -2.5 ", "+3e2", "4E-3", "0.000", "nan", "-inf", "INFINITY", ".5", "7.", "1e400", "-1e-400",
             "123456789012345678901234567890", "0.1000000000000000055511151231257827021181583404541015625"]
    for dtype, kind in ((np.float32, F32), (np.float64, F64)):
        with np.errstate(over="ignore"):
            expected = np.array([float(w) for w in words]).astype(dtype)
        yield plain(f"cast_text_{np.dtype(dtype).name}", "Cast", [texts(*words)], {"to": kind}, types=[kind],
                    expected=[expected])
    whole = ["0", "-12", " 34", "9223372036854775807", "-9223372036854775808"]
    yield plain("cast_text_int64", "Cast", [texts(*whole)], {"to": I64}, types=[I64], expected=[np.array([int(w) for w in whole])])
    for word in ("", " ", "x", "1e", "e5", "1.2.3", "--1", "1 2", "."):
        yield plain(f"cast_text_bad_{word or 'empty'}", "Cast", [texts(word)], {"to": F32}, types=[F32], exit=3)
    printed = {"0": 0, "-0": -0.0, "1": 1, "-1.5": -1.5, "0.1": 0.1, "100000": 1e5, "1e+20": 1e20, "1e-05": 1e-5, "0.0001": 1e-4,
               "1.5e-07": 1.5e-7, "NaN": np.nan, "INF": np.inf, "-INF": -np.inf, "123.25": 123.25}
    for dtype in (np.float32, np.float64):
        yield plain(f"cast_print_{np.dtype(dtype).name}", "Cast", [np.array(list(printed.values()), dtype)], {"to": STRING},
                    types=[STRING], expected=[texts(*printed)])
    for dtype in (np.int8, np.int64, np.uint64):
        limits = np.array([np.iinfo(dtype).min, 0, 7, np.iinfo(dtype).max], dtype)
        yield plain(f"cast_print_{np.dtype(dtype).name}", "Cast", [limits], {"to": STRING}, types=[STRING],
                    expected=[texts(*map(str, limits.tolist()))])


def transforms():
    """Lengths of small factors, and primes, which go through a convolution; both directions, in both widths."""
    for n in (1, 8, 30, 49, 97, 202):
        for dtype, kind in ((np.float32, F32), (np.float64, F64)):
            x = rand(2, n, 2, dtype=dtype)
            wide = x[..., 0].astype(np.float64) + 1j * x[..., 1]
            for word, f, attrs in (("forth", np.fft.fft, {}), ("back", np.fft.ifft, {"inverse": 1})):
                y = f(wide, axis=1)
                yield plain(f"dft_{word}_{n}_{np.dtype(dtype).name}", "DFT", [x], {"axis": 1, **attrs}, opset=17, types=[kind],
                            expected=[np.stack([y.real, y.imag], -1).astype(dtype)], atol=1e-3)


def recurrent():
    """Every activation, in both widths; ONNX's formulas."""
    x, w, r = rand(4, 2, 3), rand(1, 5, 3), rand(1, 5, 5)
    formulas = {
        "Relu": lambda v: np.maximum(v, 0), "Tanh": np.tanh, "Sigmoid": lambda v: 1 / (1 + np.exp(-v)),
        "Affine": lambda v: 0.5 * v + 0.25, "LeakyRelu": lambda v: np.where(v < 0, 0.5 * v, v),
        "ThresholdedRelu": lambda v: np.where(v > 0.5, v, 0), "ScaledTanh": lambda v: 0.5 * np.tanh(0.25 * v),
        "HardSigmoid": lambda v: np.clip(0.5 * v + 0.25, 0, 1), "Elu": lambda v: np.where(v < 0, 0.5 * np.expm1(v), v),
        "Softsign": lambda v: v / (1 + abs(v)), "Softplus": lambda v: np.log1p(np.exp(v)),
    }
    two = {"Affine", "ScaledTanh", "HardSigmoid"}
    one = {"LeakyRelu", "ThresholdedRelu", "Elu"}
    for name, f in formulas.items():
        for dtype, kind in ((np.float32, F32), (np.float64, F64)):
            h, out = np.zeros((2, 5)), []
            for t in range(4):
                h = f(x[t].astype(np.float64) @ w[0].T + h @ r[0].T)
                out.append(h[None])
            attrs = {"hidden_size": 5, "activations": [name], **({"activation_alpha": [0.5]} if name in two | one else {}),
                     **({"activation_beta": [0.25]} if name in two else {})}
            yield plain(f"rnn_{name}_{np.dtype(dtype).name}", "RNN", [a.astype(dtype) for a in (x, w, r)], attrs, types=[kind],
                        expected=[np.array(out).astype(dtype)], rtol=1e-3, atol=1e-4)


def pooled():
    x = rand(2, 3, 8, 9)
    rois = np.array([[0, 0, 0, 7, 7], [1, 2, 1, 6, 5], [0, 3, 3, 3, 3], [1, 0, 0, 20, 20]], np.float32)
    for shape in ((1, 1), (2, 3), (7, 7)):
        for scale in (1.0, 0.5):
            yield plain(f"maxroipool_{shape[0]}_{scale}", "MaxRoiPool", [x, rois], {"pooled_shape": list(shape), "spatial_scale": scale},
                        opset=21)


def summed():
    """Where elements meet: by type."""
    for dtype in (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.float64, np.float32):
        word = np.dtype(dtype).name
        data, updates = np.arange(1, 13).reshape(3, 4).astype(dtype), np.array([[3, 5], [2, 7]]).astype(dtype)
        index = np.array([[0, 0], [2, 2]])
        for reduction, f in (("add", np.add), ("mul", np.multiply), ("max", np.maximum), ("min", np.minimum)):
            y = data.copy()
            for i in range(2):
                for k in range(2):
                    y[index[i, k], k] = f(y[index[i, k], k], updates[i, k])
            yield plain(f"scatter_{reduction}_{word}", "ScatterElements", [data, index, updates], {"reduction": reduction}, opset=18,
                        expected=[y], symbolic=False)
    flags = np.array([True, False, True])
    for reduction, want in (("add", [True, True, True]), ("mul", [True, False, False])):
        yield plain(f"scatter_{reduction}_bool", "ScatterElements", [flags, np.array([1, 2]), np.array([reduction == "add", False])],
                    {"reduction": reduction}, opset=18, expected=[np.array(want)])
    columns = np.arange(1, 33).reshape(1, 4, 8)
    image = np.zeros((1, 1, 3, 5))
    for k in range(4):
        for n in range(8):
            image[0, 0, n // 4 + k // 2, n % 4 + k % 2] += columns[0, k, n]
    for dtype in (np.int32, np.float64, np.float16, np.float32):
        yield plain(f"col2im_{np.dtype(dtype).name}", "Col2Im", [columns.astype(dtype), np.array([3, 5]), np.array([2, 2])], opset=18,
                    expected=[image.astype(dtype)])


def firsts():
    """First versions, whose inputs and attributes later ones changed."""
    x = rand(2, 3)
    yield plain("tile_1", "Tile", [x, np.float32(2), np.float32(1)], opset=1, expected=[np.tile(x, (1, 2))])
    yield plain("tile_1_axis", "Tile", [x, np.float32(2), np.float32(5)], opset=1, exit=3)
    yield plain("tile_1_const", "Tile", [x, np.array(3.0, np.float32), np.array(0.0, np.float32)], opset=1, const=(1, 2),
                expected=[np.tile(x, (3, 1))])
    yield plain("cast_1", "Cast", [x], {"to": "INT64"}, opset=1, types=[I64], expected=[x.astype(np.int64)])
    yield plain("cast_1_word", "Cast", [x], {"to": "NUMBER"}, opset=1, types=[I64], exit=3)
    for dtype, kind in ((np.float64, F64), (np.int32, TensorProto.INT32), (np.float16, TensorProto.FLOAT16)):
        v = (rand(2, 3) * 4).astype(dtype)
        nodes = [helper.make_node("Clip", ["x0"], ["y"], min=-1.0, max=2.0)]
        yield plain(f"clip_6_{np.dtype(dtype).name}", "Clip", [v], opset=6, nodes=nodes, expected=[np.clip(v, -1, 2).astype(dtype)])
    words = ["a", "b", "c"]
    yield plain("equal_text", "Equal", [texts(*words), texts("a", "c", "c")], opset=19, types=[TensorProto.BOOL],
                expected=[np.array([True, False, True])])
    angle, table = rand(1, 2, 3, 8, dtype=np.float64), rand(6, 4, dtype=np.float64)
    place = np.array([[1, 2, 5]])
    half = angle[..., :4], angle[..., 4:]
    cosine, sine = np.cos(table), np.sin(table)
    c, s = cosine[place][:, None], sine[place][:, None]
    yield plain("rotary_f64", "RotaryEmbedding", [angle, cosine, sine, place], opset=23, types=[F64],
                expected=[np.concatenate([half[0] * c - half[1] * s, half[0] * s + half[1] * c], -1)])


def cases():
    for family in (numbers_as_text, transforms, recurrent, pooled, summed, firsts):
        yield from family()
