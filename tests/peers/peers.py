#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Operators beside another implementation of them: tests/peers/peers.py [--build DIR] [--only TEXT] [--keep DIR]

A family's cases stand in tests/peers/NAME.py, whose cases() yields case(...). Each becomes a model of one
node; the expected outputs come from onnxruntime, from ONNX's reference implementation, or are given; then
`infer-run --test` compares, once with dims as numbers and once with every dim a symbol. The last line is
"N passed, N failed". Needs numpy, onnx and onnxruntime (tools/test.sh installs them).
"""
import argparse
import concurrent.futures
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).resolve().parent
DOMAINS = {"": 22, "com.microsoft": 1, "ai.onnx.ml": 5}


def case(name, op, inputs, attrs=None, *, domain="com.microsoft", opset=None, outputs=("y",), types=None,
         oracle="onnxruntime", expected=None, rtol=1e-4, atol=1e-5, quantum=0, compare="element", const=(),
         exit=0, symbolic=True, nodes=None):
    """One case. inputs: arrays (str arrays are strings), or None for an absent one; in a list, in order, or as
    a dict of dicts {name: {key: value}} for maps. outputs: names, "" for an absent one. types: output types as
    TensorProto values or TypeProto, where onnxruntime must be told (default: that of the first input). const:
    indices of inputs that are initializers. expected: arrays in place of an oracle. exit: the status that
    infer-run must end with (3 or 4: no oracle is asked, and nothing compared). nodes: NodeProtos to use in place of the
    one node (inputs are x0, x1, ...; op is then only a name)."""
    return dict(locals())


def value_info(name, array, symbolic, prefix):
    if isinstance(array, dict):
        key, value = next(iter(array.items()))
        kind = TensorProto.STRING if isinstance(key, str) else TensorProto.INT64
        element = helper.make_tensor_type_proto(
            TensorProto.STRING if isinstance(value, str) else helper.np_dtype_to_tensor_dtype(np.array(value).dtype), [])
        return helper.make_value_info(name, helper.make_map_type_proto(kind, element))
    dims = [f"{prefix}{k}" for k in range(array.ndim)] if symbolic else array.shape
    return helper.make_tensor_value_info(name, dtype_of(array), dims)


def dtype_of(array):
    return TensorProto.STRING if array.dtype.kind in "UO" else helper.np_dtype_to_tensor_dtype(array.dtype)


def build(c, symbolic):
    names, infos, weights = [], [], []
    for i, array in enumerate(c["inputs"]):
        names.append("" if array is None else f"x{i}")
        if array is None:
            continue
        if i in c["const"]:
            weights.append(numpy_helper.from_array(array, names[-1]))
        else:
            infos.append(value_info(names[-1], array, symbolic, f"d{i}_"))
    nodes = c["nodes"] or [helper.make_node(c["op"], names, list(c["outputs"]), domain=c["domain"], **(c["attrs"] or {}))]
    first = next(dtype_of(a) for a in c["inputs"] if a is not None and not isinstance(a, dict)) \
        if not all(a is None or isinstance(a, dict) for a in c["inputs"]) else TensorProto.FLOAT
    outs = []
    for i, name in enumerate(c["outputs"]):
        kind = (c["types"] or [first] * len(c["outputs"]))[i]
        if name:
            outs.append(helper.make_tensor_value_info(name, kind, None) if isinstance(kind, int)
                        else helper.make_value_info(name, kind))
    domains = dict(DOMAINS)
    if c["domain"] not in domains or c["opset"]:
        domains[c["domain"]] = c["opset"] or 1
    return helper.make_model(helper.make_graph(nodes, "g", infos, outs, weights), ir_version=10,
                             opset_imports=[helper.make_opsetid(d, v) for d, v in domains.items()])


def feeds_of(c):
    return {f"x{i}": a for i, a in enumerate(c["inputs"]) if a is not None and i not in c["const"]}


def ask(c, model):
    """Expected outputs: arrays, lists of dicts (a sequence of maps), ..."""
    if c["expected"] is not None:
        return c["expected"]
    if c["oracle"] == "reference":
        from onnx.reference import ReferenceEvaluator
        return ReferenceEvaluator(model).run(None, feeds_of(c))
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = session.run_with_ort_values(None, {k: ort.OrtValue.ortvalue_from_numpy(v) for k, v in feeds_of(c).items()}) \
        if any(isinstance(v, np.ndarray) and v.dtype.name == "bfloat16" for v in feeds_of(c).values()) else None
    return [v.numpy() for v in values] if values else session.run(None, feeds_of(c))


def to_proto(name, v):
    if isinstance(v, dict):
        keys, values = np.array(list(v)), np.array(list(v.values()))
        m = onnx.MapProto(name=name)
        m.key_type = TensorProto.STRING if keys.dtype.kind in "UO" else TensorProto.INT64
        if m.key_type == TensorProto.STRING:
            m.string_keys.extend(k.encode() for k in v)
        else:
            m.keys.extend(int(k) for k in keys)
        values = values.astype(np.float32) if values.dtype == np.float64 else values
        m.values.CopyFrom(helper.make_sequence("", onnx.SequenceProto.TENSOR,
                                               [numpy_helper.from_array(np.asarray(x)) for x in values]))
        return m
    if isinstance(v, list):
        kind = onnx.SequenceProto.MAP if v and isinstance(v[0], dict) else onnx.SequenceProto.TENSOR
        return helper.make_sequence(name, kind, [to_proto("", x) for x in v])
    v = np.asarray(v)
    return numpy_helper.from_array(v.astype(object) if v.dtype.kind == "U" else v, name)


def prepare(c, folder):
    """Write the case in ONNX's layout, with fixed and with symbolic dims; give the folders."""
    expected = None
    for kind in ("fixed", "symbolic") if c["symbolic"] else ("fixed",):
        model = build(c, kind == "symbolic")
        where = folder / c["name"] / kind
        data = where / "test_data_set_0"
        data.mkdir(parents=True)
        onnx.save(model, where / "model.onnx")
        for i, (name, v) in enumerate(feeds_of(c).items()):
            (data / f"input_{i}.pb").write_bytes(to_proto(name, v).SerializeToString())
        if c["exit"] == 0:
            expected = ask(c, model) if expected is None else expected
            names = [n for n in c["outputs"] if n]
            for i, (name, v) in enumerate(zip(names, expected)):
                (data / f"output_{i}.pb").write_bytes(to_proto(name, v).SerializeToString())
        else:  # a result that none gives, so that the run is tried
            name = next(n for n in c["outputs"] if n)
            (data / "output_0.pb").write_bytes(to_proto(name, np.full((2, 3, 5, 7), 1234.5, np.float32)).SerializeToString())
        yield where


def check(c, folder, infer_run):
    """None, or what is wrong."""
    try:
        places = list(prepare(c, folder))
    except Exception as e:  # noqa: BLE001: whatever the oracle raises fails this case only
        return f"the oracle failed: {str(e).splitlines()[0][:200]}"
    for where in places:
        p = subprocess.run([infer_run, where / "model.onnx", "--test", where, "--quiet", "--rtol", str(c["rtol"]), "--atol",
                            str(c["atol"]), "--quantum", str(c["quantum"]), "--compare", c["compare"]],
                           capture_output=True, text=True, timeout=120)
        if p.returncode != c["exit"]:
            lines = (p.stderr + p.stdout).strip().splitlines()
            return f"{where.name} dims: exit {p.returncode}, wanted {c['exit']}: {(lines or [''])[-1][:300]}"
    return None


def families():
    for path in sorted(HERE.glob("*.py")):
        if path.name != "peers.py":
            spec = importlib.util.spec_from_file_location(path.stem, path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            for c in module.cases():
                c["name"] = f"{path.stem}_{c['name']}"
                yield c


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", type=pathlib.Path, default=HERE.parent.parent / "build")
    p.add_argument("--only", default="")
    p.add_argument("--keep", type=pathlib.Path, help="leave the models and data in this folder")
    a = p.parse_args()
    sys.modules["peers"] = sys.modules["__main__"]
    cases = [c for c in families() if a.only in c["name"]]
    names = [c["name"] for c in cases]
    assert len(set(names)) == len(names), f"two cases have one name: {[n for n in names if names.count(n) > 1][:4]}"
    with tempfile.TemporaryDirectory(prefix="infer-peers-") as tmp, \
            concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        folder = a.keep or pathlib.Path(tmp)
        results = list(pool.map(lambda c: check(c, folder, a.build / "infer-run"), cases))
    for c, why in zip(cases, results):
        if why:
            print(f"FAIL {c['name']}: {why}")
    failed = sum(1 for r in results if r)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
