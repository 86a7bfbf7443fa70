# SPDX-License-Identifier: Apache-2.0
"""ai.onnx: transforms of signals, windows, determinants, losses, normalisation and recurrences without a test of their own."""
import numpy as np
from onnx import TensorProto, helper

from peers import case as any_case

F, D, L, I = np.float32, np.float64, np.int64, np.int32
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
random = np.random.default_rng(33)


def case(name, op, inputs, attrs=None, **more):
    return any_case(name, op, inputs, attrs, domain="", **{"opset": 22, **more})


def rand(*dims, dtype=F):
    return random.standard_normal(dims).astype(dtype)


def parts(z, dtype=F):
    return np.stack([z.real, z.imag], -1).astype(dtype)


def transforms():
    real, both = rand(2, 6, 5, 1), rand(2, 6, 5, 2)
    z = both[..., 0] + 1j * both[..., 1]

    def dft(name, x, length=None, axis=None, **more):
        inputs = [x, length and np.array(length), axis if axis is None else np.array(axis)]
        return case(f"dft_{name}", "DFT", inputs[:3 if axis is not None else 2 if length else 1], opset=20, atol=1e-4, **more)
    for axis in 0, 1, 2, -2, -3:
        k = axis if axis >= 0 else axis + 4
        yield dft(f"complex_{axis}", both, axis=axis, expected=[parts(np.fft.fft(z, axis=k))])
        yield dft(f"inverse_{axis}", both, axis=axis, attrs={"inverse": 1}, expected=[parts(np.fft.ifft(z, axis=k))])
        yield dft(f"real_{axis}", real, axis=axis, expected=[parts(np.fft.fft(real[..., 0], axis=k))])
        yield dft(f"half_{axis}", real, axis=axis, attrs={"onesided": 1}, expected=[parts(np.fft.rfft(real[..., 0], axis=k))])
    for n in 1, 3, 6, 7, 16:
        yield dft(f"length_{n}", both, n, 1, expected=[parts(np.fft.fft(z, n, axis=1))])
        back = np.fft.irfft(z, n, axis=1)
        yield dft(f"back_{n}", both, n, 1, attrs={"inverse": 1, "onesided": 1}, expected=[back[..., None].astype(F)])
    yield dft("default", both, expected=[parts(np.fft.fft(z, axis=2))])
    yield dft("f64", both.astype(D), expected=[parts(np.fft.fft(z.astype(np.complex128), axis=2), D)])
    yield dft("empty", np.zeros((0, 4, 1), F), axis=1, expected=[np.zeros((0, 4, 2), F)])
    yield case("dft_old", "DFT", [both], {"axis": 2}, opset=17, atol=1e-4, expected=[parts(np.fft.fft(z, axis=2))])
    yield dft("axis_last", both, axis=3, exit=3)
    yield dft("axis_beyond", both, axis=-5, exit=3)
    yield dft("parts", rand(2, 4, 3), axis=1, exit=3)
    yield dft("length_zero", both, -1, 1, exit=3)
    yield dft("half_complex", both, axis=1, attrs={"onesided": 1}, exit=3)

    signal, window = rand(2, 20, 1), np.hanning(8).astype(F)
    one = {"opset": 17, "atol": 1e-4}
    for sides in 0, 1:
        yield case(f"stft_window_{sides}", "STFT", [signal, np.array(4), window], {"onesided": sides}, **one)
        yield case(f"stft_both_{sides}", "STFT", [signal, np.array(3), window, np.array(8)], {"onesided": sides}, **one)
        yield case(f"stft_length_{sides}", "STFT", [signal, np.array(4), None, np.array(8)], {"onesided": sides}, **one)
    yield case("stft_complex", "STFT", [rand(1, 12, 2), np.array(4), window], {"onesided": 0}, **one)
    yield case("stft_step", "STFT", [signal, np.array(0), window], exit=3, **one)
    yield case("stft_long", "STFT", [rand(1, 5, 1), np.array(4), window], exit=3, **one)
    yield case("stft_differ", "STFT", [signal, np.array(4), window, np.array(7)], exit=3, **one)
    yield case("stft_rank", "STFT", [rand(20), np.array(4), window], exit=3, **one)

    for op in "HannWindow", "HammingWindow", "BlackmanWindow":
        word = op[:-6].lower()
        for periodic in 0, 1:
            for n in (2, 5, 16) if not periodic else (1, 2, 5, 16):
                yield case(f"{word}_{n}_{periodic}", op, [np.array(n)], {"periodic": periodic}, types=[FLOAT], oracle="reference")
        yield case(f"{word}_one", op, [np.array(1)], {"periodic": 0}, types=[FLOAT], expected=[np.ones(1, F)])
        yield case(f"{word}_none", op, [np.array(0)], types=[FLOAT], expected=[np.zeros(0, F)])
        yield case(f"{word}_const", op, [np.array(6, I)], {"output_datatype": TensorProto.DOUBLE}, types=[TensorProto.DOUBLE], const=[0],
                   oracle="reference")
        yield case(f"{word}_peak", op, [np.array(4)], {"output_datatype": INT64}, types=[INT64], expected=[np.array([0, 0, 1, 0])])
        yield case(f"{word}_negative", op, [np.array(-1)], types=[FLOAT], exit=3)
        yield case(f"{word}_string", op, [np.array(4)], {"output_datatype": 8}, types=[FLOAT], exit=3)
        yield case(f"{word}_list", op, [np.array([3, 4])], types=[FLOAT], exit=3)
    mel = [np.array(8), np.array(64), np.array(8000), np.array(20, F), np.array(3500, F)]
    yield case("mel", "MelWeightMatrix", mel, types=[FLOAT])
    yield case("mel_const", "MelWeightMatrix", mel, types=[FLOAT], const=[0, 1, 2, 3, 4])
    yield case("mel_f64", "MelWeightMatrix", mel, {"output_datatype": TensorProto.DOUBLE}, types=[TensorProto.DOUBLE])
    yield case("mel_few", "MelWeightMatrix", [np.array(1), np.array(4), np.array(100), np.array(0, F), np.array(50, F)], types=[FLOAT])
    for k, bad in (0, -1), (1, -4), (2, 0):
        yield case(f"mel_bad{k}", "MelWeightMatrix", [np.array(bad) if i == k else v for i, v in enumerate(mel)], types=[FLOAT], exit=3)
    yield case("mel_list", "MelWeightMatrix", [np.array([8, 8]), *mel[1:]], types=[FLOAT], exit=3)


def algebra():
    for dims in (1, 1), (2, 2), (3, 3), (4, 3, 3), (2, 2, 5, 5):
        yield case(f"det_{'x'.join(map(str, dims))}", "Det", [rand(*dims)], oracle="reference")
    yield case("det_singular", "Det", [np.ones((3, 3), F)], expected=[np.array(0, F)])
    yield case("det_swapped", "Det", [np.array([[0, 1], [1, 0]], F)])
    yield case("det_empty", "Det", [np.zeros((0, 2, 2), F)], expected=[np.zeros(0, F)])
    yield case("det_zero", "Det", [np.zeros((2, 0, 0), F)], expected=[np.ones(2, F)])
    yield case("det_f64", "Det", [rand(3, 3, dtype=D)], oracle="reference")
    yield case("det_wide", "Det", [rand(2, 3)], exit=3)
    yield case("det_rank", "Det", [rand(3)], exit=3)
    x = rand(2, 3, 4, 5)
    for tag, attrs in ("default", {}), ("channel", {"axes": [1]}), ("all", {"axes": [0, 1, 2, 3]}), ("negative", {"axes": [-1, -2]}):
        axes = tuple(attrs.get("axes", [0, 2, 3]))
        y = (x - x.mean(axes, keepdims=True)) / (x.std(axes, keepdims=True) + 1e-9)
        yield case(f"mvn_{tag}", "MeanVarianceNormalization", [x], attrs, expected=[y])
    yield case("mvn_empty", "MeanVarianceNormalization", [np.zeros((2, 0, 4, 5), F)], expected=[np.zeros((2, 0, 4, 5), F)])
    yield case("mvn_axis", "MeanVarianceNormalization", [x], {"axes": [4]}, exit=3)


def losses():
    for op, word in ("NegativeLogLikelihoodLoss", "nll"), ("SoftmaxCrossEntropyLoss", "cross"):
        outs = ("y",)
        for reduction in "none", "mean", "sum":
            for tag, dims in ("rows", (4, 5)), ("image", (2, 3, 2, 2)):
                target = random.integers(0, dims[1], dims[:1] + dims[2:])
                weight = random.random(dims[1]).astype(F)
                attrs = {"reduction": reduction}
                more = {"opset": 13, "outputs": outs}
                yield case(f"{word}_{reduction}_{tag}", op, [rand(*dims), target], attrs, **more)
                yield case(f"{word}_{reduction}_{tag}_weight", op, [rand(*dims), target, weight], attrs, **more)
                hole = target.copy()
                hole.flat[1] = -1
                yield case(f"{word}_{reduction}_{tag}_ignore", op, [rand(*dims), hole, weight], {**attrs, "ignore_index": -1}, **more)
        x, t = rand(3, 4), np.array([0, 3, 1])
        yield case(f"{word}_i32", op, [x, t.astype(I)], opset=13, oracle="reference")
        yield case(f"{word}_f64", op, [x.astype(D), t], opset=13, oracle="reference")
        yield case(f"{word}_none", op, [np.zeros((0, 4), F), np.zeros(0, L)], {"reduction": "none"}, expected=[np.zeros(0, F)], opset=13)
        yield case(f"{word}_beyond", op, [x, t + 2], exit=3, opset=13)
        yield case(f"{word}_negative", op, [x, t - 2], exit=3, opset=13)
        yield case(f"{word}_number", op, [x, t[:2]], exit=3, opset=13)
        yield case(f"{word}_weight", op, [x, t, rand(3)], exit=3, opset=13)
        yield case(f"{word}_reduction", op, [x, t], {"reduction": "most"}, exit=3, opset=13)
        yield case(f"{word}_rank", op, [rand(4), np.array(1)], exit=3, opset=13)
    yield case("cross_log", "SoftmaxCrossEntropyLoss", [rand(2, 3, 4), random.integers(0, 3, (2, 4))], outputs=("y", "log"), opset=13,
               types=[FLOAT, FLOAT])


def recurrences():
    new = {"oracle": "reference", "rtol": 1e-3, "atol": 1e-4}
    q, k, v = rand(2, 5, 8), rand(2, 5, 8), rand(2, 5, 6)
    heads = {"q_num_heads": 2, "kv_num_heads": 2}
    two = {"outputs": ("y", "state"), "types": [FLOAT, FLOAT]}
    decay, beta = -abs(rand(2, 5, 8)), random.random((2, 5, 2)).astype(F)
    for rule, extra in ("linear", ()), ("gated", (None, decay)), ("delta", (None, None, beta)), ("gated_delta", (None, decay, beta)):
        yield case(f"linear_{rule}", "LinearAttention", [q, k, v, *extra], {**heads, "update_rule": rule}, opset=27, **two, **new)
        yield case(f"linear_{rule}_past", "LinearAttention", [q, k, v, rand(2, 2, 4, 3), *extra[1:]], {**heads, "update_rule": rule},
                   opset=27, **two, **new)
    yield case("linear_scale", "LinearAttention", [q, k, v], {**heads, "update_rule": "linear", "scale": .25}, opset=27, **two, **new)
    yield case("linear_groups", "LinearAttention", [q, rand(2, 5, 4), rand(2, 5, 3)], {"q_num_heads": 2, "kv_num_heads": 1,
               "update_rule": "linear"}, opset=27, **two, **new)
    yield case("linear_heads", "LinearAttention", [q, k, v], {"q_num_heads": 3, "kv_num_heads": 2, "update_rule": "linear"}, opset=27,
               exit=3, **two)
    yield case("linear_no_heads", "LinearAttention", [q, k, v], {"update_rule": "linear"}, opset=27, exit=3, **two)
    yield case("linear_rule", "LinearAttention", [q, k, v], {**heads, "update_rule": "none"}, opset=27, exit=3, **two)
    yield case("linear_no_decay", "LinearAttention", [q, k, v], {**heads, "update_rule": "gated"}, opset=27, exit=3, **two)
    yield case("linear_past_dims", "LinearAttention", [q, k, v, rand(2, 2, 3, 3)], {**heads, "update_rule": "linear"}, opset=27, exit=3,
               **two)
    x, w = rand(2, 3, 6), rand(3, 1, 4)
    for tag, extra, attrs in (("plain", (), {}), ("bias", (rand(3),), {}), ("silu", (rand(3),), {"activation": "silu"}),
                              ("past", (None, rand(2, 3, 3)), {}), ("swish", (rand(3), rand(2, 3, 3)), {"activation": "swish"})):
        yield case(f"causal_{tag}", "CausalConvWithState", [x, w, *extra], attrs, opset=27, **two, **new)
    yield case("causal_one", "CausalConvWithState", [rand(1, 3, 1), w, None, rand(1, 3, 3)], opset=27, **two, **new)
    yield case("causal_kernel1", "CausalConvWithState", [x, rand(3, 1, 1)], opset=27, outputs=("y",), **new)
    yield case("causal_activation", "CausalConvWithState", [x, w], {"activation": "best"}, opset=27, exit=3, **two)
    yield case("causal_channels", "CausalConvWithState", [x, rand(2, 1, 4)], opset=27, exit=3, **two)
    yield case("causal_past_dims", "CausalConvWithState", [x, w, None, rand(2, 3, 4)], opset=27, exit=3, **two)
    a, b = rand(2, 3), rand(2, 3)
    for alpha in None, 1.5:
        y = a / (1 + np.exp(-(alpha or 1) * a)) * b
        yield case(f"swiglu_{alpha}", "SwiGLU", [a, b], {} if alpha is None else {"alpha": alpha}, opset=28, expected=[y])
    yield case("swiglu_scalar", "SwiGLU", [np.array(0, F), np.array(2, F)], opset=28, expected=[np.array(0, F)])
    yield case("swiglu_empty", "SwiGLU", [np.zeros((0, 2), F), np.zeros((0, 2), F)], opset=28, expected=[np.zeros((0, 2), F)])
    yield case("swiglu_dims", "SwiGLU", [a, rand(2, 4)], opset=28, exit=3)

    def flex(name, q, k, v, attrs=None, **more):
        return any_case(f"flex_{name}", "FlexAttention", [q, k, v], attrs, domain="ai.onnx.preview", opset=1, **more)

    def attended(q, k, v, scale=None):
        k, v = (x.repeat(q.shape[1] // x.shape[1], 1) for x in (k, v))
        s = q @ k.swapaxes(2, 3) * (scale or q.shape[-1] ** -.5)
        p = np.exp(s - s.max(-1, keepdims=True))
        return [(p / p.sum(-1, keepdims=True) @ v).astype(F)]
    q, k, v = rand(2, 4, 3, 8), rand(2, 4, 5, 8), rand(2, 4, 5, 6)
    yield flex("plain", q, k, v, expected=attended(q, k, v))
    yield flex("scale", q, k, v, {"scale": .5}, expected=attended(q, k, v, .5))
    yield flex("groups", q, k[:, :2], v[:, :2], expected=attended(q, k[:, :2], v[:, :2]))
    twice = helper.make_graph([helper.make_node("Add", ["s", "s"], ["t"])], "g", [helper.make_tensor_value_info("s", FLOAT, None)],
                              [helper.make_tensor_value_info("t", FLOAT, None)])
    yield flex("score", q, k, v, {"score_mod": twice, "scale": .5}, expected=attended(q, k, v, 1.))
    yield flex("prob", q, k, v, {"prob_mod": twice}, expected=[2 * attended(q, k, v)[0]])
    yield flex("lengths", q, k, v[:, :, :4], exit=3)
    yield flex("heads", q, k[:, :3], v[:, :3], exit=3)
    yield flex("width", q, k[..., :7], v, exit=3)
    yield flex("rank", q[0], k, v, exit=3)


def cases():
    for family in transforms, algebra, losses, recurrences:
        yield from family()
