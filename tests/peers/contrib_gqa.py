# SPDX-License-Identifier: Apache-2.0
"""com.microsoft GroupQueryAttention, RotaryEmbedding and MRotaryEmbedding: prompts, tokens one by one, padded batches,
windows, sinks, angles."""
import numpy as np

from peers import case

R = np.random.default_rng(12)
N, KV, H = 4, 2, 16
AT = {"num_heads": N, "kv_num_heads": KV}
OUTS = ("y", "k", "v")
ANGLES = np.arange(40)[:, None] * 100.0 ** (-np.arange(H // 2) / (H // 2))
COS, SIN = np.cos(ANGLES).astype(np.float32), np.sin(ANGLES).astype(np.float32)


def f(*dims):
    return (R.standard_normal(dims) * 0.6).astype(np.float32)


def i32(v):
    return np.array(v, np.int32)


def inputs(b, s, p, lengths, total, *rest, packed=False):
    q, k, v = f(b, s, N * H), f(b, s, KV * H), f(b, s, KV * H)
    past = [f(b, KV, p, H), f(b, KV, p, H)] if p else [None, None]
    new = [np.concatenate([q, k, v], 2), None, None] if packed else [q, k, v]
    return [*new, *past, i32(lengths), i32(total), *rest]


def rms(x, w):
    x = x.reshape(*x.shape[:2], -1, H).astype(np.float64)
    return (x / np.sqrt((x * x).mean(3, keepdims=True) + 1e-6) * w).reshape(*x.shape[:2], -1).astype(np.float32)


def turn(x, at):
    lo, hi = x[..., :H // 2], x[..., H // 2:]
    return np.concatenate([lo * COS[at] - hi * SIN[at], hi * COS[at] + lo * SIN[at]], -1)


def answer(x, turned=True):
    """Row by row, in double."""
    q, k, v = (a.reshape(*a.shape[:2], a.shape[2] // H, H).astype(np.float64) for a in x[:3])
    b, s, new = q.shape[0], q.shape[1], k.shape[1]
    total, room = int(x[6]), max(int(x[6]), x[3].shape[2] if x[3] is not None else 0)
    y, caches = np.zeros(q.shape), np.zeros((2, b, KV, room, H))
    for i, last in enumerate(x[5]):
        first = 0 if s == total and new else last + 1 - s
        old = 0 if s == total and new else last + 1 - new
        for c, past, rows in ((0, x[3], k), (1, x[4], v)):
            if old:
                caches[c, i, :, :old] = past[i, :, :old]
            for r in range(new):
                caches[c, i, :, old + r] = turn(rows[i, r], old + r) if turned and c == 0 else rows[i, r]
        for r in range(s):
            seen = min(first + r, last) + 1
            for head in range(N):
                row = turn(q[i, r, head], first + r) if turned else q[i, r, head]
                w = np.exp(caches[0, i, head // (N // KV), :seen] @ row / np.sqrt(H))
                y[i, r, head] = w / w.sum() @ caches[1, i, head // (N // KV), :seen]
    return [a.astype(np.float32) for a in (y.reshape(b, s, -1), *caches)]


def gqa():
    name = "GroupQueryAttention"
    shapes = {"prompt": (1, 5, 0, [4], 5), "padded": (3, 5, 0, [4, 2, 0], 5), "token": (1, 1, 6, [6], 7),
              "tokens": (3, 1, 8, [5, 8, 2], 9), "more": (1, 3, 6, [8], 9), "room": (2, 1, 12, [4, 7], 8),
              "prompt_room": (2, 5, 12, [4, 3], 5), "one": (2, 1, 0, [0, 0], 1), "long": (1, 150, 0, [149], 150),
              "token_long": (1, 1, 200, [200], 201)}
    for key, (b, s, p, lengths, total) in shapes.items():
        long = total > 40
        for packed in (False, True):
            x = inputs(b, s, p, lengths, total, packed=packed)
            word = key + ("_packed" if packed else "")
            yield case(f"gqa_{word}", name, x, AT, outputs=OUTS)
            if long:
                continue
            yield case(f"gqa_{word}_rotary", name, [*x, COS, SIN], {**AT, "do_rotary": 1}, outputs=OUTS)
        x = inputs(b, s, p, lengths, total)
        extra = {"scale": {"scale": 0.4}, "softcap": {"softcap": 1.5}, "smooth": {"smooth_softmax": 1},
                 "window": {"local_window_size": 3}, "wide_window": {"local_window_size": 70},
                 "all": {"causal": 0}}
        for word, attrs in extra.items():
            yield case(f"gqa_{key}_{word}", name, x, {**AT, **attrs}, outputs=OUTS)
        if not long:
            yield case(f"gqa_{key}_interleaved", name, [*x, COS[:, :4 * 2], SIN[:, :4 * 2]],
                       {**AT, "do_rotary": 1, "rotary_interleaved": 1}, outputs=OUTS)
            ids = np.array([[7 + b_ * (s == 1) + r for r in range(s)] for b_ in range(b)], np.int64)
            yield case(f"gqa_{key}_ids", name, [*x, COS, SIN, ids], {**AT, "do_rotary": 1}, outputs=OUTS)
        yield case(f"gqa_{key}_add", name, [*x, None, None, None, f(1, N, s, total)], AT, outputs=OUTS)
        yield case(f"gqa_{key}_add_batch", name, [*x, None, None, None, f(b, 1, s, total)], {**AT, "softcap": 2.0}, outputs=OUTS)
        # Rows of padding have one window in onnxruntime's blockwise way and another in its plain one.
        window = {} if s > 1 and b > 1 else {"local_window_size": 4}
        yield case(f"gqa_{key}_sink", name, [*x, None, None, None, None, f(N)], {**AT, **window}, outputs=OUTS)
        # Of a batch row with fewer keys than the longest has, onnxruntime leaves the columns behind as they were.
        for mode in (1, 2) if all(n == total - 1 for n in lengths) else ():
            yield case(f"gqa_{key}_qk{mode}", name, x, {**AT, "qk_output": mode, "local_window_size": 4},
                       outputs=(*OUTS, "qk"))
    x = inputs(2, 1, 8, [5, 8], 9, COS, SIN)
    half = [a.astype(np.float16) if a is not None and a.dtype == np.float32 else a for a in x]
    yield case("gqa_f16", name, half, {**AT, "do_rotary": 1}, outputs=OUTS, rtol=5e-3, atol=2e-3)
    # Norms of Q and K before the angles; and presents left out: the same answer.
    wq, wk = f(H), f(H)
    for key in ("token", "tokens", "padded", "more", "room"):
        x = inputs(*shapes[key], COS, SIN)
        yield case(f"gqa_{key}_no_presents", name, x, {**AT, "do_rotary": 1}, expected=answer(x)[:1])
        normed = [rms(x[0], wq), rms(x[1], wk), *x[2:]]
        yield case(f"gqa_{key}_norms", name, [*x, *[None] * 5, wq, wk], {**AT, "do_rotary": 1}, outputs=OUTS,
                   expected=answer(normed))
    # No new keys: the past holds them all.
    x = inputs(2, 3, 8, [5, 7], 8)
    x[1] = x[2] = np.zeros((2, 0, KV * H), np.float32)
    yield case("gqa_shared_keys", name, x, AT, outputs=OUTS, expected=answer(x, turned=False))
    ok = inputs(2, 1, 8, [5, 8], 9)
    bad = {"seqlens_long": (5, i32([5, 9])), "seqlens_negative": (5, i32([-1, 2])), "seqlens_few": (5, i32([5])),
           "total_long": (6, i32(10)), "total_none": (6, i32(0)), "total_negative": (6, i32(-5)),
           "past_heads": (3, f(2, 3, 8, H)), "past_alone": (4, None), "key_alone": (2, None),
           "key_hidden": (1, f(2, 1, KV * H + 1)), "query_rank": (0, f(2, N * H))}
    for word, (i, value) in bad.items():
        yield case(f"gqa_bad_{word}", name, [value if i == j else a for j, a in enumerate(ok)], AT, outputs=OUTS, exit=3)
    yield case("gqa_bad_position", name, [*ok, COS[:8], SIN[:8]], {**AT, "do_rotary": 1}, outputs=OUTS, exit=3)
    yield case("gqa_bad_id", name, [*ok, COS, SIN, np.array([[3], [40]])], {**AT, "do_rotary": 1}, outputs=OUTS, exit=3)
    yield case("gqa_no_caches", name, ok, {**AT, "do_rotary": 1}, outputs=OUTS, exit=3)
    yield case("gqa_bad_group", name, ok, {"num_heads": N, "kv_num_heads": 3}, outputs=OUTS, exit=3)
    yield case("gqa_bad_window", name, ok, {**AT, "local_window_size": 0}, outputs=OUTS, exit=3)
    yield case("gqa_quantised", name, ok, {**AT, "k_quant_type": "PER_TENSOR"}, outputs=OUTS, exit=4)
    yield case("gqa_window_cache", name, ok, {**AT, "sliding_window_cache": 1, "local_window_size": 4}, outputs=OUTS, exit=4)


def rotary():
    name = "RotaryEmbedding"
    b, s, n = 2, 6, 3
    flat, apart = f(b, s, n * H), f(b, n, s, H)
    ids = R.integers(0, 40, (b, s))
    offset = np.array([5])
    for word, x in (("flat", flat), ("apart", apart)):
        for inter in (0, 1):
            yield case(f"rotary_{word}_{inter}_ids", name, [x, ids, COS, SIN], {"interleaved": inter})
            yield case(f"rotary_{word}_{inter}_offset", name, [x, offset, COS, SIN], {"interleaved": inter})
            part = {"interleaved": inter, "rotary_embedding_dim": 8, "num_heads": n}
            yield case(f"rotary_{word}_{inter}_part", name, [x, ids, COS[:, :4], SIN[:, :4]], part)
    yield case("rotary_heads", name, [flat, ids, COS, SIN], {"num_heads": n})
    yield case("rotary_packed_batching", name, [flat, ids, COS, SIN], {"is_packed_batching": 1, "scale": 1.0})
    yield case("rotary_f16", name, [flat.astype(np.float16), ids, COS.astype(np.float16), SIN.astype(np.float16)],
               rtol=2e-3, atol=1e-3)
    yield case("rotary_empty", name, [flat[:0], ids[:0], COS, SIN], expected=[flat[:0]])
    yield case("rotary_bad_id", name, [flat, ids + 40, COS, SIN], exit=3)
    yield case("rotary_bad_offset", name, [flat, np.array([36]), COS, SIN], exit=3)
    yield case("rotary_negative", name, [flat, np.array([-1]), COS, SIN], exit=3)
    yield case("rotary_bad_heads", name, [flat, ids, COS, SIN], {"num_heads": 5}, exit=3)
    yield case("rotary_bad_dim", name, [flat, ids, COS, SIN], {"num_heads": n, "rotary_embedding_dim": 32}, exit=3)
    yield case("rotary_odd_dim", name, [flat, ids, COS, SIN], {"num_heads": n, "rotary_embedding_dim": 7}, exit=3)
    yield case("rotary_bad_ids", name, [flat, ids[:1], COS, SIN], exit=3)
    yield case("rotary_caches", name, [flat, ids, COS, SIN[1:]], exit=3)
    three = R.integers(0, 40, (3, b, s))
    for layout, inter in ((0, 0), (1, 0), (0, 1)):
        at = {"mrope_section": [4, 2, 2], "mrope_layout": layout, "interleaved": inter}
        which = np.repeat([0, 1, 2], [4, 2, 2])
        if layout:
            which = np.array([i % 3 if i % 3 and i < 3 * [4, 2, 2][i % 3] else 0 for i in range(8)])
        mixed = [np.stack([c[three[which[i]], i] for i in range(8)], 2) for c in (COS, SIN)]
        for word, x in (("flat", flat), ("apart", apart)):
            heads = x.reshape(b, s, n, H) if word == "flat" else x.swapaxes(1, 2)
            co, si = mixed[0][:, :, None], mixed[1][:, :, None]
            lo, hi = (heads[..., 0::2], heads[..., 1::2]) if inter else (heads[..., :8], heads[..., 8:])
            lo, hi = lo * co - hi * si, hi * co + lo * si
            y = np.stack([lo, hi], 4).reshape(heads.shape) if inter else np.concatenate([lo, hi], 3)
            y = y.reshape(flat.shape) if word == "flat" else y.swapaxes(1, 2)
            yield case(f"mrotary_{word}_{layout}_{inter}", "MRotaryEmbedding", [x, three, COS, SIN], at,
                       expected=[np.ascontiguousarray(y)])
    yield case("mrotary_bad_sum", "MRotaryEmbedding", [flat, three, COS, SIN], {"mrope_section": [4, 2, 1]}, exit=3)
    yield case("mrotary_bad_count", "MRotaryEmbedding", [flat, three, COS, SIN], {"mrope_section": [4, 4]}, exit=3)
    yield case("mrotary_bad_id", "MRotaryEmbedding", [flat, three - 40, COS, SIN], {"mrope_section": [4, 2, 2]}, exit=3)
    yield case("mrotary_bad_ids", "MRotaryEmbedding", [flat, ids, COS, SIN], {"mrope_section": [4, 2, 2]}, exit=3)


def cases():
    yield from gqa()
    yield from rotary()
