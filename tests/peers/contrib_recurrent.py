# SPDX-License-Identifier: Apache-2.0
"""Linear attention and the causal convolution of com.microsoft."""
import numpy as np
from peers import case

F32 = 1


def cases():
    rng = np.random.default_rng(5)

    def f(*dims, scale=1.0):
        return (rng.normal(0, scale, dims)).astype(np.float32)

    def unit(*dims):
        x = f(*dims)
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    two = dict(outputs=("y", "state"), types=[F32, F32], rtol=1e-3, atol=1e-4)
    b, t, h, dk, dv = 2, 5, 2, 8, 6
    q, v = f(b, t, h * dk), f(b, t, h * dv)
    k = unit(b, t, h, dk).reshape(b, t, h * dk)
    past, decay = f(b, h, dk, dv, scale=0.3), -abs(f(b, t, h, scale=0.1))
    beta = (1 / (1 + np.exp(-f(b, t, h)))).astype(np.float32)
    heads = {"q_num_heads": h, "kv_num_heads": h}
    for rule, gate, rate in (("linear", None, None), ("gated", decay, None), ("delta", None, beta), ("gated_delta", decay, beta)):
        yield case(f"linear_{rule}", "LinearAttention", [q, k, v, past, gate, rate], {**heads, "update_rule": rule}, **two)
    yield case("linear_window", "LinearAttention", [q, k, v, past], {**heads, "update_rule": "linear", "state_window": 2},
               exit=4, **two)
    x, w, bias, state = f(2, 4, 7), f(4, 1, 3), f(4), f(2, 4, 2)
    for activation in ("none", "silu", "swish"):
        yield case(f"conv_{activation}", "CausalConvWithState", [x, w, bias, state], {"activation": activation}, **two)
    yield case("conv_plain", "CausalConvWithState", [x, w], **two)
    yield case("conv_dilated", "CausalConvWithState", [x, w, bias, state], {"dilation": 2}, exit=4, **two)
