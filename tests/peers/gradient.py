# SPDX-License-Identifier: Apache-2.0
"""Gradient, beside differences of the function in double precision."""
import numpy as np
from onnx import helper
from peers import case

STEP = 1e-5


def differences(f, inputs, i):
    """d sum(f) / d inputs[i], by central differences."""
    out = np.zeros_like(inputs[i])
    for k in np.ndindex(out.shape):
        values = []
        for step in (STEP, -STEP):
            moved = [a.copy() for a in inputs]
            moved[i][k] += step
            values.append(f(*moved).sum())
        out[k] = (values[0] - values[1]) / (2 * STEP)
    return out


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# name: (nodes from x0, x1 to y, the same as a function, shapes)
FUNCTIONS = {
    "broadcast": ([("Add", ["x0", "x1"], "y")], lambda a, b: a + b, [(2, 3, 4), (3, 1)]),
    "quotient": ([("Mul", ["x0", "x0"], "s"), ("Div", ["s", "x1"], "y")], lambda a, b: a * a / b, [(3, 4), (4,)]),
    "difference": ([("Sub", ["x0", "x1"], "d"), ("Neg", ["d"], "n"), ("Abs", ["n"], "y")],
                   lambda a, b: abs(b - a), [(5,), (2, 5)]),
    "powers": ([("Pow", ["x0", "x1"], "p"), ("Sqrt", ["p"], "r"), ("Log", ["r"], "l"), ("Exp", ["l"], "y")],
               lambda a, b: np.sqrt(a ** b), [(4,), (4,)]),
    "trigonometry": ([("Sin", ["x0"], "s"), ("Cos", ["x1"], "c"), ("Sum", ["s", "c", "x0"], "t"), ("Reciprocal", ["t"], "y")],
                     lambda a, b: 1 / (np.sin(a) + np.cos(b) + a), [(4,), (2, 4)]),
    "layer": ([("MatMul", ["x0", "x1"], "a"), ("Tanh", ["a"], "h"), ("Sigmoid", ["h"], "g"), ("Relu", ["g"], "y")],
              lambda a, b: sigmoid(np.tanh(a @ b)), [(2, 3, 4), (4, 5)]),
    "shapes": ([("Flatten", ["x0"], "f"), ("Identity", ["f"], "i"), ("Mul", ["i", "x1"], "y")],
               lambda a, b: a.reshape(2, 6) * b, [(2, 2, 3), (6,)]),
}


def gradient(names, y="y", **attrs):
    return helper.make_node("Gradient", list(names), ["g0", "g1"], xs=["x0", "x1"], y=y, domain="ai.onnx.preview.training", **attrs)


def cases():
    rng = np.random.default_rng(11)
    for name, (rows, f, shapes) in FUNCTIONS.items():
        nodes = [helper.make_node(op, ins, [out]) for op, ins, out in rows]
        exact = [rng.uniform(0.5, 2, s) for s in shapes]
        inputs = [a.astype(np.float32) for a in exact]
        expected = [differences(f, [a.astype(np.float64) for a in inputs], i).astype(np.float32) for i in (0, 1)]
        common = dict(domain="ai.onnx.preview.training", opset=1, outputs=("g0", "g1"), rtol=1e-3, atol=1e-4)
        yield case(name, "Gradient", inputs, nodes=[*nodes, gradient(["x0", "x1"])], expected=expected, **common)
        # At other values than those that the graph computes with: x2 and x3 take the places of x0 and x1.
        others = [(a + 0.25).astype(np.float32) for a in inputs]
        expected = [differences(f, [a.astype(np.float64) for a in others], i).astype(np.float32) for i in (0, 1)]
        yield case(f"{name}_elsewhere", "Gradient", [*inputs, *others], nodes=[*nodes, gradient(["x2", "x3"])],
                   expected=expected, **common)
    x = np.ones((2, 2), np.float32)
    bad = dict(domain="ai.onnx.preview.training", opset=1, outputs=("g0", "g1"))
    yield case("no_rule", "Gradient", [x, x], nodes=[helper.make_node("Erf", ["x0"], ["y"]), gradient(["x0", "x1"])], exit=4, **bad)
    yield case("no_y", "Gradient", [x, x], nodes=[gradient(["x0", "x1"], y="nothing")], exit=3, **bad)
    yield case("too_few", "Gradient", [x, x], nodes=[helper.make_node("Neg", ["x0"], ["y"]), gradient(["x0"])], exit=3, **bad)
