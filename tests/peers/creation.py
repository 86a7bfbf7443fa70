# SPDX-License-Identifier: Apache-2.0
"""ai.onnx: constants, ranges, random numbers, bits, reductions without a test of their own. Random values are
no one's to compare: dims and type are."""
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from peers import case as any_case

F, D, L, I = np.float32, np.float64, np.int64, np.int32
FLOAT, DOUBLE, INT32, INT64, HALF = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT32, TensorProto.INT64, TensorProto.FLOAT16)
random = np.random.default_rng(31)


def case(name, op, inputs, attrs=None, **more):
    return any_case(name, op, inputs, attrs, domain="", **{"opset": 22, **more})


def ints(*v, dtype=L):
    return np.array(v, dtype)


def bits():
    for word, dtype in (("i8", np.int8), ("u8", np.uint8), ("i16", np.int16), ("u16", np.uint16), ("i32", I), ("u32", np.uint32),
                        ("i64", L), ("u64", np.uint64)):
        limits = np.iinfo(dtype)
        x = np.array([limits.min, limits.max, 0, 1, 5], dtype)
        yield case(f"not_{word}", "BitwiseNot", [x], expected=[~x])
    yield case("not_scalar", "BitwiseNot", [np.array(6, I)])
    yield case("not_empty", "BitwiseNot", [np.zeros((2, 0), I)])
    yield case("not_float", "BitwiseNot", [np.zeros(2, F)], exit=4)
    pairs = [(F, I), (F, np.uint32), (D, L), (np.float16, np.int16), (np.uint8, np.int8), (L, np.uint64), (np.bool_, np.uint8)]
    for k, (a, b) in enumerate(pairs + [(b, a) for a, b in pairs]):
        x = (np.array([0, 1, 1, 0]) if np.bool_ in (a, b) else np.array([-3, 0, 7, 1.5])).astype(np.uint8 if b is np.bool_ else
                                                                                             F).astype(a)
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(b))
        yield case(f"cast_{k}", "BitCast", [x], {"to": kind}, opset=26, types=[kind], expected=[x.view(b)])
    yield case("cast_scalar", "BitCast", [np.array(1, F)], {"to": INT32}, opset=26, types=[INT32],
               expected=[np.array(0x3f800000, I)])
    yield case("cast_empty", "BitCast", [np.zeros((0, 3), F)], {"to": INT32}, opset=26, types=[INT32], expected=[np.zeros((0, 3), I)])
    yield case("cast_width", "BitCast", [np.zeros(4, F)], {"to": INT64}, opset=26, types=[INT64], exit=3)
    yield case("cast_type", "BitCast", [np.zeros(4, F)], {"to": 99}, opset=26, types=[INT32], exit=3)
    yield case("cast_string", "BitCast", [np.zeros(4, F)], {"to": TensorProto.STRING}, opset=26, types=[TensorProto.STRING], exit=3)
    yield case("cast_missing", "BitCast", [np.zeros(4, F)], opset=26, types=[INT32], exit=3)


def dropout():
    x = random.standard_normal((3, 4)).astype(F)
    yes = np.ones((3, 4), bool)
    yield case("dropout", "Dropout", [x], outputs=("y", "mask"), types=[FLOAT, TensorProto.BOOL])
    yield case("dropout_ratio", "Dropout", [x, np.array(.7, F)], expected=[x])
    yield case("dropout_off", "Dropout", [x, np.array(.7, F), np.array(False)], outputs=("y", "mask"), types=[FLOAT, TensorProto.BOOL],
               expected=[x, yes])
    yield case("dropout_zero", "Dropout", [x, np.array(0, F), np.array(True)], outputs=("y", "mask"), types=[FLOAT, TensorProto.BOOL],
               expected=[x, yes])
    yield case("dropout_training", "Dropout", [x, np.array(.5, F), np.array(True)], {"seed": 4}, outputs=("y", "mask"),
               types=[FLOAT, TensorProto.BOOL], expected=[x, yes], compare="shape")
    yield case("dropout_half", "Dropout", [x.astype(np.float16), np.array(.5, D)], expected=[x.astype(np.float16)])
    yield case("dropout_old", "Dropout", [x], {"ratio": .3}, opset=7, expected=[x])
    yield case("dropout_oldest", "Dropout", [x], {"ratio": .3, "is_test": 1}, opset=1, expected=[x])
    yield case("dropout_scalar", "Dropout", [np.array(2, F)])
    yield case("dropout_empty", "Dropout", [np.zeros((0, 2), F)])
    yield case("dropout_above", "Dropout", [x, np.array(1, F), np.array(True)], exit=3)
    yield case("dropout_below", "Dropout", [x, np.array(-.1, F), np.array(True)], exit=3)
    yield case("dropout_shape", "Dropout", [x, np.array([.1, .2], F), np.array(True)], exit=3)


def chance():
    for op in "RandomUniform", "RandomNormal":
        attrs = {"low": 1., "high": 3.} if op == "RandomUniform" else {"mean": 2., "scale": .5}
        word = op[6:].lower()
        for tag, kind, dtype in ("f32", FLOAT, F), ("f64", DOUBLE, D), ("f16", HALF, np.float16):
            yield case(f"{word}_{tag}", op, [], {"shape": [2, 3], "dtype": kind, "seed": 7., **attrs}, types=[kind],
                       expected=[np.zeros((2, 3), dtype)], compare="shape", symbolic=False)
        yield case(f"{word}_one", op, [], {"shape": [1]}, types=[FLOAT],
                   expected=[np.zeros(1, F)], compare="shape", symbolic=False)
        yield case(f"{word}_empty", op, [], {"shape": [0, 4]}, types=[FLOAT], expected=[np.zeros((0, 4), F)], symbolic=False)
        yield case(f"{word}_int", op, [], {"shape": [2], "dtype": INT64}, types=[INT64], exit=3, symbolic=False)
        yield case(f"{word}_negative", op, [], {"shape": [2, -1]}, types=[FLOAT], exit=3, symbolic=False)
        yield case(f"{word}_none", op, [], types=[FLOAT], exit=3, symbolic=False)
        like = op + "Like"
        x = np.zeros((2, 3), D)
        yield case(f"{word}_like", like, [x], attrs, expected=[x], compare="shape")
        yield case(f"{word}_like_int", like, [x.astype(I)], {"dtype": FLOAT}, types=[FLOAT], expected=[x.astype(F)], compare="shape")
        yield case(f"{word}_like_scalar", like, [np.array(0, F)], expected=[np.array(0, F)], compare="shape")
        yield case(f"{word}_like_empty", like, [np.zeros((2, 0), F)], expected=[np.zeros((2, 0), F)])
        yield case(f"{word}_like_what", like, [x.astype(I)], exit=3)
    same = np.array([[0, 1, 1], [1, 0, 0]], F)
    for tag, kind, dtype in ("f32", FLOAT, F), ("i32", INT32, I), ("bool", TensorProto.BOOL, np.bool_), ("f64", DOUBLE, D):
        yield case(f"bernoulli_{tag}", "Bernoulli", [same], {"dtype": kind}, types=[kind], expected=[same.astype(dtype)])
    yield case("bernoulli", "Bernoulli", [same.astype(D)], {"seed": 3.}, expected=[same.astype(D)])
    yield case("bernoulli_half", "Bernoulli", [np.full((4, 5), .5, F)], expected=[np.zeros((4, 5), F)], compare="shape")
    yield case("bernoulli_scalar", "Bernoulli", [np.array(1, F)], expected=[np.array(1, F)])
    yield case("bernoulli_empty", "Bernoulli", [np.zeros((0, 3), F)], expected=[np.zeros((0, 3), F)])
    logits = np.log(np.array([[.1, .9], [.5, .5]], F))
    yield case("multinomial", "Multinomial", [logits], {"sample_size": 5}, types=[INT32], expected=[np.zeros((2, 5), I)], compare="shape")
    yield case("multinomial_i64", "Multinomial", [logits], {"sample_size": 3, "dtype": INT64, "seed": 1.}, types=[INT64],
               expected=[np.zeros((2, 3), L)], compare="shape")
    sure = np.array([[-1e30, 0, -1e30], [0, -1e30, -1e30]], F)
    yield case("multinomial_sure", "Multinomial", [sure], {"sample_size": 4}, types=[INT32], expected=[np.array([[1] * 4, [0] * 4], I)])
    yield case("multinomial_one", "Multinomial", [logits], types=[INT32], expected=[np.zeros((2, 1), I)], compare="shape")
    yield case("multinomial_rows", "Multinomial", [np.zeros((0, 3), F)], types=[INT32], expected=[np.zeros((0, 1), I)])
    yield case("multinomial_rank", "Multinomial", [np.zeros(3, F)], types=[INT32], exit=3)
    yield case("multinomial_negative", "Multinomial", [logits], {"sample_size": -1}, types=[INT32], exit=3)
    yield case("multinomial_float", "Multinomial", [logits], {"dtype": FLOAT}, types=[FLOAT], exit=3)
    yield case("multinomial_nothing", "Multinomial", [np.zeros((2, 0), F)], types=[INT32], exit=3)


def constants():
    def constant(name, value, attrs, kind=None, **more):
        return case(f"constant_{name}", "Constant", [], attrs, types=[kind or helper.np_dtype_to_tensor_dtype(value.dtype)],
                    expected=[value], symbolic=False, **more)
    x = random.standard_normal((2, 3)).astype(F)
    yield constant("tensor", x, {"value": numpy_helper.from_array(x)})
    yield constant("int", np.array(5), {"value_int": 5})
    yield constant("ints", ints(5, 6), {"value_ints": [5, 6]})
    yield constant("float", np.array(.5, F), {"value_float": .5})
    yield constant("floats", np.array([.5, 2], F), {"value_floats": [.5, 2.]})
    yield constant("string", np.array("ab", object), {"value_string": "ab"}, TensorProto.STRING)
    yield constant("strings", np.array(["ab", ""], object), {"value_strings": ["ab", ""]}, TensorProto.STRING)
    sparse = helper.make_sparse_tensor(helper.make_tensor("v", FLOAT, [2], [3., 4.]), helper.make_tensor("i", INT64, [2], [1, 5]), [2, 3])
    yield constant("sparse", np.array([[0, 3, 0], [0, 0, 4]], F), {"sparse_value": sparse})
    yield case("constant_none", "Constant", [], {}, types=[FLOAT], exit=3, symbolic=False)
    yield case("constant_two", "Constant", [], {"value_int": 5, "value_float": 1.}, types=[FLOAT], exit=3, symbolic=False)

    def filled(name, dims, value=None, **more):
        kind = {} if value is None else {"types": [helper.np_dtype_to_tensor_dtype(value.dtype)]}
        return case(f"filled_{name}", "ConstantOfShape", [dims], {} if value is None else {"value": numpy_helper.from_array(value)},
                    **{"types": [FLOAT], **kind, **more})
    yield filled("default", ints(2, 3))
    yield filled("scalar", np.zeros(0, L))
    yield filled("empty", ints(2, 0))
    for dtype in (np.int8, np.uint8, I, L, D, np.bool_, np.float16):
        yield filled(np.dtype(dtype).name, ints(2, 3), np.array([1], dtype))
    yield filled("const", ints(2, 3), ints(7), const=[0])
    yield filled("negative", ints(2, -3), exit=3)
    yield filled("rank", np.array([[2, 3]]), exit=3)
    yield filled("two", ints(2, 3), ints(1, 2), exit=3)
    yield filled("huge", ints(2**62, 2**62), exit=5)

    for tag, start, limit, step, dtype in (("up", 1, 9, 3, L), ("down", 9, 1, -3, L), ("none", 5, 1, 2, L), ("f32", .5, 3, .25, F),
                                           ("f64", 0, 1, .1, D), ("i32", -3, 3, 1, I), ("i16", 0, 5, 2, np.int16), ("part", 0, 1, 3, L)):
        values = [np.array(v, dtype) for v in (start, limit, step)]
        yield case(f"range_{tag}", "Range", values)
        yield case(f"range_{tag}_const", "Range", values, const=[0, 1, 2])
    yield case("range_still", "Range", [np.array(v) for v in (1, 5, 0)], exit=3)
    yield case("range_shape", "Range", [ints(1, 2), np.array(5), np.array(1)], exit=3)
    yield case("range_many", "Range", [np.array(v) for v in (-2**63, 2**63 - 1, 1)], exit=5)
    yield case("range_nan", "Range", [np.array(v, F) for v in (0, np.nan, 1)], exit=3)
    yield case("range_mixed", "Range", [np.array(0), np.array(5, I), np.array(1)], exit=3)

    for tag, dims, attrs in (("plain", (3, 3), {}), ("wide", (2, 5), {"k": 2}), ("low", (4, 3), {"k": -1}), ("beyond", (2, 2), {"k": 5}),
                             ("empty", (0, 3), {}), ("type", (3, 2), {"dtype": INT64}), ("bound", (3, 3), {"k": -3})):
        kind = attrs.get("dtype", FLOAT)
        yield case(f"eye_{tag}", "EyeLike", [np.zeros(dims, F)], attrs, types=[kind],
                   expected=[np.eye(*dims, k=attrs.get("k", 0)).astype(helper.tensor_dtype_to_np_dtype(kind))])
    yield case("eye_int", "EyeLike", [np.ones((2, 3), I)], expected=[np.eye(2, 3, dtype=I)])
    yield case("eye_least", "EyeLike", [np.ones((2, 3), F)], {"k": -2**63}, expected=[np.zeros((2, 3), F)])
    yield case("eye_rank", "EyeLike", [np.ones(3, F)], exit=3)
    yield case("eye_string", "EyeLike", [np.ones((3, 3), F)], {"dtype": TensorProto.STRING}, types=[TensorProto.STRING], exit=3)


def reductions():
    x = random.standard_normal((2, 3, 4)).astype(F)
    for op in "ReduceSumSquare", "ReduceL1", "ReduceL2":
        word = op[6:].lower()
        for tag, axes in ("last", [-1]), ("two", [0, 2]), ("first", [-3]), ("all", [0, 1, 2]):
            for keep in 0, 1:
                yield case(f"{word}_{tag}_{keep}", op, [x, ints(*axes)], {"keepdims": keep})
        yield case(f"{word}_absent", op, [x])
        yield case(f"{word}_noop", op, [x, np.zeros(0, L)], {"noop_with_empty_axes": 1}, oracle="reference")
        yield case(f"{word}_no_axes", op, [x, np.zeros(0, L)])
        yield case(f"{word}_old", op, [x], {"axes": [1]}, opset=11)
        yield case(f"{word}_f64", op, [x.astype(D), ints(1)], oracle="reference")
        yield case(f"{word}_i32", op, [ints(*range(-6, 6), dtype=I).reshape(3, 4), ints(0)])
        yield case(f"{word}_scalar", op, [np.array(-2, F)])
        yield case(f"{word}_empty", op, [np.zeros((2, 0), F), ints(1)], expected=[np.zeros((2, 1), F)])
        yield case(f"{word}_rows", op, [np.zeros((0, 3), F), ints(1)], expected=[np.zeros((0, 1), F)])
        yield case(f"{word}_beyond", op, [x, ints(3)], exit=3)
        yield case(f"{word}_below", op, [x, ints(-4)], exit=3)


def cases():
    for family in bits, dropout, chance, constants, reductions:
        yield from family()
