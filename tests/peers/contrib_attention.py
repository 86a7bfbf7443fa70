# SPDX-License-Identifier: Apache-2.0
"""com.microsoft attention of projected or merged Q, K and V, beside onnxruntime where its CPU kernels have the
form, beside NumPy in double otherwise."""
import itertools

import numpy as np

from peers import case

R = np.random.default_rng(11)
F16 = {"rtol": 4e-3, "atol": 2e-3}


def f(*dims, dtype=np.float32):
    return (R.standard_normal(dims) * 0.5).astype(dtype)


def i32(v):
    return np.array(v, np.int32)


def attend(q, k, v, scale=None, masks=(), causal=None, weights=False):
    """[B, N, S, H] by [B, N, T, H]: y as [B, S, N * Hv], and the scores. causal: keys before the first row."""
    q, k, v = (a.astype(np.float64) for a in (q, k, v))
    s = q @ k.swapaxes(2, 3) * (scale or 1 / np.sqrt(q.shape[3]))
    for m in masks:
        s = s + m
    if causal is not None:
        at = np.arange(s.shape[3]) - np.arange(s.shape[2])[:, None]
        s = np.where(at > causal, -np.inf, s)
    w = np.exp(s - s.max(3, keepdims=True))
    w /= w.sum(3, keepdims=True)
    y = (w @ v).swapaxes(1, 2)
    return y.reshape(y.shape[0], y.shape[1], -1), s


def apart(x, heads):
    b, s, d = x.shape
    return x.reshape(b, s, heads, d // heads).swapaxes(1, 2)


def mha():
    n, b, s, l, h, hv = 2, 2, 5, 7, 8, 12
    q, k, v = f(b, s, n * h), f(b, l, n * h), f(b, l, n * hv)
    bias = f(n * (2 * h + hv))
    at = {"num_heads": n}
    yield case("mha_plain", "MultiHeadAttention", [q, k, v], at)
    yield case("mha_scale", "MultiHeadAttention", [q, k, v], {**at, "scale": 0.7})
    yield case("mha_bias", "MultiHeadAttention", [q, k, v, bias], at)
    yield case("mha_bias_presents", "MultiHeadAttention", [q, k, v, bias], at, outputs=("y", "k", "v"))
    yield case("mha_long", "MultiHeadAttention", [f(1, 150, 64), f(1, 300, 64), f(1, 300, 64)], {"num_heads": 1})
    add = f(1, n, s, l)
    for dims in ((1, n), (b, n), (1, 1), (b, 1)):
        yield case(f"mha_add_{dims[0]}_{dims[1]}", "MultiHeadAttention",
                   [q, k, v, None, None, f(*dims, s, l)], at)
    masks = {"ends": i32([3, 7]), "keys": i32(R.integers(0, 2, (b, l))), "rows": i32(R.integers(0, 2, (b, s, l))),
             "cumulated": i32([3, 7, 0, 3, 10, 0, 5, 10])}
    for name, m in masks.items():
        yield case(f"mha_mask_{name}", "MultiHeadAttention", [q, k, v, None, m], at)
        yield case(f"mha_mask_{name}_filter", "MultiHeadAttention", [q, k, v, bias, m, add],
                   {**at, "mask_filter_value": -3.0})
    yield case("mha_unidirectional", "MultiHeadAttention", [f(b, s, 16), f(b, s, 16), f(b, s, 16)],
               {**at, "unidirectional": 1})
    for bits in itertools.product((0, 1), repeat=2):
        past = [f(b, n, 4, h), f(b, n, 4, h)]
        k2, v2 = f(b, s, n * h), f(b, s, n * h)
        b2 = f(3 * n * h) if bits[0] else None
        for one in (True, False):
            cut = slice(0, 1) if one else slice(None)
            yield case(f"mha_past_{bits[0]}{bits[1]}_{'one' if one else 'some'}", "MultiHeadAttention",
                       [q[:, cut], k2[:, cut], v2[:, cut], b2, None, None, *past],
                       {**at, "unidirectional": bits[1]}, outputs=("y", "pk", "pv"))
    yield case("mha_past_mask", "MultiHeadAttention",
               [q, f(b, s, 16), f(b, s, 16), None, i32(R.integers(0, 2, (b, 4 + s))), f(1, n, s, 4 + s),
                f(b, n, 4, h), f(b, n, 4, h)], at, outputs=("y", "pk", "pv"))
    # Without presents the past is read where it lies.
    past = [f(b, n, 70, h), f(b, n, 70, h)]
    k2, v2 = f(b, s, 16), f(b, s, 16)
    want, _ = attend(apart(q, n), np.concatenate([past[0], apart(k2, n)], 2), np.concatenate([past[1], apart(v2, n)], 2),
                     causal=70)
    yield case("mha_past_no_present", "MultiHeadAttention", [q, k2, v2, None, None, None, *past],
               {**at, "unidirectional": 1}, expected=[want.astype(np.float32)])
    cache = [f(b, n, l, h), f(b, n, l, h)]
    yield case("mha_cross", "MultiHeadAttention", [q, *cache], at)
    yield case("mha_cross_mask", "MultiHeadAttention", [q, *cache, None, i32([3, 6])], at)
    yield case("mha_qk", "MultiHeadAttention", [q, k, v, bias], at, outputs=("y", "", "", "qk"))
    yield case("mha_empty_batch", "MultiHeadAttention", [q[:0], k[:0], v[:0]], at,
               expected=[np.zeros((0, s, n * hv), np.float32)])
    # Packed forms.
    packed = f(b, s, n, 3, h)
    want, _ = attend(*(packed[:, :, :, i].swapaxes(1, 2) for i in range(3)))
    yield case("mha_packed_qkv", "MultiHeadAttention", [packed], at, expected=[want.astype(np.float32)])
    bias3 = f(3 * n * h)
    shifted = packed + bias3.reshape(3, n, h).swapaxes(0, 1)
    want, _ = attend(*(shifted[:, :, :, i].swapaxes(1, 2) for i in range(3)))
    yield case("mha_packed_qkv_bias", "MultiHeadAttention", [packed, None, None, bias3], at,
               expected=[want.astype(np.float32)])
    kv = f(b, l, n, 2, h)
    want, _ = attend(apart(q, n), kv[:, :, :, 0].swapaxes(1, 2), kv[:, :, :, 1].swapaxes(1, 2))
    yield case("mha_packed_kv", "MultiHeadAttention", [q, kv], at, expected=[want.astype(np.float32)])
    # A shared buffer and beams.
    room, past = 9, 4
    buf = [f(b, n, room, h), f(b, n, room, h)]
    new = [q[:, :1], f(b, 1, 16), f(b, 1, 16)]
    full = [x.copy() for x in buf]
    for x, y in zip(full, new[1:]):
        x[:, :, past] = y.reshape(b, n, h)
    want, s_ = attend(apart(new[0], n), full[0][:, :, :past + 1], full[1][:, :, :past + 1])
    yield case("mha_shared", "MultiHeadAttention", [*new, None, None, None, *buf, i32([past])], at,
               outputs=("y", "pk", "pv"), expected=[want.astype(np.float32), *full])
    yield case("mha_shared_no_present", "MultiHeadAttention", [*new, None, None, None, *buf, i32([past])], at,
               expected=[want.astype(np.float32)])
    beams = i32([[[0, 1, 0, 1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 1, 0, 0, 0, 0]]])
    picked = [x.copy()[:, :, :past + 1] for x in full]
    for row, key in itertools.product(range(b), range(past)):
        for x, y in zip(picked, full):
            x[row, :, key] = y[beams[0, row, key], :, key]
    want, s_ = attend(apart(new[0], n), *picked)
    for outs in (("y", "pk", "pv"), ("y",)):
        yield case(f"mha_beams_{len(outs)}", "MultiHeadAttention",
                   [*new, None, None, None, *buf, i32([past]), beams], at, outputs=outs,
                   expected=[want.astype(np.float32), *full][:len(outs)])
    yield case("dmmha_beams", "DecoderMaskedMultiHeadAttention",
               [*new, None, None, *buf, i32([past]), i32([2]), beams], {**at, "past_present_share_buffer": 1, "output_qk": 1},
               outputs=("y", "pk", "pv", "qk"),
               expected=[want.astype(np.float32), *full, s_.astype(np.float32)])
    # Types.
    for t in (np.float16, "bfloat16"):
        import ml_dtypes
        t = ml_dtypes.bfloat16 if t == "bfloat16" else t
        x = [a.astype(t) for a in (q, k, v, bias)]
        bq, bk, bv = np.split(x[3].astype(np.float64), [n * h, 2 * n * h])
        want, _ = attend(apart(x[0].astype(float) + bq, n), apart(x[1].astype(float) + bk, n), apart(x[2].astype(float) + bv, n))
        tol = F16 if t == np.float16 else {"rtol": 2e-2, "atol": 1e-2}
        yield case(f"mha_{np.dtype(t).name}", "MultiHeadAttention", x, at, expected=[want.astype(t)], **tol)
    # Wrong ones.
    yield case("mha_bad_heads", "MultiHeadAttention", [q, k, v], {"num_heads": 3}, exit=3)
    yield case("mha_no_heads", "MultiHeadAttention", [q, k, v], {"num_heads": 0}, exit=3)
    yield case("mha_bad_bias", "MultiHeadAttention", [q, k, v, bias[1:]], at, exit=3)
    yield case("mha_bad_mask", "MultiHeadAttention", [q, k, v, None, i32([[1, 1]])], at, exit=3)
    yield case("mha_bad_value", "MultiHeadAttention", [q, k, v[:, 1:]], at, exit=3)
    yield case("mha_bad_past", "MultiHeadAttention", [*new, None, None, None, buf[0], buf[1][:, :1]], at, exit=3)
    yield case("mha_bad_past_length", "MultiHeadAttention", [*new, None, None, None, *buf, i32([room])], at, exit=3)
    yield case("mha_negative_past_length", "MultiHeadAttention", [*new, None, None, None, *buf, i32([-1])], at, exit=3)
    yield case("mha_bad_beam", "MultiHeadAttention", [*new, None, None, None, *buf, i32([past]), beams + 1], at, exit=3)
    yield case("mha_packed_with_key", "MultiHeadAttention", [packed, k, v], at, exit=3)
    yield case("mha_query_rank", "MultiHeadAttention", [q[0], k, v], at, exit=3)


def dmmha():
    n, b, h, room, past = 2, 3, 8, 9, 5
    q, k, v, bias = f(b, 1, 16), f(b, 1, 16), f(b, 1, 16), f(48)
    buf = [f(b, n, room, h), f(b, n, room, h)]
    share = {"num_heads": n, "past_present_share_buffer": 1}
    name, outs = "DecoderMaskedMultiHeadAttention", ("y", "pk", "pv")
    mask, add = i32(R.integers(0, 2, (b, past + 1))), f(1, n, 1, past + 1)
    yield case("dmmha_plain", name, [q, k, v, None, None, *buf, i32([past])], share, outputs=outs)
    yield case("dmmha_bias", name, [q, k, v, mask, add, *buf, i32([past]), None, None, bias], share, outputs=outs)
    yield case("dmmha_past_none", name, [q, k, v, None, None, *buf, i32([0])], share, outputs=outs)
    want, s = attend(apart(q + bias[:16], n), buf[0], buf[1])
    yield case("dmmha_cross", name, [q, *buf, None, None, None, None, None, None, None, bias],
               {"num_heads": n, "output_qk": 1}, outputs=("y", "", "", "qk"),
               expected=[want.astype(np.float32), s.astype(np.float32)])
    yield case("dmmha_cross_mask", name, [q, *buf, i32(R.integers(0, 2, (b, room)))], {"num_heads": n})
    packed = f(b, 1, 48)
    full = [x.copy() for x in buf]
    for i, x in enumerate(full):
        x[:, :, past] = packed[:, 0, 16 * (i + 1):16 * (i + 2)].reshape(b, n, h)
    want, _ = attend(apart(packed[:, :, :16], n), full[0][:, :, :past + 1], full[1][:, :, :past + 1])
    yield case("dmmha_joined", name, [packed, None, None, None, None, *buf, i32([past])], share, outputs=outs,
               expected=[want.astype(np.float32), *full])
    joined = [np.concatenate([x, apart(y, n)], 2) for x, y in zip(buf, (k, v))]
    want, _ = attend(apart(q, n), *joined)
    yield case("dmmha_apart", name, [q, k, v, None, None, *buf], {"num_heads": n}, outputs=outs,
               expected=[want.astype(np.float32), *joined])
    yield case("dmmha_two_rows", name, [f(b, 2, 16), f(b, 2, 16), f(b, 2, 16), None, None, *buf, i32([past])], share,
               outputs=outs, exit=3)
    yield case("dmmha_no_length", name, [q, k, v, None, None, *buf], share, outputs=outs, exit=3)


def merged():
    n, b, s, d, h, hv = 2, 2, 5, 12, 8, 4
    x, w, bias = f(b, s, d), f(d, 3 * n * h), f(3 * n * h)
    at = {"num_heads": n}
    yield case("merged_plain", "Attention", [x, w, bias], at)
    yield case("merged_weight_const", "Attention", [x, w, bias], {**at, "scale": 0.3}, const=(1, 2))
    y, _ = attend(*(apart(a, n) for a in np.split(x.astype(float) @ w, 3, 2)))
    yield case("merged_no_bias", "Attention", [x, w], at, expected=[y.astype(np.float32)])
    yield case("merged_sizes", "Attention", [x, f(d, n * (2 * h + hv)), f(n * (2 * h + hv))],
               {**at, "qkv_hidden_sizes": [n * h, n * h, n * hv]})
    yield case("merged_causal", "Attention", [x, w, bias], {**at, "unidirectional": 1}, outputs=("y", "p"))
    masks = {"ends": i32([3, 5]), "ends_starts": i32([4, 5, 1, 0]), "keys": i32(R.integers(0, 2, (b, s))),
             "rows": i32(R.integers(0, 2, (b, s, s))), "column": i32([[1], [0]]), "cumulated": i32([3, 5, 0, 3, 8, 0, 3, 8])}
    for name, m in masks.items():
        for one in (0, 1):
            yield case(f"merged_mask_{name}_{one}", "Attention", [x, w, bias, m],
                       {**at, "unidirectional": one})
    yield case("merged_mask_filter", "Attention", [x, w, bias, masks["keys"]], {**at, "mask_filter_value": -2.0})
    for dims in ((1, 1), (b, n), (1, n), (b, 1)):
        yield case(f"merged_add_{dims[0]}_{dims[1]}", "Attention", [x, w, bias, masks["keys"], None, f(*dims, s, s)], at)
    past = f(2, b, n, 3, h)
    for one in (0, 1):
        for rows in (1, s):
            yield case(f"merged_past_{one}_{rows}", "Attention", [x[:, :rows], w, bias, None, past],
                       {**at, "unidirectional": one}, outputs=("y", "p"))
    yield case("merged_past_mask", "Attention", [x, w, bias, i32(R.integers(0, 2, (b, s + 3))), past],
               {**at, "unidirectional": 1}, outputs=("y", "p"))
    yield case("merged_past_empty", "Attention", [x, w, bias, None, past[:, :, :, :0]],
               {**at, "unidirectional": 1}, outputs=("y", "p"))
    q, k, v = (apart(a, n) for a in np.split(x.astype(float) @ w + bias, 3, 2))
    fullk, fullv = np.concatenate([past[0], k], 2), np.concatenate([past[1], v], 2)
    y, _ = attend(q, fullk, fullv, causal=3)
    yield case("merged_past_no_present", "Attention", [x, w, bias, None, past], {**at, "unidirectional": 1},
               expected=[y.astype(np.float32)])
    square = i32(R.integers(0, 2, (b, 1, 10, 10)))
    m = np.where(square[:, :, 3:8, :8] > 0, 0, -10000.0)
    y, _ = attend(q, fullk, fullv, masks=[m])
    yield case("merged_mask_square", "Attention", [x, w, bias, square, past], at, outputs=("y", "p"),
               expected=[y.astype(np.float32), np.stack([fullk, fullv]).astype(np.float32)])
    room = f(2, b, n, 11, h)
    room[:, :, :, :3] = past
    present = room.copy()
    present[0, :, :, 3:8], present[1, :, :, 3:8] = k, v
    y, _ = attend(q, fullk, fullv, causal=3)
    yield case("merged_shared", "Attention", [x, w, bias, None, room, None, i32([3])],
               {**at, "unidirectional": 1, "past_present_share_buffer": 1}, outputs=("y", "p"),
               expected=[y.astype(np.float32), present])
    yield case("merged_shared_too_long", "Attention", [x, w, bias, None, room, None, i32([7])],
               {**at, "past_present_share_buffer": 1}, outputs=("y", "p"), exit=3)
    angle = (np.arange(s) + 3)[:, None] * 10000.0 ** (-np.arange(h // 2) / (h // 2))

    def turn(a):
        lo, hi = a[..., :h // 2], a[..., h // 2:]
        return np.concatenate([lo * np.cos(angle) - hi * np.sin(angle), hi * np.cos(angle) + lo * np.sin(angle)], 3)
    fk = np.concatenate([past[0], turn(k)], 2)
    y, _ = attend(turn(q), fk, fullv, causal=3)
    for outs in (("y", "p"), ("y",)):
        yield case(f"merged_rotary_{len(outs)}", "Attention", [x, w, bias, None, past],
                   {**at, "unidirectional": 1, "do_rotary": 1}, outputs=outs,
                   expected=[y.astype(np.float32), np.stack([fk, fullv]).astype(np.float32)][:len(outs)])
    one = [x[:, :1], w, bias]
    yield case("merged_decoder", "DecoderMaskedSelfAttention", [*one, i32(np.ones((b, 4))), past], at, outputs=("y", "p"),
               expected=[attend(q[:, :, :1], fullk[:, :, :4], fullv[:, :, :4])[0].astype(np.float32),
                         np.stack([fullk, fullv])[:, :, :, :4].astype(np.float32)])
    for t in ("float16", "bfloat16"):
        import ml_dtypes
        t = np.dtype(getattr(ml_dtypes, t, t))
        c = [a.astype(t) for a in (x, w, bias)]
        y, _ = attend(*(apart(a, n) for a in np.split(c[0].astype(float) @ c[1].astype(float) + c[2].astype(float), 3, 2)))
        tol = F16 if t.name == "float16" else {"rtol": 2e-2, "atol": 1e-2}
        for const in ((), (1, 2)):
            yield case(f"merged_{t.name}_{len(const)}", "Attention", c, at, expected=[y.astype(t)], const=const, **tol)
    yield case("merged_bad_weights", "Attention", [x, w[1:], bias], at, exit=3)
    yield case("merged_bad_bias", "Attention", [x, w, bias[1:]], at, exit=3)
    yield case("merged_bad_sizes", "Attention", [x, w, bias], {**at, "qkv_hidden_sizes": [16, 8, 24]}, exit=3)
    yield case("merged_short_sizes", "Attention", [x, w, bias], {**at, "qkv_hidden_sizes": [16, 16]}, exit=3)
    yield case("merged_bad_mask", "Attention", [x, w, bias, i32([1, 2, 3])], at, exit=3)
    yield case("merged_bad_add", "Attention", [x, w, bias, None, None, f(b, n, s, s + 1)], at, exit=3)
    yield case("merged_bad_past", "Attention", [x, w, bias, None, past[:1]], at, outputs=("y", "p"), exit=3)
    yield case("merged_two_rows", "DecoderMaskedSelfAttention", [x, w, bias, None, past], at, outputs=("y", "p"), exit=3)


def cases():
    yield from mha()
    yield from dmmha()
    yield from merged()
