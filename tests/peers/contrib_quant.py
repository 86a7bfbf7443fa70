# SPDX-License-Identifier: Apache-2.0
"""com.microsoft: quantised operators."""
import ml_dtypes
import numpy as np
from onnx import TensorProto, helper

from peers import case

F32, F16, BF16 = np.float32, np.float16, ml_dtypes.bfloat16
rng = np.random.default_rng(7)


def floats(*shape, dtype=F32, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(dtype)


def quantize(v, s, z, t):
    low, high = (0, 255) if t is np.uint8 else (-128, 127)
    return np.clip(np.rint(v / s) + z, low, high).astype(t)


def ints(low, high, *shape, dtype=np.uint8):
    return rng.integers(low, high, shape, dtype=np.int64).astype(dtype)


# ---- MatMulNBits, MatMulBnb4 -----------------------------------------------------------------------------


def unpack(blob, bits, count):
    """Codes of each row of bytes, low bits first."""
    parts = [(blob >> s) & ((1 << bits) - 1) for s in range(0, 8, bits)]
    return np.stack(parts, -1).reshape(*blob.shape[:-1], -1)[..., :count].astype(np.float64)


def nbits(name, m, k, n, bits=4, block=32, zero=None, group=None, bias=False, dtype=F32, lead=(), const=True, level=0,
          given=False, tolerance=None):
    blocks = -(-k // block)
    a, b = floats(*lead, m, k, dtype=dtype), ints(0, 256, n, blocks, block * bits // 8)
    scales = np.abs(floats(n, blocks, scale=0.1)).astype(dtype)
    zeros = None
    if zero == "packed":
        zeros = ints(0, 256, n, -(-blocks * bits // 8))
    elif zero == "float":
        zeros = (rng.random((n, blocks)) * (1 << bits)).astype(dtype)
    extra = floats(n, dtype=dtype) if bias else None
    z = np.full((n, blocks), 1 << (bits - 1), np.float64) if zeros is None else \
        unpack(zeros, bits, blocks) if zero == "packed" else zeros.astype(np.float64)
    which = np.arange(k) // block if group is None else group[:k]
    w = (unpack(b, bits, block).reshape(n, -1)[:, :k] - z[:, which]) * scales.astype(np.float64)[:, which]
    y = a.astype(np.float64) @ w.T + (0 if extra is None else extra.astype(np.float64))
    t = tolerance or {F32: 1e-4, F16: 4e-3, BF16: 2e-2}[dtype]
    return case("nbits_" + name, "MatMulNBits", [a, b, scales, zeros, group, extra],
                {"K": k, "N": n, "bits": bits, "block_size": block, "accuracy_level": level},
                const=(1, 2, 3, 4) if const else (), expected=[y.astype(dtype)] if given or dtype == BF16 else None,
                rtol=t, atol=t * float(np.abs(y).max(initial=0) + 1))


def nbits_cases():
    for bits in (2, 4, 8):
        for zero in (None, "packed", "float"):
            # onnxruntime's CPU kernels do not take every pair of bits and zero points: those are given
            given = bits == 2 or zero == "float"
            yield nbits(f"{bits}_{zero}", 3, 96, 40, bits, 32, zero, given=given)
            yield nbits(f"{bits}_{zero}_tail", 2, 100, 33, bits, 16, zero, given=True)
            yield nbits(f"{bits}_{zero}_loose", 5, 100, 33, bits, 32, zero, const=False, given=True)
    yield nbits("one_row", 1, 256, 100, 4, 64, "packed")
    yield nbits("block128", 15, 300, 100, 4, 128, "packed")
    yield nbits("block256", 70, 512, 50, 4, 256)
    yield nbits("block_over_k", 3, 5, 3, 4, 32)
    yield nbits("small", 2, 2, 3, 4, 32, given=True)
    yield nbits("batch", 3, 64, 20, 4, 32, "packed", lead=(2, 2))
    yield nbits("no_rows", 0, 64, 20, 4, 32)
    yield nbits("bias", 3, 64, 20, 4, 32, "packed", bias=True)
    yield nbits("level4", 4, 64, 20, 4, 32, level=4, tolerance=3e-2)
    group = rng.permutation(np.arange(96, dtype=np.int32) // 32).astype(np.int32)
    yield nbits("group", 4, 96, 20, 4, 32, "packed", group=group, given=True)
    yield nbits("group_plain", 4, 96, 20, 4, 32, "packed", group=(np.arange(96) // 32).astype(np.int32), given=True)
    yield nbits("group_plain_no_zeros", 4, 96, 20, 4, 32, group=(np.arange(96) // 32).astype(np.int32))
    yield nbits("group_padded", 4, 90, 20, 4, 32, group=np.sort(group), given=True)
    for dtype in (F16, BF16):
        for zero in (None, "packed", "float"):
            word = np.dtype(dtype).name
            yield nbits(f"{word}_{zero}", 4, 96, 40, 4, 32, zero, dtype=dtype, given=True, bias=zero is None)
            yield nbits(f"{word}_{zero}_loose", 60, 96, 40, 4, 32, zero, dtype=dtype, const=False, given=True)
    a, b, s = floats(2, 64), ints(0, 256, 8, 2, 16), floats(8, 2)
    base = {"K": 64, "N": 8, "bits": 4, "block_size": 32}
    for word, change, inputs in (("bits3", {"bits": 3}, [a, b, s]), ("block", {"block_size": 24}, [a, b, s]),
                                 ("block0", {"block_size": 0}, [a, b, s]), ("k", {"K": 0}, [a, b, s]),
                                 ("shape", {}, [a, b[:7], s]), ("scales", {}, [a, b, s[:, :1]]),
                                 ("a", {}, [a[:, :32], b, s]), ("zeros", {}, [a, b, s, ints(0, 9, 8, 2)]),
                                 ("bias", {}, [a, b, s, None, None, floats(9)]), ("prepacked", {"weight_prepacked": 1}, [a, b, s])):
        yield case("nbits_bad_" + word, "MatMulNBits", inputs, {**base, **change}, symbolic=False,
                   exit=4 if word in ("bits3", "prepacked") else 3)
    yield case("nbits_bad_group", "MatMulNBits", [a, b, s, None, np.full(64, 2, np.int32)], base, exit=3)
    for kind in (0, 1):
        for k, n, block in ((64, 20, 16), (96, 33, 32), (50, 7, 16), (5, 3, 16)):
            for turned in (1, 0):
                yield bnb4(kind, k, n, block, turned)
    yield bnb4(1, 64, 20, 32, 1, F16)
    yield bnb4(0, 64, 20, 32, 1, BF16)


FP4 = [0, 5.208333333e-03, 0.66666667, 1, 0.33333333, 0.5, 0.16666667, 0.25]
NF4 = [-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
       -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
       0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1]


def bnb4(kind, k, n, block, turned, dtype=F32):
    """onnxruntime's CPU kernel takes f32 and transB = 1 only."""
    a, b = floats(2, 3, k if turned else n, dtype=dtype), ints(0, 256, (n * k + 1) // 2)
    absmax = np.abs(floats(-(-n * k // block))).astype(dtype)
    table = np.array(FP4 + [-x for x in FP4] if kind == 0 else NF4)
    codes = np.stack([b >> 4, b & 15], -1).reshape(-1)[:n * k]
    w = (table[codes] * absmax.astype(np.float64)[np.arange(n * k) // block]).reshape(n, k)
    y = (a.astype(np.float64) @ (w.T if turned else w)).astype(dtype)
    t = {F32: 1e-4, F16: 4e-3, BF16: 2e-2}[dtype]
    return case(f"bnb4_{kind}_{k}_{n}_{turned}_{np.dtype(dtype).name}", "MatMulBnb4", [a, b, absmax],
                {"K": k, "N": n, "block_size": block, "quant_type": kind, "transB": turned}, const=(1, 2),
                expected=[y] if dtype != F32 or not turned else None, rtol=t, atol=t)


# ---- GatherBlockQuantized --------------------------------------------------------------------------------


def gather(name, shape, indices, bits=4, block=16, quantize=1, axis=0, kind="uint8", zero=False, dtype=F32, int_type=np.int64):
    each = 8 // bits if kind == "uint8" else 1
    scale_shape = list(shape)
    scale_shape[quantize] = -(-shape[quantize] // block)
    scales = floats(*scale_shape, dtype=dtype)
    if kind == "uint8":
        data = ints(0, 256, *shape[:-1], shape[-1] // each)
        zeros = ints(0, 256, *scale_shape[:-1], -(-scale_shape[-1] // each)) if zero else None
    else:
        t = ml_dtypes.int4 if kind == "int4" else ml_dtypes.uint4
        low, high = (-8, 8) if kind == "int4" else (0, 16)
        data = ints(low, high, *shape, dtype=t)
        zeros = ints(low, high, *scale_shape, dtype=t) if zero else None
    return case("gather_" + name, "GatherBlockQuantized", [data, np.array(indices, int_type), scales, zeros],
                {"bits": bits, "block_size": block, "quantize_axis": quantize, "gather_axis": axis}, const=(0, 2, 3),
                types=[TensorProto.FLOAT if dtype == F32 else TensorProto.FLOAT16], rtol=0, atol=0)


def gather_cases():
    for bits in (2, 4, 8):
        for zero in (False, True):
            yield gather(f"uint8_{bits}_{zero}", (9, 64), [[0, 8, -1], [3, 4, -9]], bits, 16, -1, 0, zero=zero)
            yield gather(f"uint8_{bits}_{zero}_3d", (5, 3, 48), [4, 0], bits, 32, 2, 0, zero=zero, dtype=F16, int_type=np.int32)
    yield gather("uint8_range", (9, 64), [0, 9, -10, 100], 4, 32, 1, 0)
    yield gather("scalar_index", (9, 64), 3, 4, 32, 1, 0)
    yield gather("no_index", (9, 64), np.zeros((0, 2)), 4, 32, 1, 0)
    for kind in ("int4", "uint4"):
        for zero in (False, True):
            for shape, quantize, axis in (((9, 64), 1, 0), ((40, 10), 0, 1), ((40, 10), 0, 0), ((4, 33, 6), 1, 1),
                                          ((4, 33, 6), 1, 2), ((4, 6, 33), -1, -2)):
                for dtype in (F32, F16):
                    name = f"{kind}_{zero}_{len(shape)}_{quantize}_{axis}_{np.dtype(dtype).name}"
                    yield gather(name, shape, [[0, 3, -1], [2, 2, -2]], 4, 16, quantize, axis, kind, zero, dtype)
    for kind in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float4_e2m1fn"):
        t = getattr(ml_dtypes, kind)
        data = floats(6, 40).astype(t)
        for word, scales, block in (("blocks", floats(6, 3), 16), ("row", floats(6, 1), 0), ("one", floats(1, 1), 0)):
            full = np.repeat(scales.astype(np.float64), block or 40, 1)[:, :40]
            y = (data.astype(np.float64) * full)[[1, 5, 0]].astype(F32)
            yield case(f"gather_{kind}_{word}", "GatherBlockQuantized", [data, np.array([1, 5, 0]), scales],
                       {"block_size": block}, const=(0, 2), types=[TensorProto.FLOAT], expected=[y], rtol=0, atol=0)
    d, i, s = ints(0, 256, 4, 16), np.array([1]), floats(4, 1)
    for word, attrs, inputs in (("block", {"block_size": 20}, [d, i, s]), ("bits", {"bits": 3, "block_size": 32}, [d, i, s]),
                                ("axis", {"gather_axis": 1, "block_size": 32}, [d, i, s]),
                                ("quantize", {"quantize_axis": 2, "block_size": 32}, [d, i, s]),
                                ("scales", {"block_size": 16}, [d, i, s]), ("rank", {"block_size": 32}, [d, i, s[0]]),
                                ("zeros", {"block_size": 32}, [d, i, s, ints(0, 2, 4, 2)])):
        yield case("gather_bad_" + word, "GatherBlockQuantized", inputs, attrs, types=[TensorProto.FLOAT], exit=3, symbolic=False)


# ---- QuantizeLinear, DequantizeLinear --------------------------------------------------------------------


def linear_cases():
    kinds = {"uint8": (np.uint8, 0, 256), "int8": (np.int8, -128, 128), "uint16": (np.uint16, 0, 65536),
             "int16": (np.int16, -32768, 32768), "uint4": (ml_dtypes.uint4, 0, 16), "int4": (ml_dtypes.int4, -8, 8)}
    for word, (t, low, high) in kinds.items():
        number = getattr(TensorProto, word.upper())
        for dtype in (F32, F16):
            d = np.dtype(dtype).name
            x = floats(3, 4, 5, dtype=dtype, scale=(high - low) / 60)
            for per, attrs, shape in (("tensor", {}, ()), ("one", {}, (1,)), ("axis1", {"axis": 1}, (4,)), ("axis2", {"axis": -1}, (5,))):
                s = np.asarray(np.abs(np.asarray(floats(*shape))) * 0.1 + 0.05, dtype)
                zero = np.asarray(ints(max(low, -30), min(high, 40), *shape, dtype=t))
                # 4-bit types are initializers: the oracle's Python binding takes none as inputs
                const = (0, 2) if "int4" in word else ()
                # nor does it give them as outputs
                spread = [-1 if k == attrs.get("axis", 0) % 3 else 1 for k in range(3)] if shape and shape != (1,) else [1] * 3
                v = np.rint(x.astype(F32) / s.astype(F32).reshape(spread)) + zero.astype(F32).reshape(spread)
                yield case(f"quantize_{word}_{d}_{per}", "QuantizeLinear", [x, s, zero], attrs, types=[number], const=const[1:],
                           expected=[np.clip(v, low, high - 1).astype(t)] if const else None)
                yield case(f"dequantize_{word}_{d}_{per}", "DequantizeLinear", [ints(low, high, 3, 4, 5, dtype=t), s, zero],
                           attrs, types=[TensorProto.FLOAT if dtype == F32 else TensorProto.FLOAT16], const=const, rtol=0, atol=0)
    ties, one = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 300, -300, 127.5], F32), np.array(1, F32)
    yield case("quantize_ties", "QuantizeLinear", [ties, one, np.array(0, np.int8)], types=[TensorProto.INT8])
    yield case("quantize_no_zero", "QuantizeLinear", [ties, one], types=[TensorProto.UINT8])
    yield case("dequantize_int32", "DequantizeLinear", [ints(-9999, 9999, 7, dtype=np.int32), np.array(0.01, F32)], types=[TensorProto.FLOAT])
    yield case("quantize_none", "QuantizeLinear", [floats(0, 3), one, np.array(0, np.uint8)], types=[TensorProto.UINT8])
    yield case("quantize_bad_axis", "QuantizeLinear", [floats(2, 3), floats(3), ints(0, 9, 3)], {"axis": 2},
               types=[TensorProto.UINT8], exit=3)
    yield case("quantize_bad_count", "QuantizeLinear", [floats(2, 3), floats(2), ints(0, 9, 2)], {"axis": 1},
               types=[TensorProto.UINT8], exit=3)


# ---- QLinear: pairs, tables, softmax, concat -------------------------------------------------------------

BYTES = {"uint8": (np.uint8, 0, 256), "int8": (np.int8, -128, 128)}


def scale(value):
    return np.array(value, F32)


def byte(t, *shape):
    low, high = (0, 256) if t is np.uint8 else (-128, 128)
    return ints(low, high, *shape, dtype=t)


def pair_cases():
    for word, (t, low, high) in BYTES.items():
        mid = np.array((low + high) // 2 - 3, t)
        for op in ("QLinearAdd", "QLinearMul"):
            # QLinearAdd: onnxruntime rounds the scales' quotients and a constant term first
            quantum = 1 if op == "QLinearAdd" else 0
            out = scale(0.03 if op == "QLinearAdd" else 0.02)
            for a, b in (((3, 4, 50), (3, 4, 50)), ((3, 4, 50), (50,)), ((2, 1, 5), (3, 1)), ((70,), ()), ((), (2, 33)), ((0, 3), (1, 3))):
                name = f"{op}_{word}_{'x'.join(map(str, a))}_{'x'.join(map(str, b))}"
                yield case(name, op, [byte(t, *a), scale(0.02), mid, byte(t, *b), scale(0.015), np.array(low + 9, t), out, mid], quantum=quantum)
            # onnxruntime refuses absent inputs in the middle
            a, b = byte(t, 600), byte(t, 600)
            fa, fb = a.astype(F32) * F32(0.02), b.astype(F32) * F32(0.01)
            want = quantize(fa + fb if op == "QLinearAdd" else fa * fb, F32(out), 0, t)
            yield case(f"{op}_{word}_no_zeros", op, [a, scale(0.02), None, b, scale(0.01), None, out], expected=[want], quantum=1)
            yield case(f"{op}_{word}_bad_scale", op, [byte(t, 6), floats(2), mid, byte(t, 6), scale(1), mid, scale(1), mid], exit=3)
        other = byte(np.int8 if t is np.uint8 else np.uint8, 6)
        yield case(f"pair_{word}_bad_type", "QLinearAdd", [byte(t, 6), scale(1), mid, other, scale(1), other[0], scale(1), mid], exit=3)
        for c, x, y in (((3, 40), (3, 40), (3, 40)), ((3, 1), (1, 40), ()), ((40,), (3, 1), (3, 40))):
            yield case(f"where_{word}_{len(c)}_{len(x)}_{len(y)}", "QLinearWhere",
                       [rng.random(c) < 0.5, byte(t, *x), scale(0.02), mid, byte(t, *y), scale(0.03), np.array(low + 9, t), scale(0.025), mid],
                       types=[getattr(TensorProto, word.upper())])
        a, b = byte(t, 3, 40), byte(t, 40)
        want = (a.astype(np.int32) - int(mid)) * (b.astype(np.int32) - 5)
        # no kernel of onnxruntime's CPU provider
        yield case(f"mul_integer_{word}", "MulInteger", [a, mid, b, np.array(5, t)], types=[TensorProto.INT32], expected=[want])
        yield case(f"mul_integer_{word}_no_zeros", "MulInteger", [a, None, b], types=[TensorProto.INT32],
                   expected=[a.astype(np.int32) * b.astype(np.int32)])
        every = np.arange(low, high).astype(t)
        for s in (0.01, 0.05, 0.7):
            yield case(f"leaky_{word}_{s}", "QLinearLeakyRelu", [every, scale(s), mid, scale(0.04), np.array(low + 60, t)], {"alpha": 0.2})
            yield case(f"sigmoid_{word}_{s}", "QLinearSigmoid", [every, scale(s), mid, scale(1 / 256), np.array(low, t)])
        v = every.astype(F32) * F32(0.1)
        yield case(f"leaky_{word}_no_zeros", "QLinearLeakyRelu", [every, scale(0.1), None, scale(0.04)],
                   expected=[quantize(np.where(v < 0, v * F32(0.01), v), F32(0.04), 0, t)], quantum=1)
        yield case(f"sigmoid_{word}_big", "QLinearSigmoid", [byte(t, 2, 3, 5000), scale(0.03), mid, scale(0.004), None])
        # QLinearSoftmax: onnxruntime takes 1 / y_scale for an integer and exp from a table in f32
        for opset, axis, shape in ((12, 1, (3, 4, 5)), (13, 1, (3, 4, 5)), (13, -1, (3, 70)), (13, 0, (7, 3)), (12, 2, (3, 4, 5)), (11, -1, (3, 30))):
            yield case(f"softmax_{word}_{opset}_{axis}_{len(shape)}", "QLinearSoftmax",
                       [byte(t, *shape), scale(0.04), mid, scale(1 / 256), np.array(low, t)], {"opset": opset, "axis": axis}, quantum=1)
        yield case(f"softmax_{word}_bad_axis", "QLinearSoftmax", [byte(t, 3, 4), scale(0.04), mid, scale(0.1), mid], {"opset": 13, "axis": 2}, exit=3)
        for axis in (0, 1, -1):
            shapes = [[3, 4, 5], [3, 4, 5], [3, 4, 5]]
            shapes[1][axis], shapes[2][axis] = 9, 1
            inputs = [scale(0.03), mid]
            for k, shape in enumerate(shapes):
                inputs += [byte(t, *shape), scale([0.03, 0.02, 0.1][k]), np.array([int(mid), low, low + 99][k], t)]
            yield case(f"concat_{word}_{axis}", "QLinearConcat", inputs, {"axis": axis}, types=[getattr(TensorProto, word.upper())])
        inputs = [scale(0.03), mid, byte(t, 40, 1000), scale(0.02), mid, byte(t, 40, 2000), scale(0.04), mid]
        yield case(f"concat_{word}_big", "QLinearConcat", inputs, {"axis": 1}, types=[getattr(TensorProto, word.upper())])
        yield case(f"concat_{word}_one", "QLinearConcat", inputs[:5], {"axis": 1}, types=[getattr(TensorProto, word.upper())])
        yield case(f"concat_{word}_bad_count", "QLinearConcat", inputs[:7], {"axis": 1}, types=[getattr(TensorProto, word.upper())], exit=3)
        yield case(f"concat_{word}_bad_shape", "QLinearConcat", inputs[:5] + [byte(t, 3, 4), scale(1), mid], {"axis": 1},
                   types=[getattr(TensorProto, word.upper())], exit=3)


# ---- pools, sums -----------------------------------------------------------------------------------------


def pool_cases():
    for word, (t, low, high) in BYTES.items():
        mid, out = np.array((low + high) // 2 - 3, t), np.array(low + 60, t)
        q = [scale(0.02), mid, scale(0.015), out]
        for k, (shape, attrs) in enumerate((
                ((2, 3, 12, 11), {"kernel_shape": [3, 3]}),
                ((2, 3, 12, 11), {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}),
                ((2, 3, 12, 11), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
                ((2, 3, 12, 11), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
                ((2, 3, 12, 11), {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
                ((1, 5, 30), {"kernel_shape": [4], "strides": [3]}),
                ((1, 2, 5, 6, 7), {"kernel_shape": [2, 3, 2], "pads": [1, 1, 0, 0, 1, 1]}))):
            # onnxruntime sums f32 values
            yield case(f"average_{word}_{k}", "QLinearAveragePool", [byte(t, *shape), *q], attrs, quantum=1)
            nhwc = (shape[0], *shape[2:], shape[1])
            yield case(f"average_nhwc_{word}_{k}", "QLinearAveragePool", [byte(t, *nhwc), *q], {**attrs, "channels_last": 1}, quantum=1)
            rest = {a: v for a, v in attrs.items() if a != "count_include_pad"}
            yield case(f"max_nhwc_{word}_{k}", "NhwcMaxPool", [byte(t, *nhwc)], rest)
        yield case(f"max_nhwc_{word}_dilated", "NhwcMaxPool", [byte(t, 1, 12, 13, 40)], {"kernel_shape": [2, 3], "dilations": [2, 3]})
        yield case(f"average_{word}_bad", "QLinearAveragePool", [byte(t, 1, 2, 5, 5), *q], {"kernel_shape": [3]}, exit=3)
        x = byte(t, 1, 2, 3, 3)
        want = quantize(x.astype(F32).mean((2, 3), keepdims=True) * F32(0.02), F32(0.03), 0, t)
        yield case(f"average_{word}_no_zeros", "QLinearAveragePool", [x, scale(0.02), None, scale(0.03)], {"kernel_shape": [3, 3]},
                   expected=[want], quantum=1)
        for last in (0, 1):
            for shape in ((2, 3, 7, 9), (1, 8, 20, 20), (3, 5, 11)):
                yield case(f"global_{word}_{last}_{len(shape)}_{shape[1]}", "QLinearGlobalAveragePool", [byte(t, *shape), *q], {"channels_last": last},
                           quantum=1)
        x = byte(t, 3, 4, 5)
        v = (x.astype(np.float64) - int(mid)) * 0.02
        for axes in ([1], [0, 2], [-1], [0, 1, 2]):
            for keep in (0, 1):
                # no kernels of onnxruntime's CPU provider
                mean = np.clip(np.rint(v.mean(tuple(axes), keepdims=bool(keep)) / 0.015) + int(out), low, high - 1).astype(t)
                yield case(f"mean_{word}_{len(axes)}_{axes[0]}_{keep}", "QLinearReduceMean", [x, *q], {"axes": axes, "keepdims": keep},
                           expected=[np.asarray(mean)], quantum=1)
                total = x.astype(np.int64).sum(tuple(axes), keepdims=bool(keep)).astype(np.int32 if low else np.uint32)
                yield case(f"sum_{word}_{len(axes)}_{axes[0]}_{keep}", "ReduceSumInteger", [x], {"axes": axes, "keepdims": keep},
                           types=[TensorProto.INT32 if low else TensorProto.UINT32], expected=[np.asarray(total)])
        yield case(f"sum_{word}_bad", "ReduceSumInteger", [x], {"axes": [3], "keepdims": 1}, types=[TensorProto.INT32], exit=3)


# ---- DynamicQuantizeLSTM ---------------------------------------------------------------------------------


def lstm(name, seq, batch, size, hidden, dirs=1, t=np.int8, per="tensor", bias=True, state=True, lens=None, peep=False,
         attrs=None, outputs=("y", "h", "c"), tolerance=2e-3, **more):
    gates = 4 * hidden
    shape = (dirs,) if per == "tensor" else (dirs, gates)
    zero = np.zeros(shape, t) if t is np.int8 else np.full(shape, 117, t)
    way = {1: {}, 2: {"direction": "bidirectional"}}[dirs]
    inputs = [floats(seq, batch, size), byte(t, dirs, size, gates), byte(t, dirs, hidden, gates),
              floats(dirs, 2 * gates, scale=0.3) if bias else None, None if lens is None else np.array(lens, np.int32),
              floats(dirs, batch, hidden, scale=0.3) if state else None, floats(dirs, batch, hidden, scale=0.3) if state else None,
              floats(dirs, 3 * hidden, scale=0.2) if peep else None,
              (rng.random(shape) * 0.003 + 0.002).astype(F32), zero, (rng.random(shape) * 0.003 + 0.002).astype(F32), zero]
    return case("lstm_" + name, "DynamicQuantizeLSTM", inputs, {"hidden_size": hidden, **way, **(attrs or {})}, outputs=outputs,
                const=(1, 2, 8, 9, 10, 11), types=[TensorProto.FLOAT] * 3, rtol=tolerance, atol=tolerance, **more)


def lstm_cases():
    for t in (np.int8, np.uint8):
        for per in ("tensor", "gates"):
            for dirs in (1, 2):
                yield lstm(f"{np.dtype(t).name}_{per}_{dirs}", 7, 1, 10, 6, dirs, t, per)
    yield lstm("reverse", 5, 1, 4, 8, attrs={"direction": "reverse"})
    yield lstm("peep", 5, 1, 4, 8, peep=True)
    yield lstm("bare", 5, 1, 4, 8, bias=False, state=False)
    yield lstm("large", 3, 1, 300, 280, 2, tolerance=4e-3)
    yield lstm("only_last", 5, 1, 4, 8, outputs=("", "h"))
    yield lstm("activations", 5, 1, 4, 8, attrs={"activations": ["HardSigmoid", "Softsign", "Relu"], "activation_alpha": [0.3],
                                                 "activation_beta": [0.4]})
    yield lstm("forget", 5, 1, 4, 8, attrs={"input_forget": 1})
    yield lstm("clip", 5, 1, 4, 8, attrs={"clip": 0.5})
    # onnxruntime takes the 256 steps over all rows of the batch, here each row has its own: the steps differ
    yield lstm("batch", 6, 4, 10, 6, 2, tolerance=3e-2)
    yield lstm("lens", 6, 3, 10, 6, 2, lens=[6, 2, 4], tolerance=3e-2)
    yield lstm("bad_hidden", 5, 1, 4, 8, attrs={"hidden_size": 9}, exit=3)
    c = lstm("bad_scale", 5, 1, 4, 8, exit=3)
    c["inputs"][8] = floats(2)
    yield c


# ---- products of bytes -----------------------------------------------------------------------------------


def product_cases():
    for ta in (np.uint8, np.int8):
        for tb in (np.uint8, np.int8):
            word = f"{np.dtype(ta).name}_{np.dtype(tb).name}"
            a, b = byte(ta, 2, 7, 40), byte(tb, 40, 33)
            za, zb = np.array(5, ta), np.array(3 if tb is np.uint8 else 0, tb)
            if ta is np.int8 and tb is np.uint8:  # onnxruntime has no kernel
                want = ((a.astype(np.int64) - 5) @ (b.astype(np.int64) - 3) * 0.0002).astype(F32)
                yield case(f"to_float_{word}", "MatMulIntegerToFloat", [a, b, scale(0.02), scale(0.01), za, zb],
                           types=[TensorProto.FLOAT], expected=[want])
                continue
            for const in ((), (1, 5)):
                extra = "_const" if const else ""
                yield case(f"to_float_{word}{extra}", "MatMulIntegerToFloat", [a, b, scale(0.02), scale(0.01), za, zb, floats(33)],
                           types=[TensorProto.FLOAT], const=const)
                yield case(f"to_float_{word}_columns{extra}", "MatMulIntegerToFloat",
                           [a, b, scale(0.02), np.abs(floats(33)) * F32(0.01), za, np.full(33, zb), None], types=[TensorProto.FLOAT], const=const)
            yield case(f"to_float_{word}_bare", "MatMulIntegerToFloat", [a, b, scale(0.02), scale(0.01)], types=[TensorProto.FLOAT])
            want = (a.astype(np.int64) - int(za)) @ (b.astype(np.int64) - int(zb)) * 0.0002
            yield case(f"to_float_{word}_half", "MatMulIntegerToFloat", [a, b, scale(0.02).astype(F16), scale(0.01).astype(F16), za, zb],
                       types=[TensorProto.FLOAT16], expected=[want.astype(F16)], rtol=2e-3, atol=1e-2)
            for ty in (np.uint8, np.int8):
                # onnxruntime has kernels for these only
                if ty is not ta:
                    continue
                y = np.dtype(ty).name
                q = [scale(0.9), np.array(17, ty)]
                for turn_a, turn_b, c in ((0, 0, (33,)), (1, 0, (7, 1)), (0, 1, (7, 33)), (1, 1, None), (0, 0, (1, 33)), (0, 0, ())):
                    x, w = byte(ta, *((40, 7) if turn_a else (7, 40))), byte(tb, *((33, 40) if turn_b else (40, 33)))
                    bias = None if c is None else np.asarray(ints(-5000, 5000, *c, dtype=np.int32))
                    attrs = {"transA": turn_a, "transB": turn_b, "alpha": 1.5}
                    name = f"{word}_{y}_{turn_a}{turn_b}_{'none' if c is None else len(c)}"
                    if c == (1, 33):
                        name += "_row"
                    yield case(f"qgemm_{name}", "QGemm", [x, scale(0.02), za, w, scale(0.01), zb, bias, *q], attrs,
                               types=[helper.np_dtype_to_tensor_dtype(np.dtype(ty))], const=(3, 5))
                    yield case(f"qgemm_{name}_float", "QGemm", [x, scale(0.02), za, w, np.abs(floats(33)) * F32(0.01), np.full(33, zb), bias],
                               attrs, types=[TensorProto.FLOAT])
    for t in (np.uint8, np.int8):
        word = np.dtype(t).name
        a, b, z = floats(2, 7, 40), byte(t, 40, 33), np.array(3 if t is np.uint8 else 0, t)
        for const in ((), (1, 3)):
            extra = "_const" if const else ""
            yield case(f"dynamic_{word}{extra}", "DynamicQuantizeMatMul", [a, b, scale(0.01), z, floats(33)], const=const)
            yield case(f"dynamic_{word}_columns{extra}", "DynamicQuantizeMatMul", [a, b, np.abs(floats(33)) * F32(0.01), np.full(33, z)], const=const)
        yield case(f"dynamic_{word}_bare", "DynamicQuantizeMatMul", [a[0], b, scale(0.01)])
        yield case(f"dynamic_{word}_large", "DynamicQuantizeMatMul", [floats(90, 600), byte(t, 600, 140), scale(0.01), z], const=(1,), rtol=1e-3, atol=1e-2)
        yield case(f"dynamic_{word}_none", "DynamicQuantizeMatMul", [floats(0, 40), b, scale(0.01)])
    yield case("dynamic_bad_bias", "DynamicQuantizeMatMul", [a, b, scale(0.01), z, floats(32)], exit=3)
    yield case("dynamic_bad_k", "DynamicQuantizeMatMul", [floats(3, 39), b, scale(0.01)], exit=3)
    yield case("qgemm_bad_c", "QGemm", [byte(np.uint8, 3, 4), scale(1), np.array(1, np.uint8), byte(np.uint8, 4, 5), scale(1),
                                        np.array(1, np.uint8), ints(0, 5, 4, dtype=np.int32)], types=[TensorProto.FLOAT], exit=3)
    for ta in (np.int16, np.uint16):
        for tb in (np.int16, np.uint16):
            both = ta is tb is np.uint16
            for sa, sb in (((7, 40), (40, 9)), ((2, 1, 7, 5), (3, 5, 4)), ((5,), (5, 3)), ((2, 3, 5), (5,)), ((2, 3, 0), (0, 4))):
                a, b = ints(-3000 if ta is np.int16 else 0, 3000, *sa, dtype=ta), ints(-3000 if tb is np.int16 else 0, 3000, *sb, dtype=tb)
                want = np.matmul(a.astype(np.int64), b.astype(np.int64)).astype(np.uint32 if both else np.int32)
                yield case(f"wide_{np.dtype(ta).name}_{np.dtype(tb).name}_{len(sa)}_{len(sb)}_{sa[-1]}", "MatMulInteger16", [a, b],
                           types=[TensorProto.UINT32 if both else TensorProto.INT32],
                           expected=None if ta is tb is np.int16 and sa[-1] else [want])


# ---- QLinearConv -----------------------------------------------------------------------------------------


def conv_cases():
    for tx in (np.uint8, np.int8):
        for tw in (np.uint8, np.int8):
            # onnxruntime takes unsigned weights with an unsigned image only
            if tx is np.int8 and tw is np.uint8:
                continue
            for k, (shape, weights, attrs) in enumerate((
                    ((2, 4, 9, 10), (6, 4, 3, 3), {}),
                    ((1, 8, 9, 10), (8, 1, 3, 3), {"group": 8, "pads": [1, 1, 1, 1]}),
                    ((1, 6, 12, 7), (4, 3, 3, 2), {"group": 2, "strides": [2, 1], "pads": [0, 1, 2, 0], "dilations": [2, 1]}),
                    ((1, 40, 5, 5), (7, 40, 3, 3), {"auto_pad": "SAME_UPPER"}),
                    ((1, 3, 20, 20), (2, 3, 17, 17), {}),
                    ((2, 5, 30), (3, 5, 4), {"strides": [3]}),
                    ((1, 2, 5, 6, 7), (3, 2, 2, 3, 2), {}),
                    ((1, 32, 8, 8), (16, 32, 1, 1), {}))):
                zw = np.array(119 if tw is np.uint8 else 0, tw)
                rest = [np.abs(floats(weights[0])) * F32(0.01) + F32(0.001) if k % 2 and tw is np.int8 else scale(0.01),
                        np.full(weights[0], zw) if k % 2 and tw is np.int8 else zw, scale(0.6), np.array(9, tx)]
                if k % 3:
                    rest.append(ints(-3000, 3000, weights[0], dtype=np.int32))
                head = [scale(0.02), np.array(7, tx), byte(tw, *weights)]
                nhwc = (shape[0], *shape[2:], shape[1])
                name = f"conv_{np.dtype(tx).name}_{np.dtype(tw).name}_{k}"
                types = [helper.np_dtype_to_tensor_dtype(np.dtype(tx))]
                yield case(name, "QLinearConv", [byte(tx, *shape), *head, *rest], attrs, types=types, const=(3, 4, 5))
                yield case(name + "_nhwc", "QLinearConv", [byte(tx, *nhwc), *head, *rest], {**attrs, "channels_last": 1}, types=types,
                           const=(3, 4, 5) if k % 2 == 0 else ())
    yield case("conv_bad", "QLinearConv", [byte(tx, 1, 5, 5, 3), scale(1), np.array(0, tx), byte(tw, 2, 4, 3, 3), scale(1), np.array(0, tw), scale(1),
                                           np.array(0, tx)], {"channels_last": 1}, exit=3)


# ---- QEmbedLayerNormalization ----------------------------------------------------------------------------


def embed(name, t, segments=True, mask=True, batch=2, length=5, n=24, ids=None, **more):
    tables = [byte(t, 30, n), byte(t, 9, n), byte(t, 2, n) if segments else None, byte(t, n), byte(t, n)]
    has = [x is not None for x in tables]
    return case("embed_" + name, "QEmbedLayerNormalization",
                [ints(0, 30, batch, length, dtype=np.int32) if ids is None else np.array(ids, np.int32),
                 ints(0, 2, batch, length, dtype=np.int32) if segments else None, *tables,
                 np.sort(ints(0, 2, batch, length, dtype=np.int32))[:, ::-1].copy() if mask else None,
                 *[np.array(0.01 + 0.003 * k, F32) if has[k] else None for k in range(5)],
                 *[np.array(3 * k, t) if has[k] else None for k in range(5)]],
                outputs=("y", "m"), types=[TensorProto.FLOAT, TensorProto.INT32], **more)


def embed_cases():
    for t in (np.uint8, np.int8):
        for segments in (False, True):
            for mask in (False, True):
                yield embed(f"{np.dtype(t).name}_{segments}_{mask}", t, segments, mask)
    yield embed("large", np.uint8, True, True, 3, 9, 700)
    yield embed("bad_id", np.uint8, True, True, ids=[[0, 1, 2, 3, 30]] * 2, exit=3)
    yield embed("bad_length", np.uint8, True, True, length=10, exit=3)


# ---- QAttention ------------------------------------------------------------------------------------------


def attention(name, tx=np.uint8, tw=np.int8, batch=2, rows=5, inner=12, heads=3, size=4, mask=None, past=None, columns=False,
              present=False, attrs=None, zeros=True, const=(), step=0.01, **more):
    n = 3 * heads * size
    zw = np.array(0 if tw is np.int8 else 120, tw)
    inputs = [byte(tx, batch, rows, inner), byte(tw, inner, n), floats(n), np.array(0.02, F32),
              np.abs(floats(n)) * F32(step) if columns else np.array(step, F32), None if mask is None else np.array(mask, np.int32),
              np.array(7, tx) if zeros else None, (np.full(n, zw) if columns else zw) if zeros else None,
              None if past is None else floats(2, batch, heads, past, size)]
    return case("attention_" + name, "QAttention", inputs, {"num_heads": heads, **(attrs or {})},
                outputs=("y", "p") if present or past is not None else ("y",), types=[TensorProto.FLOAT] * 2, const=const,
                rtol=1e-3, atol=1e-4, **more)


def attention_cases():
    for tx in (np.uint8,):
        for tw in (np.uint8, np.int8):
            for const in ((), (1, 7)):
                word = f"{np.dtype(tw).name}_{len(const)}"
                yield attention(word, tx, tw, const=const)
                yield attention(f"{word}_columns", tx, tw, columns=True, const=const)
    yield attention("mask", mask=[3, 5])
    yield attention("mask_2d", mask=[[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    yield attention("unidirectional", attrs={"unidirectional": 1})
    yield attention("past", past=3, attrs={"unidirectional": 1})
    yield attention("past_both", past=3)
    yield attention("past_mask", past=2, mask=[[1, 1, 1, 0, 0, 1, 1], [1] * 7], attrs={"unidirectional": 1})
    yield attention("present", present=True)
    yield attention("large", batch=1, rows=40, inner=300, heads=8, size=32, step=0.0003)
    yield attention("bad_heads", heads=3, attrs={"num_heads": 5}, exit=3)
    yield attention("rotary", attrs={"do_rotary": 1}, exit=4)


def cases():
    yield from nbits_cases()
    yield from gather_cases()
    yield from linear_cases()
    yield from pair_cases()
    yield from pool_cases()
    yield from lstm_cases()
    yield from product_cases()
    yield from conv_cases()
    yield from embed_cases()
    yield from attention_cases()
