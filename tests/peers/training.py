# SPDX-License-Identifier: Apache-2.0
"""ai.onnx.preview.training beside ONNX's reference implementation, but for Adam, where that mixes types up."""
import numpy as np
from onnx import TensorProto
from peers import case

random = np.random.default_rng(1)
KINDS = {"Adagrad": (1, {}, {"norm_coefficient": 0.001, "epsilon": 1e-5, "decay_factor": 0.1}),
         "Adam": (2, {}, {"norm_coefficient": 0.002, "norm_coefficient_post": 0.01, "alpha": 0.95, "beta": 0.85, "epsilon": 1e-2}),
         "Momentum": (1, {"norm_coefficient": 0.0, "alpha": 0.9, "beta": 0.5, "mode": "standard"},
                      {"norm_coefficient": 0.01, "alpha": 0.95, "beta": 0.85, "mode": "standard"}),
         "Nesterov": (1, {"norm_coefficient": 0.0, "alpha": 0.9, "beta": 0.5, "mode": "nesterov"},
                      {"norm_coefficient": 0.01, "alpha": 0.95, "beta": 1.0, "mode": "nesterov"})}


def adam(inputs, n, norm_coefficient, norm_coefficient_post, alpha, beta, epsilon):
    """The specification's formulas in double."""
    rate, t, groups = float(inputs[0]), int(inputs[1]), [inputs[2 + i * n:2 + (i + 1) * n] for i in range(4)]
    results = []
    for x, g, v, h in zip(*groups):
        kind, (x, g, v, h) = x.dtype, (a.astype(np.float64) for a in (x, g, v, h))
        slope = norm_coefficient * x + g
        v, h = alpha * v + (1 - alpha) * slope, beta * h + (1 - beta) * slope * slope
        r = rate * np.sqrt(1 - beta**t) / (1 - alpha**t) if t > 0 else rate
        results.append([a.astype(kind) for a in ((1 - norm_coefficient_post) * (x - r * v / (np.sqrt(h) + epsilon)), v, h)])
    return [r[k] for k in range(3) for r in results]


def step(name, kind, attrs, shapes, updates=3, dtypes=(np.float32,), rate=np.float32, states=None, **more):
    count = KINDS[kind][0] if states is None else states
    of = [dtypes[i % len(dtypes)] for i in range(len(shapes))]
    groups = [[(random.random(s) + 0.1).astype(t) for s, t in zip(shapes, of)] for _ in range(2 + count)]
    groups[1] = [(g - 0.5).astype(g.dtype) for g in groups[1]]
    inputs = [np.array(0.1, rate), np.array(updates, np.int64)] + [x for g in groups for x in g]
    outputs = [f"y{i}" for i in range(len(shapes) * (1 + count))]
    types = [TensorProto.DOUBLE if t is np.float64 else TensorProto.FLOAT for t in of] * (1 + count)
    if kind == "Adam" and "exit" not in more:
        full = {"norm_coefficient": 0.0, "norm_coefficient_post": 0.0, "alpha": 0.9, "beta": 0.999, "epsilon": 1e-6, **attrs}
        more["expected"] = adam(inputs, len(shapes), **full)
    return case(f"{kind.lower()}_{name}", "Momentum" if kind == "Nesterov" else kind, inputs, attrs,
                domain="ai.onnx.preview.training", opset=1, oracle="reference", outputs=outputs, types=types, **more)


def cases():
    for kind, (states, plain, attrs) in KINDS.items():
        yield step("plain", kind, plain, [(3,)])
        yield step("one", kind, attrs, [(3, 4)])
        yield step("first", kind, attrs, [(2, 2)], updates=0)
        yield step("late", kind, attrs, [(2, 2)], updates=1000)
        yield step("scalar", kind, attrs, [()])
        yield step("empty", kind, attrs, [(0, 3)])
        yield step("large", kind, attrs, [(300, 70)])
        yield step("two", kind, attrs, [(3,), (2, 4)])
        yield step("three", kind, attrs, [(700,), (1, 4), (90, 11)])
        yield step("f64", kind, attrs, [(5,)], dtypes=(np.float64,), rate=np.float64, rtol=1e-6)
        yield step("f64_slow", kind, attrs, [(5,)], dtypes=(np.float64,))
        yield step("mixed", kind, attrs, [(5,), (4,)], dtypes=(np.float32, np.float64))
        yield step("states_missing", kind, attrs, [(5,), (4,)], states=states - 1, exit=3)
        yield step("f16", kind, attrs, [(5,)], dtypes=(np.float16,), exit=4)
    for name, shapes in ("rank", [(3,), (3, 1)]), ("dims", [(3,), (4,)]):
        x, g = (np.zeros(s, np.float32) for s in shapes)
        yield case(f"adagrad_other_{name}", "Adagrad", [np.array(1, np.float32), np.array(1, np.int64), x, g, x],
                   domain="ai.onnx.preview.training", opset=1, outputs=["y", "h"], types=[TensorProto.FLOAT] * 2, exit=3)
    x = np.zeros(3, np.float32)
    yield case("momentum_word", "Momentum", [np.array(1, np.float32), np.array(1, np.int64), x, x, x],
               {"norm_coefficient": 0.0, "alpha": 0.9, "beta": 0.5, "mode": "plain"}, domain="ai.onnx.preview.training", opset=1,
               outputs=["y", "v"], types=[TensorProto.FLOAT] * 2, exit=3)
    yield case("momentum_no_mode", "Momentum", [np.array(1, np.float32), np.array(1, np.int64), x, x, x],
               {"norm_coefficient": 0.0, "alpha": 0.9, "beta": 0.5}, domain="ai.onnx.preview.training", opset=1,
               outputs=["y", "v"], types=[TensorProto.FLOAT] * 2, exit=3)
    yield case("adam_rate_vector", "Adam", [np.ones(2, np.float32), np.array(1, np.int64), x, x, x, x],
               domain="ai.onnx.preview.training", opset=1, outputs=["y", "v", "h"], types=[TensorProto.FLOAT] * 3, exit=3)
