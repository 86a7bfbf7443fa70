# SPDX-License-Identifier: Apache-2.0
"""Writes dtype_data.h: what ml_dtypes and onnx give for the narrow floating-point types.

Needs numpy, ml_dtypes and onnx. Usage: python tests/unit/dtype_data.py > tests/unit/dtype_data.h
"""
import warnings

import ml_dtypes
import numpy as np
import onnx.numpy_helper

warnings.simplefilter("ignore")
TYPES = [("F8E4M3FN", ml_dtypes.float8_e4m3fn), ("F8E4M3FNUZ", ml_dtypes.float8_e4m3fnuz),
         ("F8E5M2", ml_dtypes.float8_e5m2), ("F8E5M2FNUZ", ml_dtypes.float8_e5m2fnuz),
         ("F4E2M1", ml_dtypes.float4_e2m1fn), ("F6E2M3", ml_dtypes.float6_e2m3fn),
         ("F6E3M2", ml_dtypes.float6_e3m2fn), ("F8E8M0", ml_dtypes.float8_e8m0fnu)]
CODES = {"F4E2M1": 16, "F6E2M3": 64, "F6E3M2": 64}


def rows(values, per_line, form):
    for i in range(0, len(values), per_line):
        yield "    " + " ".join(form % v + "," for v in values[i:i + per_line])


def widened(name, dt):
    codes = np.arange(CODES.get(name, 256), dtype=np.uint8)
    wide = codes.view(dt).astype(np.float32)
    return np.where(np.isnan(wide), np.uint32(0x7FC00000), wide.view(np.uint32))


def inputs():
    """Every value of e4m3fn and e5m2, the ties between them and their neighbours, and extremes."""
    out = [np.inf, -np.inf, np.nan, 1e38, -1e38, 1e-40, -1e-40, 3.4028235e38, 2.0**-126]
    for dt in (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2):
        v = np.arange(0, 0x7F, 3, dtype=np.uint8).view(dt).astype(np.float32)
        n = np.arange(1, 0x80, 3, dtype=np.uint8)[:len(v)].view(dt).astype(np.float32)
        ok = np.isfinite(v) & np.isfinite(n)
        tie = (v[ok] + n[ok]) / 2
        for a in (v, tie, np.nextafter(tie, np.float32(np.inf)), -np.nextafter(tie, np.float32(0))):
            out.extend(a[np.isfinite(a)])
    rng = np.random.default_rng(7)
    out.extend(rng.standard_normal(60) * 10.0 ** rng.integers(-6, 6, 60))
    return np.array(out, np.float32)


def narrowed(name, dt, x, saturate):
    if name == "F8E8M0":
        r = onnx.numpy_helper.to_float8e8m0(x, saturate, "up").view(np.uint8).copy()
        if saturate:
            r[np.isinf(x)] = 0xFE  # ONNX's table; its helper differs
        r[np.abs(x) <= 2.0**-127] = 0  # as above: the smallest value
        return r
    if saturate and name.startswith("F8"):
        top = float(ml_dtypes.finfo(dt).max)
        x = np.clip(x, -top, top)
    return x.astype(dt).view(np.uint8)


print("/* SPDX-License-Identifier: Apache-2.0 */")
print("/* Written by tests/unit/dtype_data.py from ml_dtypes and onnx. */")
x = inputs()
print("static const uint32_t narrow_in[%d] = { /* bits of floats */" % len(x))
print("\n".join(rows(list(x.view(np.uint32)), 8, "0x%08x")))
print("};")
print("static const struct {")
print("    enum dtype type;")
print("    uint32_t wide[256];            /* by code; every NaN is 0x7fc00000 */")
print("    uint8_t narrow[2][%d];        /* without and with saturation */" % len(x))
print("} narrow_types[] = {")
for name, dt in TYPES:
    print("    {DTYPE_%s, {" % name)
    print("\n".join(rows(list(widened(name, dt)), 8, "0x%08x")))
    print("    }, {{")
    for saturate in (False, True):
        print("\n".join(rows(list(narrowed(name, dt, x, saturate)), 19, "%d")))
        print("    }, {" if not saturate else "    }}},")
print("};")
