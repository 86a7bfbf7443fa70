# SPDX-License-Identifier: Apache-2.0
"""com.microsoft attention without CPU kernels elsewhere, or with caches that must be shared there: PackedAttention,
PackedMultiHeadAttention, SparseAttention; beside NumPy in double."""
import numpy as np

from contrib_attention import apart, attend
from peers import case

R = np.random.default_rng(13)


def f(*dims):
    return (R.standard_normal(dims) * 0.5).astype(np.float32)


def i32(v):
    return np.array(v, np.int32)


def packed():
    n, h, hv, d = 2, 8, 4, 10
    lengths, rows = [3, 1, 0, 5], 5
    ends = np.cumsum([0, *lengths])
    tokens, b = int(ends[-1]), len(lengths)
    offset = i32(np.arange(b * rows).reshape(b, rows))

    def answer(q, k, v, add=None, heads=n):
        out = []
        for i, (lo, hi) in enumerate(zip(ends, ends[1:])):
            m = [] if add is None else [add[i if add.shape[0] > 1 else 0][None, :, :hi - lo, :hi - lo]]
            if hi > lo:
                out.append(attend(*(apart(a[None, lo:hi].astype(float), heads) for a in (q, k, v)), masks=m)[0][0])
        return [np.concatenate(out).astype(np.float32)]
    x, w, bias = f(tokens, d), f(d, n * (2 * h + hv)), f(n * (2 * h + hv))
    at = {"num_heads": n, "qkv_hidden_sizes": [n * h, n * h, n * hv]}
    tail = [offset, i32(ends)]
    q, k, v = np.split(x.astype(float) @ w + bias, [n * h, 2 * n * h], 1)
    for const in ((), (1,)):
        yield case(f"merged_{len(const)}", "PackedAttention", [x, w, bias, *tail], at, const=const, expected=answer(q, k, v))
    for dims in ((1, 1), (b, n)):
        add = f(*dims, rows, rows)
        yield case(f"merged_add_{dims[0]}", "PackedAttention", [x, w, bias, *tail, add], at, expected=answer(q, k, v, add))
    yield case("merged_thirds", "PackedAttention", [x, w[:, :48], bias[:48], offset, i32(ends)], {"num_heads": n}, exit=3)
    q, k, v = f(tokens, n * h), f(tokens, n * h), f(tokens, n * hv)
    name, at = "PackedMultiHeadAttention", {"num_heads": n}
    bias = f(n * (2 * h + hv))
    bq, bk, bv = np.split(bias, [n * h, 2 * n * h])
    yield case("apart", name, [q, k, v, None, *tail], at, expected=answer(q, k, v))
    yield case("apart_bias", name, [q, k, v, bias, *tail], at, expected=answer(q + bq, k + bk, v + bv))
    add = f(b, 1, rows, rows)
    yield case("apart_add", name, [q, k, v, None, *tail, add], at, expected=answer(q, k, v, add))
    qkv = f(tokens, n, 3, h)
    yield case("joined", name, [qkv, None, None, None, *tail], at,
               expected=answer(*(qkv[:, :, i].reshape(tokens, -1) for i in range(3))))
    half = [a.astype(np.float16) for a in (q, k, v)]
    yield case("f16", name, [*half, None, *tail], at, expected=[answer(*half)[0].astype(np.float16)], rtol=4e-3, atol=2e-3)
    for word, bad in {"short": ends - [0, 0, 0, 0, 1], "down": ends + [0, 0, 2, 0, 0], "far": [0, 9, 9, 9, 9],
                      "negative": [-1, 3, 4, 4, 9]}.items():
        yield case(f"bad_{word}", name, [q, k, v, None, offset, i32(bad)], at, exit=3)
    yield case("bad_key", name, [q, k[1:], v, None, *tail], at, exit=3)
    yield case("bad_heads", name, [qkv, None, None, None, *tail], {"num_heads": 3}, exit=3)


def sparse():
    n, kv, h, block, room = 4, 2, 16, 16, 64
    rows, columns = i32([[0, 1, 3, 5, 8], [0, 1, 3, 6, 9]]), i32([[0, 0, 1, 1, 2, 1, 2, 3, -1], [0, 0, 1, 0, 1, 2, 0, 2, 3]])
    seen = np.zeros((2, 4, 4), bool)
    for layout in range(2):
        for r in range(4):
            seen[layout, r, columns[layout, rows[layout, r]:rows[layout, r + 1]]] = True
    angles = np.arange(room)[:, None] * 100.0 ** (-np.arange(h // 2) / (h // 2))
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)

    def turn(x, at):
        lo, hi = x[..., :h // 2], x[..., h // 2:]
        return np.concatenate([lo * cos[at] - hi * sin[at], hi * cos[at] + lo * sin[at]], -1)

    def answer(q, k, v, caches, lengths, first, turned):
        b, s = q.shape[:2]
        q, k, v = (a.reshape(b, s, -1, h).astype(float) for a in (q, k, v))
        y, caches = np.zeros(q.shape), [c.astype(float) for c in caches]
        for i, total in enumerate(lengths):
            old = 0 if first else total - s
            for r in range(s):
                caches[0][i, :, old + r] = turn(k[i, r], old + r) if turned else k[i, r]
                caches[1][i, :, old + r] = v[i, r]
            for r in range(s):
                for head in range(n):
                    at = old + r
                    keys = [t for t in range(min(at + 1, total)) if seen[head % 2, at // block, t // block]]
                    if not keys:
                        continue
                    row = turn(q[i, r, head], at) if turned else q[i, r, head]
                    w = np.exp(caches[0][i, head // 2, keys] @ row / np.sqrt(h))
                    y[i, r, head] = w / w.sum() @ caches[1][i, head // 2, keys]
        return [a.astype(np.float32) for a in (y.reshape(b, s, -1), *caches)]
    at = {"num_heads": n, "kv_num_heads": kv, "sparse_block_size": block}
    for word, (b, s, lengths, total) in {"prompt": (2, 40, [40, 33], 40), "token": (2, 1, [50, 20], 50)}.items():
        q, k, v = f(b, s, n * h), f(b, s, kv * h), f(b, s, kv * h)
        caches = [f(b, kv, room, h), f(b, kv, room, h)]
        tail = [*caches, rows, columns, i32(total), i32(lengths)]
        for turned in (0, 1):
            x = [q, k, v, *tail, *([cos, sin] if turned else [])]
            yield case(f"sparse_{word}_{turned}", "SparseAttention", x, {**at, "do_rotary": turned}, outputs=("y", "k", "v"),
                       expected=answer(q, k, v, caches, lengths, s > 1, turned))
        yield case(f"sparse_{word}_packed", "SparseAttention", [np.concatenate([q, k, v], 2), None, None, *tail], at,
                   outputs=("y", "k", "v"), expected=answer(q, k, v, caches, lengths, s > 1, 0))
    bad = {"rows": (5, rows + 5), "layouts": (5, rows[:1]), "total": (7, i32(65)), "length": (8, i32([51, 20])),
           "few_blocks": (5, rows[:, :3])}
    for word, (i, value) in bad.items():
        yield case(f"sparse_bad_{word}", "SparseAttention", [value if i == j else a for j, a in enumerate([q, k, v, *tail])], at,
                   outputs=("y", "k", "v"), exit=3)


def cases():
    yield from packed()
    yield from sparse()
