# SPDX-License-Identifier: Apache-2.0
"""com.microsoft: fused activations, normalisations and products, beside onnxruntime or formulas in NumPy."""
import math

import ml_dtypes
import numpy as np
from onnx import TensorProto

from peers import case

F16, BF16 = np.float16, ml_dtypes.bfloat16
LOOSE = {"rtol": 4e-3, "atol": 2e-3}
BF = {"rtol": 2e-2, "atol": 2e-2}
rng = np.random.default_rng(7)


def rand(*dims, dtype=np.float32, scale=1.0):
    return (rng.standard_normal(dims) * scale).astype(dtype)


def wide(*arrays):
    return [None if a is None else np.asarray(a).astype(np.float64) for a in arrays]


def erf_gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) if x.size else x


def tanh_gelu(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def given(name, op, inputs, fn, attrs=None, dtype=None, **more):
    """A case whose outputs are a formula's, in double, of the dtype of input 0."""
    out = fn(*wide(*inputs))
    out = out if isinstance(out, list) else [out]
    dtype = dtype or inputs[0].dtype
    tol = {np.dtype(F16): LOOSE, np.dtype(BF16): BF}.get(np.dtype(inputs[0].dtype), {})
    return case(name, op, inputs, attrs, expected=[o.astype(dtype) if o.dtype == np.float64 else o for o in out],
                **{**tol, **more})


def activations():
    for dtype, word in ((np.float32, "f32"), (F16, "f16"), (BF16, "bf16"), (np.float64, "f64")):
        x, b = rand(3, 5, 37, dtype=dtype, scale=2), rand(37, dtype=dtype)
        yield given(f"gelu_{word}", "Gelu", [x], erf_gelu)
        yield given(f"quickgelu_{word}", "QuickGelu", [x], lambda v: v * sigmoid(1.702 * v))
        yield given(f"quickgelu_alpha_{word}", "QuickGelu", [x], lambda v: v * sigmoid(0.5 * v), {"alpha": 0.5})
        yield given(f"biasgelu_{word}", "BiasGelu", [x, b], lambda v, w: erf_gelu(v + w))
        yield given(f"fastgelu_{word}", "FastGelu", [x], tanh_gelu)
        yield given(f"fastgelu_bias_{word}", "FastGelu", [x, b], lambda v, w: tanh_gelu(v + w))
        yield given(f"biasadd_{word}", "BiasAdd", [x, b, rand(3, 5, 37, dtype=dtype)], lambda v, w, s: v + w + s)
        x, b = rand(2, 3, 74, dtype=dtype, scale=2), rand(74, dtype=dtype)
        yield given(f"biassplitgelu_{word}", "BiasSplitGelu", [x, b],
                    lambda v, w: (v + w)[..., :37] * erf_gelu((v + w)[..., 37:]))
    long, b = rand(40, 3000), rand(3000)
    for op, inputs in (("Gelu", [long]), ("BiasGelu", [long, b]), ("FastGelu", [long, b]), ("QuickGelu", [long])):
        yield case(f"{op.lower()}_long", op, inputs)
    yield case("gelu_scalar", "Gelu", [np.array(1.5, np.float32)])
    yield case("gelu_empty", "Gelu", [rand(0, 3)])
    yield case("biasgelu_empty", "BiasGelu", [rand(2, 0), rand(0)], expected=[rand(2, 0)])
    yield case("fastgelu_ort_f16", "FastGelu", [rand(3, 8, dtype=F16), rand(8, dtype=F16)], **LOOSE)
    yield case("biasgelu_width", "BiasGelu", [rand(2, 4), rand(3)], exit=3)
    yield case("biasgelu_rank", "BiasGelu", [rand(2, 4), rand(1, 4)], exit=3)
    yield case("biasgelu_mixed", "BiasGelu", [rand(2, 4), rand(4, dtype=F16)], exit=3)
    yield case("gelu_int", "Gelu", [np.arange(4)], exit=4)
    yield case("biassplitgelu_odd", "BiasSplitGelu", [rand(2, 3, 5), rand(5)], exit=3)
    yield case("biasadd_skip", "BiasAdd", [rand(2, 3, 4), rand(4), rand(2, 2, 4)], exit=3)


def layer(v, scale, shift, epsilon):
    mean = v.mean(-1, keepdims=True)
    inv = 1 / np.sqrt(((v - mean) ** 2).mean(-1, keepdims=True) + epsilon)
    return (v - mean) * inv * scale + (0 if shift is None else shift), mean, inv


def rms(v, scale, epsilon):
    inv = 1 / np.sqrt((v ** 2).mean(-1, keepdims=True) + epsilon)
    return v * inv * scale, inv


def norms():
    for dtype, word in ((np.float32, "f32"), (F16, "f16"), (np.float64, "f64"), (BF16, "bf16")):
        x, s, g, b, bias = (rand(*d, dtype=dtype) for d in ((2, 5, 24), (2, 5, 24), (24,), (24,), (24,)))
        yield given(f"skipln_{word}", "SkipLayerNormalization", [x, s, g, b],
                    lambda x, s, g, b: layer(x + s, g, b, 1e-12)[0], {"epsilon": 1e-12})
        yield given(f"skiprms_{word}", "SkipSimplifiedLayerNormalization", [x, s, g],
                    lambda x, s, g: rms(x + s, g, 1e-5)[0], {"epsilon": 1e-5})
        types = [TensorProto.FLOAT] * 4
        if dtype == np.float32:
            yield given("skipln_moments", "SkipLayerNormalization", [x, s, g, b, bias],
                        lambda x, s, g, b, w: [*layer(x + s + w, g, b, 1e-5), x + s + w], {"epsilon": 1e-5},
                        outputs=("y", "m", "i", "s"), types=types)
            yield given("skiprms_inv", "SkipSimplifiedLayerNormalization", [x, s, g, bias],
                        lambda x, s, g, w: [*rms(x + s + w, g, 1e-5), x + s + w], {"epsilon": 1e-5},
                        outputs=("y", "", "i", "s"), types=types)
    for dtype, word, tol in ((np.float32, "f32", {}), (F16, "f16", LOOSE)):
        x, s, g, b, bias = (rand(*d, dtype=dtype) for d in ((3, 7, 33), (3, 7, 33), (33,), (33,), (33,)))
        out = {"outputs": ("y", "", "", "s"), **tol}
        yield case(f"skipln_sum_{word}", "SkipLayerNormalization", [x, s, g, b, bias], {"epsilon": 1e-5}, **out)
        yield case(f"skipln_nobeta_{word}", "SkipLayerNormalization", [x, s, g], **tol)
        yield case(f"skipln_bias_only_{word}", "SkipLayerNormalization", [x, s, g, None, bias], **tol)
        yield case(f"skipln_row_{word}", "SkipLayerNormalization", [x, s[:1], g, b], {"epsilon": 1e-5}, **out)
        yield case(f"skipln_2d_skip_{word}", "SkipLayerNormalization", [x, s[0], g, b], {"epsilon": 1e-5}, **out)
        yield case(f"skipln_tokens_{word}", "SkipLayerNormalization", [x[0], s[0], g, b], {"epsilon": 1e-5}, **out)
        yield case(f"skiprms_sum_{word}", "SkipSimplifiedLayerNormalization", [x, s, g, bias], {"epsilon": 1e-6}, **out)
        yield case(f"skiprms_row_{word}", "SkipSimplifiedLayerNormalization", [x, s[:1], g], {"epsilon": 1e-6}, **out)
        yield case(f"simplified_{word}", "SimplifiedLayerNormalization", [x, g], {"epsilon": 1e-6}, domain="", **tol)
    x, s, g = rand(2, 3, 2000), rand(2, 3, 2000), rand(2000)
    yield case("skipln_wide", "SkipLayerNormalization", [x, s, g])
    yield case("skipln_const", "SkipLayerNormalization", [x, s, g, g], const=(2, 3))
    x, s, g = rand(2, 3, 8), rand(2, 3, 8), rand(8)
    yield given("skiprms_onnx", "SkipSimplifiedLayerNormalization", [x, s, g], lambda x, s, g: rms(x + s, g, 1e-12)[0],
                domain="")
    yield given("simplified_ms", "SimplifiedLayerNormalization", [x, g], lambda x, g: rms(x, g, 1e-5)[0])
    yield given("layernorm_ms", "LayerNormalization", [x, g, g], lambda x, g, b: layer(x, g, b, 1e-5)[0])
    yield given("skipln_empty", "SkipLayerNormalization", [rand(0, 3, 8), rand(0, 3, 8), g], lambda x, s, g: x)
    yield case("skipln_gamma", "SkipLayerNormalization", [x, s, rand(7)], exit=3)
    yield case("skipln_skip", "SkipLayerNormalization", [x, rand(2, 1, 8), g], exit=3)
    yield case("skipln_skip_long", "SkipLayerNormalization", [x, rand(3, 3, 8), g], exit=3)
    yield case("skipln_rank", "SkipLayerNormalization", [g, g, g], exit=3)
    yield case("skipln_gamma_rank", "SkipLayerNormalization", [x, s, rand(1, 8)], exit=3)


def embeds():
    v, p, t, h = 11, 9, 3, 16
    ids, seg = rng.integers(0, v, (2, 6)).astype(np.int32), rng.integers(0, t, (2, 6)).astype(np.int32)
    mask = np.array([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]], np.int32)
    places = rng.integers(0, p, (2, 6)).astype(np.int32)
    i32, f32 = TensorProto.INT32, TensorProto.FLOAT
    for dtype, word in ((np.float32, "f32"), (F16, "f16")):
        w, q, s, g, b = (rand(*d, dtype=dtype) for d in ((v, h), (p, h), (t, h), (h,), (h,)))
        f = f32 if dtype == np.float32 else TensorProto.FLOAT16

        def embed(ids, seg, w, q, s, g, b, mask=None, places=None, eps=1e-12):
            total = w[ids.astype(int)] + q[np.arange(6) if places is None else places.astype(int)]
            total = total + (0 if seg is None else s[seg.astype(int)])
            count = np.zeros(2) if mask is None else (mask == 1).sum(1)
            return [layer(total, g, b, eps)[0].astype(dtype), count.astype(np.int32), total.astype(dtype)]

        all_out = {"outputs": ("y", "m", "s"), "types": [f, i32, f], **(LOOSE if dtype == F16 else {})}
        op = "EmbedLayerNormalization"
        yield given(f"embed_{word}", op, [ids, seg, w, q, s, g, b], embed, **all_out)
        yield given(f"embed_mask_{word}", op, [ids, seg, w, q, s, g, b, mask], embed, {"epsilon": 1e-12}, **all_out)
        yield given(f"embed_noseg_{word}", op, [ids, None, w, q, None, g, b, mask], embed, **all_out)
        yield given(f"embed_places_{word}", op, [ids, seg, w, q, s, g, b, None, places], embed, **all_out)
        yield given(f"embed_one_row_{word}", op, [ids, seg, w, q, s, g, b, None, places[:1]], embed, **all_out)
    w, q, s, g, b = (rand(*d) for d in ((v, h), (p, h), (t, h), (h,), (h,)))
    two = {"outputs": ("y", "m"), "types": [f32, i32]}
    op = "EmbedLayerNormalization"
    yield case("embed_ort", op, [ids, seg, w, q, s, g, b, mask], {"epsilon": 1e-12}, **two)
    yield case("embed_ort_noseg", op, [ids, None, w, q, None, g, b], {"epsilon": 1e-5, "mask_index_type": 0}, **two)
    yield case("embed_ort_places", op, [ids, seg, w, q, s, g, b, mask, places], {"epsilon": 1e-12},
               outputs=("y", "m", "s"), types=[f32, i32, f32])
    yield case("embed_word", op, [ids + 20, seg, w, q, s, g, b], types=[f32], exit=3)
    yield case("embed_negative", op, [ids - 20, seg, w, q, s, g, b], types=[f32], exit=3)
    yield case("embed_segment", op, [ids, seg + 9, w, q, s, g, b], types=[f32], exit=3)
    yield case("embed_place", op, [ids, seg, w, q[:3], s, g, b], types=[f32], exit=3)
    yield case("embed_hidden", op, [ids, seg, w, rand(p, h + 1), s, g, b], types=[f32], exit=3)
    yield case("embed_gamma", op, [ids, seg, w, q, s, rand(h + 1), b], types=[f32], exit=3)
    yield case("embed_half_segment", op, [ids, seg, w, q, None, g, b], types=[f32], exit=3)
    yield case("embed_mask_dims", op, [ids, seg, w, q, s, g, b, mask[:1]], types=[f32], exit=3)


def group_norm(x, g, b, groups, eps, last, silu):
    y = np.moveaxis(x, -1, 1) if last else x
    n, c = y.shape[:2]
    u = y.reshape(n, groups, -1)
    u = (u - u.mean(2, keepdims=True)) / np.sqrt(u.var(2, keepdims=True) + eps)
    shape = [1, c] + [1] * (y.ndim - 2)
    y = u.reshape(y.shape) * g.reshape(shape) + b.reshape(shape)
    y = y * sigmoid(y) if silu else y
    return np.moveaxis(y, 1, -1) if last else y


def groups():
    for dtype, word in ((np.float32, "f32"), (F16, "f16")):
        for last in (1, 0):
            for silu in (1, 0):
                x = rand(2, 5, 4, 12, dtype=dtype) if last else rand(2, 12, 5, 4, dtype=dtype)
                g, b = rand(12), rand(12)
                a = {"channels_last": last, "activation": silu, "groups": 3, "epsilon": 1e-5}
                name = f"{word}_{'last' if last else 'first'}_{'silu' if silu else 'none'}"
                yield given(f"groupnorm_{name}", "GroupNorm", [x, g, b],
                            lambda x, g, b: group_norm(x, g, b, 3, 1e-5, last, silu), a)
                skip, bias = rand(*x.shape, dtype=dtype), rand(12, dtype=dtype)
                at = (1, 1, 1, 12) if last else (1, 12, 1, 1)

                def skipped(x, g, b, s, w=None):
                    s = s.reshape((2, *at[1:])) if s.size == 24 else s
                    total = x + s + (0 if w is None else w.reshape(at))
                    return [group_norm(total, g, b, 3, 1e-5, last, silu), total]

                two = {"outputs": ("y", "s"), "types": [TensorProto.FLOAT if dtype == np.float32 else TensorProto.FLOAT16] * 2}
                yield given(f"skipgroupnorm_{name}", "SkipGroupNorm", [x, g, b, skip, bias], skipped, a, **two)
                yield given(f"skipgroupnorm_2d_{name}", "SkipGroupNorm", [x, g, b, rand(2, 12, dtype=dtype)], skipped, a, **two)
    x, g = rand(1, 2, 2, 6), rand(6)
    a = {"activation": 0, "groups": 3}
    yield given("groupnorm_default", "GroupNorm", [x, g, g], lambda x, g, b: group_norm(x, g, b, 3, 1e-5, 1, 0), a)
    yield case("groupnorm_groups", "GroupNorm", [x, g, g], {"activation": 0, "groups": 4}, exit=3)
    yield case("groupnorm_zero", "GroupNorm", [x, g, g], {"activation": 0, "groups": 0}, exit=3)
    yield case("groupnorm_activation", "GroupNorm", [x, g, g], {"activation": 2, "groups": 3}, exit=3)
    yield case("groupnorm_gamma", "GroupNorm", [x, rand(5), g], a, exit=3)
    yield case("skipgroupnorm_skip", "SkipGroupNorm", [x, g, g, rand(1, 2, 1, 6)], a, exit=3)


def softmax(v):
    v = np.exp(v - v.max(-1, keepdims=True))
    return v / v.sum(-1, keepdims=True)


def softmaxes():
    for dtype, word in ((np.float32, "f32"), (F16, "f16"), (np.float64, "f64")):
        x = rand(2, 3, 4, 10, dtype=dtype)
        inner, outer = rand(2, 1, 1, 10, dtype=dtype), rand(4, 10, dtype=dtype)
        yield given(f"biassoftmax_inner_{word}", "BiasSoftmax", [x, inner], lambda v, b: softmax(v + b),
                    {"axis": 3, "is_inner_broadcast": 1})
        yield given(f"biassoftmax_outer_{word}", "BiasSoftmax", [x, outer], lambda v, b: softmax(v + b),
                    {"axis": -1, "is_inner_broadcast": 0})
        yield given(f"biassoftmax_rows_{word}", "BiasSoftmax", [x, rand(3, 4, 10, dtype=dtype)],
                    lambda v, b: softmax((v + b).reshape(2, -1)).reshape(v.shape), {"is_inner_broadcast": 0})
        b, r = rand(10, dtype=dtype), rand(2, 3, 4, 10, dtype=dtype)
        two = {"outputs": ("y", "m"), "types": [TensorProto.FLOAT, TensorProto.BOOL]}
        yield given(f"biasdropout_{word}", "BiasDropout", [x, b, r], lambda v, b, r: v + b + r)
        yield given(f"biasdropout_same_{word}", "BiasDropout", [x, r], lambda v, b: v + b)
    x, b, half = rand(2, 10), rand(10), np.array(0.5, np.float32)
    yield case("biasdropout_mask", "BiasDropout", [x, b, None, half, np.array(False)], expected=[x + b, np.ones((2, 10), bool)], **two)
    yield case("biasdropout_training", "BiasDropout", [x, b, None, half, np.array(True)], exit=4)
    yield case("biasdropout_bias", "BiasDropout", [x, rand(9)], exit=3)
    yield case("biassoftmax_bias", "BiasSoftmax", [x, rand(3, 10)], {"is_inner_broadcast": 0}, exit=3)
    yield case("biassoftmax_missing", "BiasSoftmax", [x, b], exit=3)
    yield case("biassoftmax_empty", "BiasSoftmax", [rand(0, 4), rand(4)], {"is_inner_broadcast": 0}, expected=[rand(0, 4)])


def products():
    op = "FusedMatMul"
    for dtype, word in ((np.float32, "f32"), (np.float64, "f64")):
        for ta in (0, 1):
            for tb in (0, 1):
                a, b = rand(*((7, 5) if ta else (5, 7)), dtype=dtype), rand(*((6, 7) if tb else (7, 6)), dtype=dtype)
                attrs, name = {"transA": ta, "transB": tb, "alpha": 0.5}, f"{ta}{tb}_{word}"
                yield case(f"matmul_{name}", op, [a, b], attrs)
                yield case(f"matmul_const_{name}", op, [a, b], attrs, const=(1,))
                if dtype == np.float32:
                    yield case(f"transposematmul_{name}", "TransposeMatMul", [a, b], attrs)
                a, b = np.stack([a, a + 1, a * 2]), np.stack([b, b - 1, b * 3])
                yield case(f"matmul_batch_{name}", op, [a, b], attrs)
                yield case(f"matmul_batch_const_{name}", op, [a, b], attrs, const=(1,))
                yield case(f"matmul_one_b_{name}", op, [a, b[0]], attrs)
                yield case(f"matmul_one_a_{name}", op, [a[0], b], attrs)
                yield case(f"matmul_broadcast_{name}", op, [a[:, None], b[None]], attrs)
                for ba in (0, 1):
                    for bb in (0, 1):
                        if ba or bb:
                            x = np.moveaxis(a, 0, 1) if ba else a
                            y = np.moveaxis(b, 0, 1) if bb else b
                            more = {**attrs, "transBatchA": ba, "transBatchB": bb}
                            yield case(f"matmul_turn_{ba}{bb}{name}", op, [np.ascontiguousarray(x), np.ascontiguousarray(y)], more)
                            yield case(f"matmul_turn_const_{ba}{bb}{name}", op,
                                       [np.ascontiguousarray(x), np.ascontiguousarray(y)], more, const=(1,))
    for dtype, word, tol in ((F16, "f16", LOOSE), (BF16, "bf16", BF)):
        for ta in (0, 1):
            for tb in (0, 1):
                a, b = rand(*((2, 7, 5) if ta else (2, 5, 7)), dtype=dtype), rand(*((2, 6, 7) if tb else (2, 7, 6)), dtype=dtype)
                yield given(f"matmul_{ta}{tb}_{word}", op, [a, b],
                            lambda a, b: 0.5 * (a.swapaxes(1, 2) if ta else a) @ (b.swapaxes(1, 2) if tb else b),
                            {"transA": ta, "transB": tb, "alpha": 0.5})
    yield case("matmul_vectors", op, [rand(7), rand(7)])
    yield case("matmul_vector_a", op, [rand(7), rand(2, 7, 3)])
    yield case("matmul_vector_b", op, [rand(2, 3, 7), rand(7)])
    yield case("matmul_vector_trans", op, [rand(2, 3, 7), rand(7)], {"transB": 1})
    yield case("matmul_large", op, [rand(2, 130, 300), rand(2, 90, 300)], {"transB": 1, "alpha": 0.125}, rtol=1e-3, atol=1e-4)
    yield case("matmul_empty_k", op, [rand(3, 0), rand(4, 0)], {"transB": 1}, expected=[np.zeros((3, 4), np.float32)])
    yield case("matmul_empty", op, [rand(0, 3, 5), rand(0, 4, 5)], {"transB": 1}, expected=[np.zeros((0, 3, 4), np.float32)])
    yield case("matmul_inner", op, [rand(3, 4), rand(3, 4)], exit=3)
    yield case("matmul_batches", op, [rand(2, 3, 4), rand(3, 4, 5)], exit=3)
    yield case("matmul_turn_ranks", op, [rand(2, 3, 4), rand(4, 5)], {"transBatchA": 1}, exit=3)
    yield case("matmul_scalar", op, [rand(3, 4), np.array(1, np.float32)], exit=3)
    yield case("matmul_int", op, [np.ones((2, 2), np.int32), np.ones((2, 2), np.int32)], exit=4)
    a, b = rand(5, 7), rand(7, 6)
    for word, fn in (("Relu", lambda v: np.maximum(v, 0)), ("Tanh", np.tanh), ("Sigmoid", sigmoid)):
        yield given(f"matmulactivation_{word.lower()}", "FusedMatMulActivation", [a, b], lambda a, b: fn(2 * (a @ b)),
                    {"activation": word, "alpha": 2.0})
    yield given("matmulactivation_leaky", "FusedMatMulActivation", [a, b], lambda a, b: np.where(a @ b < 0, 0.3 * (a @ b), a @ b),
                {"activation": "LeakyRelu", "activation_alpha": 0.3})
    yield case("matmulactivation_missing", "FusedMatMulActivation", [a, b], exit=3)
    yield case("matmulactivation_unknown", "FusedMatMulActivation", [a, b], {"activation": "Nothing"}, exit=3)


def gemms():
    a, b, c = rand(5, 7), rand(7, 6), rand(6)
    fns = {"Relu": {}, "Tanh": {}, "Sigmoid": {}, "Softplus": {}, "Softsign": {}, "LeakyRelu": {"activation_alpha": 0.3},
           "Elu": {"activation_alpha": 0.7}, "HardSigmoid": {"activation_alpha": 0.3, "activation_beta": 0.4},
           "ThresholdedRelu": {"activation_alpha": 0.5}}
    for word, more in fns.items():
        yield case(f"gemm_{word.lower()}", "FusedGemm", [a, b, c], {"activation": word, **more})
    yield case("gemm_trans", "FusedGemm", [a.T.copy(), b.T.copy(), rand(5, 1)],
               {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0, "activation": "Relu"})
    yield case("gemm_const", "FusedGemm", [a, b.T.copy(), c], {"transB": 1, "activation": "Relu"}, const=(1, 2))
    yield case("gemm_no_c", "FusedGemm", [a, b], {"activation": "Relu"})
    yield given("gemm_none", "FusedGemm", [a, b, c], lambda a, b, c: a @ b + c)
    yield given("gemm_leaky_default", "FusedGemm", [a, b], lambda a, b: np.where(a @ b < 0, 0.01 * (a @ b), a @ b), {"activation": "LeakyRelu"})
    yield given("gemm_f16", "FusedGemm", [a.astype(F16), b.astype(F16), c.astype(F16)], lambda a, b, c: np.maximum(a @ b + c, 0), {"activation": "Relu"})
    yield given("gemm_f64", "FusedGemm", [a.astype(float), b.astype(float), c.astype(float)], lambda a, b, c: np.tanh(a @ b + c), {"activation": "Tanh"})
    yield case("gemm_unknown", "FusedGemm", [a, b], {"activation": "Nothing"}, exit=3)
    yield case("gemm_inner", "FusedGemm", [a, a], {"activation": "Relu"}, exit=3)
    for dtype, word in ((np.float32, "f32"), (F16, "f16"), (BF16, "bf16")):
        x, w, bias = rand(2, 5, 7, dtype=dtype), rand(7, 6, dtype=dtype), rand(6, dtype=dtype)
        yield given(f"gemmfastgelu_{word}", "GemmFastGelu", [x, w], lambda x, w: tanh_gelu(x @ w))
        yield given(f"gemmfastgelu_bias_{word}", "GemmFastGelu", [x, w, bias], lambda x, w, b: tanh_gelu(x @ w + b), const=(1,))
    yield case("gemmfastgelu_width", "GemmFastGelu", [x, w, bias[:3]], exit=3)


def convs():
    x, w, b = rand(2, 6, 9, 8), rand(8, 3, 3, 3), rand(8)
    base = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 1], "group": 2}
    fns = {"Relu": [], "Tanh": [], "Sigmoid": [], "LeakyRelu": [0.2], "Clip": [-0.5, 0.5], "HardSigmoid": [0.3, 0.4]}
    for word, params in fns.items():
        attrs = {**base, "activation": word, **({"activation_params": [float(p) for p in params]} if params else {})}
        yield case(f"conv_{word.lower()}", "FusedConv", [x, w, b], attrs)
        yield case(f"conv_const_{word.lower()}", "FusedConv", [x, w, b], attrs, const=(1, 2))
    z = rand(2, 8, 5, 8)
    yield case("conv_z", "FusedConv", [x, w, b, z], {**base, "activation": "Relu"})
    yield case("conv_z_nobias", "FusedConv", [x, w, None, z], {**base, "activation": "Relu"})
    yield case("conv_1d", "FusedConv", [rand(1, 4, 11), rand(5, 4, 3), rand(5)], {"activation": "Relu", "dilations": [2]})
    yield case("conv_3d", "FusedConv", [rand(1, 2, 5, 6, 7), rand(3, 2, 2, 2, 2)], {"activation": "Relu"})
    yield case("conv_none", "FusedConv", [x, w, b], base)
    yield case("conv_z_dims", "FusedConv", [x, w, b, rand(2, 8, 5, 7)], {**base, "activation": "Relu"}, exit=3)
    yield case("conv_unknown", "FusedConv", [x, w, b], {**base, "activation": "Nothing"}, exit=3)
    x16 = [v.astype(F16) for v in (x, w, b)]
    f32 = case("conv_f16", "FusedConv", [v.astype(np.float32) for v in x16], {**base, "activation": "Relu"})
    from peers import ask, build
    yield case("conv_f16", "FusedConv", x16, {**base, "activation": "Relu"},
               expected=[ask(f32, build(f32, False))[0].astype(F16)], **LOOSE)
    for last, plain in (([0, 2, 3, 1], [0, 3, 1, 2]),):
        like = case("like", "FusedConv", [x, w, b, z], {**base, "activation": "Relu"})
        y = np.ascontiguousarray(ask(like, build(like, False))[0].transpose(last))
        xl, zl = np.ascontiguousarray(x.transpose(last)), np.ascontiguousarray(z.transpose(last))
        yield case("conv_nhwc_fused", "NhwcFusedConv", [xl, w, b, zl], {**base, "activation": "Relu"}, expected=[y])
        yield case("conv_nhwc_fused_const", "NhwcFusedConv", [xl, w, b, zl], {**base, "activation": "Relu"}, expected=[y], const=(1, 2))
        like = case("like", "FusedConv", [x, w, b], base)
        y = np.ascontiguousarray(ask(like, build(like, False))[0].transpose(last))
        yield case("conv_nhwc", "NhwcConv", [xl, w, b], base, expected=[y])
        yield case("conv_nhwc_f16", "NhwcConv", [v.astype(F16) for v in (xl, w, b)], base, expected=[y.astype(F16)], rtol=1e-2, atol=1e-2)
        yield case("conv_nhwc_channels", "NhwcConv", [x, w, b], base, exit=3)


def experts():
    t, h, n, e = 9, 12, 10, 4
    x, router = rand(t, h), rand(t, e)
    w1, b1, w2, b2, w3, b3 = rand(e, n, h), rand(e, n), rand(e, h, n), rand(e, h), rand(e, n, h), rand(e, n)
    wide, wide_bias = rand(e, 2 * n, h), rand(e, 2 * n)
    tol = {"rtol": 1e-3, "atol": 1e-4}
    for word in ("relu", "gelu", "silu", "identity"):
        for k in (1, 2, 4):
            yield case(f"moe_{word}_{k}", "MoE", [x, router, w1, b1, w2, b2], {"k": k, "activation_type": word}, **tol)
    a = {"k": 2, "activation_type": "silu", "normalize_routing_weights": 1}
    yield case("moe_const", "MoE", [x, router, w1, b1, w2, b2], a, const=(2, 3, 4, 5), **tol)
    yield case("moe_3d", "MoE", [x.reshape(3, 3, h), router, w1, None, w2], a, **tol)
    yield case("moe_f16", "MoE", [v.astype(F16) for v in (x, router, w1, b1, w2, b2)], a, rtol=2e-2, atol=5e-2)
    yield case("moe_f16_const", "MoE", [v.astype(F16) for v in (x, router, w1, b1, w2, b2)], a, const=(2, 3, 4, 5), rtol=2e-2, atol=5e-2)
    glu = {"k": 2, "activation_type": "swiglu", "activation_alpha": 1.702, "activation_beta": 1.0}
    for limit in ({}, {"swiglu_limit": 1.0}):
        yield case(f"moe_swiglu_{len(limit)}", "MoE", [x, router, wide, wide_bias, w2, b2], {**glu, **limit, "swiglu_fusion": 1}, **tol)

    def formula(x, p, fn, b2):
        p = np.exp(p - p.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        y = np.zeros_like(x)
        for i in range(len(x)):
            for k in np.argsort(-p[i])[:2]:
                y[i] += p[i, k] * (w2[k].astype(float) @ fn(x[i], k) + b2[k])
        return y.astype(np.float32)

    def swiglu(g, lin):
        return g * sigmoid(1.702 * g) * (lin + 1)

    x64, p64 = wide_of(x, router)
    apart = formula(x64, p64, lambda v, k: swiglu(*np.split(wide[k] @ v + wide_bias[k], 2)), b2)
    yield case("moe_swiglu_apart", "MoE", [x, router, wide, wide_bias, w2, b2], {**glu, "swiglu_fusion": 2}, expected=[apart], **tol)
    third = formula(x64, p64, lambda v, k: swiglu(w1[k] @ v + b1[k], w3[k] @ v + b3[k]), b2)
    yield case("moe_swiglu_fc3", "MoE", [x, router, w1, b1, w2, b2, w3, b3], glu, expected=[third], **tol)
    third = formula(x64, p64, lambda v, k: np.maximum(w1[k] @ v + b1[k], 0) * (w3[k] @ v + b3[k]), b2)
    yield case("moe_relu_fc3", "MoE", [x, router, w1, b1, w2, b2, w3, b3], {"k": 2}, expected=[third], **tol)
    yield case("moe_empty", "MoE", [x[:0], router[:0], w1, b1, w2, b2], {"k": 2}, expected=[x[:0]])
    yield case("moe_k", "MoE", [x, router, w1, b1, w2, b2], {"k": 5}, exit=3)
    yield case("moe_activation", "MoE", [x, router, w1, b1, w2, b2], {"activation_type": "other"}, exit=3)
    yield case("moe_router", "MoE", [x, router[:, :3], w1, b1, w2, b2], exit=3)
    yield case("moe_hidden", "MoE", [x, router, w1[:, :, 1:], b1, w2, b2], exit=3)
    yield case("moe_fusion", "MoE", [x, router, w1, b1, w2, b2], {"swiglu_fusion": 1}, exit=3)
    yield case("moe_mixer", "MoE", [x, router, w1, b1, w2, b2], {"use_sparse_mixer": 1}, exit=4)
    for dtype, word in ((np.float32, "f32"), (F16, "f16"), (BF16, "bf16")):
        v = rand(3, 700, dtype=dtype)
        yield given(f"scaledsilu_{word}", "ScaledSiLU", [v], lambda v: 0.5 * v * sigmoid(0.5 * v), {"alpha": 0.5})
    yield case("scaledsilu_ort", "ScaledSiLU", [rand(3, 70), np.array(2, np.float32)])
    yield case("scaledsilu_scale", "ScaledSiLU", [rand(3, 70), rand(2)], exit=3)
    for dtype in (np.float32, np.float64, np.int32, np.int64):
        a, b = (rand(3, 4) * 9).astype(dtype), (rand(4, 5) * 9).astype(dtype)
        yield case(f"sparse_{np.dtype(dtype).name}", "SparseToDenseMatMul", [a.T.copy(), b], {"transA": 1}, expected=[a @ b], rtol=1e-3)


def wide_of(*arrays):
    return [a.astype(np.float64) for a in arrays]


def cases():
    for part in (activations, norms, embeds, groups, softmaxes, products, gemms, convs, experts):
        yield from part()
