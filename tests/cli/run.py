#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command line: exit statuses, messages, files. tests/cli/run.py [--build DIR] [NAME ...]

Each function named test_ is a test; it runs infer-run or infer-bench on models of tests/tiny.py in a folder
of its own and raises AssertionError with what it saw.
"""
import argparse
import json
import os
import pathlib
import stat
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import onnxfile  # noqa: E402
import tiny  # noqa: E402
from onnxfile import (BOOL, DOUBLE, FLOAT, INT64, STRING, UINT8, block, external, graph, info, info_of,  # noqa: E402
                      map_of, node, npy, number, optional_type, read_npy, sequence_type, tensor)

BUILD = ROOT / "build"
MODELS = pathlib.Path()
KITTEN = ROOT / "tests/data/kitten.png"
SQUEEZENET = ROOT / "tests/data/squeezenet.onnx"


class Result:
    def __init__(self, command, p):
        self.command, self.status, self.out, self.err = command, p.returncode, p.stdout, p.stderr

    def __str__(self):
        return f"{' '.join(map(str, self.command))}\nexit {self.status}\n{self.out[:2000]}{self.err[:2000]}"


def call(*args, program="infer-run", status=0, out="", err="", env=None, cwd=None):
    """Run a program; check its exit status and that its outputs hold these texts (or lists of texts)."""
    command = [BUILD / program, *args]
    p = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                       errors="replace", timeout=120, env={**os.environ, **(env or {})}, cwd=cwd)
    r = Result(command, p)
    assert r.status == status, f"wanted exit {status}: {r}"
    for texts, stream in ((out, r.out), (err, r.err)):
        for text in [texts] if isinstance(texts, str) else texts:
            assert text in stream, f"wanted '{text}': {r}"
    if status:
        assert r.err.startswith(f"{program}: ") or "warning: " in r.err, f"no message on stderr: {r}"
        assert r.err.count("\n") <= 2, f"more than a line on stderr: {r}"
    return r


def model(name):
    return MODELS / f"{name}.onnx"


# ---- usage ----------------------------------------------------------------------------------------

def test_help(d):
    for program in ("infer-run", "infer-bench"):
        r = call("--help", program=program, out=["usage: " + program, "--dim"])
        assert not r.err
    r = call("--help")
    for option in ("input output random dim test rtol atol compare quantum check threads precision device passes memory "
                   "timeout trace dot save external-data list repeat quiet json mean std order layout labels").split():
        assert f"--{option}" in r.out, f"--help does not tell of --{option}"


def test_version(d):
    call("--version", out="infer-run 0.")


def test_usage_errors(d):
    m = model("mlp")
    for args, text in [
            ([], "model"), (["--nonsense"], "--nonsense"), (["-x"], "-x"), ([m, m], "unexpected"),
            ([m, "--random"], "--random"), ([m, "--random", "x"], "--random"), ([m, "--random", ""], "--random"),
            ([m, "--random", "1x"], "--random"), ([m, "--quiet=1"], "--quiet"), ([m, "--repeat", "0"], "--repeat"),
            ([m, "--repeat", "many"], "--repeat"), ([m, "--timeout", "-1"], "--timeout"),
            ([m, "--timeout", "99999999999999999999"], "--timeout"), ([m, "--rtol", "-1"], "--rtol"),
            ([m, "--rtol", "nan"], "--rtol"), ([m, "--atol", "x"], "--atol"), ([m, "--compare", "x"], "--compare"),
            ([m, "--quantum", "x"], "--quantum"), ([m, "--list"], "--list"), ([m, "--dim", "batch"], "--dim"),
            ([m, "--dim", "batch=x"], "--dim"), ([m, "--dim", "batch=-1"], "--dim"), ([m, "--dim", "batch="], "--dim"),
            ([m, "--threads", "x"], "threads"), ([m, "--threads", "-1"], "threads"), ([m, "--memory", "much"], "memory"),
            ([m, "--cpu", "abacus"], "abacus"), ([m, "--device", "abacus"], "abacus"),
            ([m, "--precision", "f8"], "f8"), ([m, "--passes", "-nonsense"], "nonsense")]:
        call(*args, status=2, err=text)


def test_usage_of_bench(d):
    m = model("mlp")
    for args, text in [([], "expected"), (["model"], "expected"), (["nonsense", m], "expected"), (["model", m, m], "unexpected"),
                       (["model", m, "--seconds", "x"], "--seconds"), (["model", m, "--nonsense"], "--nonsense")]:
        call(*args, program="infer-bench", status=2, err=text)


def test_end_of_options(d):
    call("--quiet", "--random", "1", "--", model("mlp"))


def test_environment(d):
    call(model("mlp"), "--random", "1", env={"INFER_THREADS": "1"})
    call(model("mlp"), "--random", "1", env={"INFER_THREADS": "x"}, status=2, err="threads")
    call(model("mlp"), "--random", "1", "--threads", "1", env={"INFER_THREADS": "x"})
    call(model("mlp"), "--random", "1", env={"INFER_THREADS": ""})
    call(model("mlp"), "--random", "1", env={"INFER_CPU": "c"})


def test_lists(d):
    for what, text in [("ops", "Conv"), ("kernels", "gemm"), ("passes", "cse"), ("knobs", "memory")]:
        call("--list", what, out=text)
    call("--list", "nonsense", status=2, err="nonsense")
    rows = {tuple(r.split()[:2]): r for r in call("--list", "ops").out.splitlines()}
    assert "double" in rows["ai.onnx", "Sin"] and "int32" not in rows["ai.onnx", "Sin"], "the types of Sin"
    assert "int32" in rows["ai.onnx", "Add"] and " 8-8 " in call("--list", "ops").out, "types of Add, versions of Scan"


# ---- models ---------------------------------------------------------------------------------------

def test_missing_files(d):
    call(d / "none.onnx", status=3, err="none.onnx")
    call(d, status=3, err=str(d))
    call("/dev/null", status=3)
    (d / "empty.onnx").write_bytes(b"")
    call(d / "empty.onnx", status=3, err="empty.onnx")
    (d / "text.onnx").write_text("not a model\n")
    call(d / "text.onnx", "--random", "1", status=3, err="text.onnx")


def test_fifo_is_refused(d):
    os.mkfifo(d / "pipe.onnx")
    call(d / "pipe.onnx", status=3, err="pipe.onnx")


def test_wrong_model(d):
    call(model("wrong_graph"), status=3, err="nowhere")
    # ONNX's own set has no such operator, in any version: nothing that could ever be supported.
    (d / "no.onnx").write_bytes(onnxfile.model(graph([node("NoSuch", ["x"], ["y"])], [info("x", FLOAT, [])],
                                                     [info("y", FLOAT, [])])))
    call(d / "no.onnx", status=3, err="not in ONNX: NoSuch")
    call(d / "no.onnx", "--check", status=4, out="NoSuch")


def test_unsupported_model(d):
    call(model("unsupported"), "--random", "1", status=4, err=["NoSuchOperator", "Other"])
    r = call(model("unsupported"), "--check", status=4, out=["NoSuchOperator", "my.own"])
    assert "first" in r.out, f"the node is not named: {r}"


def test_check(d):
    r = call(model("mlp"), "--check", out="supported")
    assert "MiB" in r.out, f"no memory: {r}"
    call(model("loop_forever"), "--check")  # runs nothing
    r = call(model("mlp"), "--check", "--quiet")
    assert not r.out, f"not quiet: {r}"


def check_graph(d, *nodes):
    """--check of a model with x float[n], i int32[n] and c bool."""
    outputs = [info(f"y{k}", FLOAT, []) for k in range(len(nodes))]
    inputs = [info("x", FLOAT, ["n"]), info("i", onnxfile.INT32, ["n"]), info("c", onnxfile.BOOL, [])]
    (d / "check.onnx").write_bytes(onnxfile.model(graph(list(nodes), inputs, outputs)))
    return call(d / "check.onnx", "--check", status=4).out.splitlines()


def test_check_tells_of_everything(d):
    branch = graph([node("Cos", ["i"], ["b"], name="inner")], [], [info("b", FLOAT, [])])
    other = graph([node("Neg", ["x"], ["b"])], [], [info("b", FLOAT, [])])
    lines = check_graph(d, node("NoSuch", ["x"], ["y0"], name="first"), node("Relu", ["y0"], ["y1"]),
                        node("Sin", ["i"], ["y2"], name="second"), node("Sin", ["i"], ["y3"], name="third"),
                        node("If", ["c"], ["y4"], then_branch=("graph", branch), else_branch=("graph", other)))
    assert len(lines) == 4, lines
    assert "NoSuch" in lines[0] and "1 use: 'first'" in lines[0], lines[0]
    assert "Sin" in lines[1] and "int32" in lines[1] and "2 uses: 'second', 'third'" in lines[1], lines[1]
    assert "Cos" in lines[2] and "'inner'" in lines[2], lines[2]
    assert lines[3].startswith("2 nodes behind"), lines[3]


def test_check_memory(d):
    def planned(*dims):
        line = call(model("encoder"), "--check", *dims).out.splitlines()[-1]
        return float(line.split()[-5])
    assert planned("--dim", "sequence=2000") > planned("--dim", "sequence=20"), "memory does not grow with dims"


def test_save(d):
    for name in ("encoder", "conv", "cache", "if_else", "loop_sum", "text", "sequence"):
        call(model(name), "--save", d / "s.onnx")
        call(model(name), "--random", "1", "--output", d / "a")
        call(d / "s.onnx", "--random", "1", "--output", d / "b")
        for p in (d / "a").iterdir():
            assert p.read_bytes() == (d / "b" / p.name).read_bytes(), f"{name}: {p.name} differs"
    call(model("mlp"), "--save", d / "m.onnx", "--external-data")
    assert {p.name for p in d.iterdir()} >= {"m.onnx", "m.onnx.data"} or (d / "m.onnx").stat().st_size > 1000
    call(d / "m.onnx", "--save", d / "m.onnx", "--external-data")  # over itself
    call(d / "m.onnx", "--random", "1")
    call(model("mlp"), "--save", d / "none" / "m.onnx", status=3, err="none")
    call(model("mlp"), "--save", "/dev/full", status=3)
    call(model("mlp"), "--external-data", status=2, err="--save")
    call(model("unsupported"), "--save", d / "u.onnx", status=4)
    assert not [p for p in d.iterdir() if "tmp" in p.name or p.name == "u.onnx"], "something half-written stays"


def test_describe(d):
    call(model("mlp"), out=["x", "float[batch,8]", "batch", "MatMul", "y"])
    call(model("cache"), out=["past_key_values.0.key", "past", "present.0.value"])
    call(model("text"), out="string")
    call(model("optional_input"), out="optional")


def test_truncated_models(d):
    whole = model("encoder").read_bytes()
    for cut in range(1, len(whole), len(whole) // 23):
        (d / "cut.onnx").write_bytes(whole[:cut])
        p = subprocess.run([BUILD / "infer-run", d / "cut.onnx", "--random", "1", "--quiet"], capture_output=True, timeout=60)
        assert p.returncode in (0, 3, 4, 5), f"cut at {cut}: exit {p.returncode}: {p.stderr[:300]}"


def test_external_data(d):
    for name in ("external.onnx", "external.bin"):
        (d / name).write_bytes((MODELS / name).read_bytes())
    call(d / "external.onnx", "--random", "1")
    call("external.onnx", "--random", "1", cwd=d)
    (d / "external.bin").write_bytes(b"short")
    call(d / "external.onnx", "--random", "1", status=3, err="external.bin")
    (d / "external.bin").unlink()
    call(d / "external.onnx", "--random", "1", status=3, err="external.bin")


def test_external_data_stays_in_its_folder(d):
    (d / "secret.bin").write_bytes(bytes(256))
    (d / "sub").mkdir()
    def write(location):
        t = external(FLOAT, [8, 8], "w", location, 0, 256)
        g = graph([node("MatMul", ["x", "w"], ["y"])], [info("x", FLOAT, [1, 8])], [info("y", FLOAT, [1, 8])], [t])
        (d / "sub/m.onnx").write_bytes(onnxfile.model(g))
    for location in ("../secret.bin", str(d / "secret.bin"), "a/../../secret.bin"):
        write(location)
        call(d / "sub/m.onnx", "--random", "1", status=3)
    (d / "sub/link.bin").symlink_to(d / "secret.bin")
    write("link.bin")
    call(d / "sub/m.onnx", "--random", "1", status=3)
    call(d / "sub/m.onnx", "--random", "1", "--links", "1")


# ---- inputs ---------------------------------------------------------------------------------------

X = [0.5, -1.0, 2.0, 0.25, 0.0, 1.0, -0.5, 3.0]


def run_mlp(d, file, *more, **how):
    """y of the mlp for an input file."""
    call(model("mlp"), "--input", f"x={file}", "--output", d / "out", *more, **how)
    return read_npy((d / "out/y.npy").read_bytes())


def write_npz(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as z:
        for name, data in members.items():
            z.writestr(name + ".npy", data)


def test_input_formats(d):
    array = npy(FLOAT, [1, 8], X)
    (d / "x.npy").write_bytes(array)
    (d / "x.pb").write_bytes(tensor(FLOAT, [1, 8], X, "x"))
    (d / "x.txt").write_text(" ".join(map(str, X)) + "\n")
    (d / "commas.txt").write_text(",\n".join(map(str, X)))
    write_npz(d / "named.npz", {"other": npy(FLOAT, [1], [1.0]), "x": array})
    write_npz(d / "only.npz", {"arr_0": array})
    write_npz(d / "deflated.npz", {"x": array}, zipfile.ZIP_DEFLATED)
    want = run_mlp(d, d / "x.npy")
    assert want[1] == (1, 12) and abs(sum(want[2]) - 1) < 1e-5, want
    for name in ("x.pb", "x.txt", "commas.txt", "named.npz", "only.npz", "deflated.npz"):
        assert run_mlp(d, d / name) == want, f"{name} gives something else than x.npy"


def test_input_without_name(d):
    (d / "x.npy").write_bytes(npy(FLOAT, [1, 8], X))
    call(model("mlp"), "--input", d / "x.npy", out="y: float[1,12]")
    (d / "a=b.npy").write_bytes(npy(FLOAT, [1, 8], X))
    call(model("mlp"), "--input", d / "a=b.npy", out="y: float[1,12]")
    call(model("same_dim"), "--input", d / "x.npy", status=2, err=["a float[n,4]", "b float[n,4]"])


def test_fortran_order(d):
    rows = [list(range(8)), [x * 2 for x in range(8)]]
    (d / "c.npy").write_bytes(npy(FLOAT, [2, 8], [float(x) for r in rows for x in r]))
    columns = [float(rows[i][k]) for k in range(8) for i in range(2)]
    (d / "f.npy").write_bytes(npy(FLOAT, [2, 8], columns, "F"))
    assert run_mlp(d, d / "f.npy") == run_mlp(d, d / "c.npy")


def test_wrong_inputs(d):
    def write(name, data):
        (d / name).write_bytes(data)
        return f"x={d / name}"
    m = model("mlp")
    call(m, "--input", "z=/tmp/none.npy", status=3, err="x float[batch,8]")
    call(m, "--input", f"x={d}/none.npy", status=3, err="none.npy")
    call(m, "--input", f"x={d}", status=3)
    call(m, "--input", write("shape.npy", npy(FLOAT, [1, 9], X + [1.0])), status=3, err=["float[1,9]", "float[batch,8]"])
    call(m, "--input", write("rank.npy", npy(FLOAT, [8], X)), status=3, err="float[8]")
    call(m, "--input", write("dtype.npy", npy(DOUBLE, [1, 8], X)), status=3, err="double[1,8]")
    call(m, "--input", write("bad.npy", b"\x93NUMPY\x01\x00"), status=3, err="bad.npy")
    call(m, "--input", write("cut.npy", npy(FLOAT, [1, 8], X)[:-4]), status=3, err="cut.npy")
    call(m, "--input", write("bad.pb", b"\xff\xff\xff"), status=3)
    call(m, "--input", write("bad.npz", b"PK\x03\x04 no"), status=3)
    call(m, "--input", write("words.txt", b"1 2 three"), status=3, err="three")
    call(m, "--input", write("few.txt", b"1 2 3"), status=3, err="3 numbers")
    call(m, "--input", write("what.bin", b"1 2 3"), status=3, err="what.bin")
    call(m, status=0)
    good = write("good.npy", npy(FLOAT, [1, 8], X))
    call(m, "--input", good, "--input", good, status=2, err="twice")
    call(model("same_dim"), "--input", f"a={d}/a.npy", status=3, err="a.npy")
    (d / "a.npy").write_bytes(npy(FLOAT, [1, 4], X[:4]))
    call(model("same_dim"), "--input", f"a={d}/a.npy", status=3, err="'b'")
    call(model("same_dim"), "--input", f"a={d}/a.npy", "--random", "1", out="y: float[1,4]")
    (d / "b.npy").write_bytes(npy(FLOAT, [2, 4], X))
    call(model("same_dim"), "--input", f"a={d}/a.npy", "--input", f"b={d}/b.npy", status=3, err="'n'")


def test_python_objects_are_refused(d):
    head = "{'descr': '|O', 'fortran_order': False, 'shape': (1, 8), }\n"
    (d / "o.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + b"cos\nsystem\n")
    call(model("mlp"), "--input", f"x={d}/o.npy", status=4, err="|O")


def test_strings(d):
    (d / "s.pb").write_bytes(tensor(STRING, [2], ["one", "two words"], "x"))
    call(model("text"), "--input", d / "s.pb", "--output", d / "out", out=['"one"', '"two words"'])
    assert (d / "out/y.pb").exists() or (d / "out/y.npy").exists()


def test_random(d):
    for name, dims in [("mlp", "batch=2"), ("encoder", "sequence=5"), ("sequence", "n=2"), ("optional_input", "q=1"),
                       ("text", "n=2"), ("if_else", "n=3"), ("cache", "past=2"), ("late", "n=7")]:
        call(model(name), "--random", "7", "--dim", dims)
    def outputs(seed):
        call(model("mlp"), "--random", seed, "--output", d / f"o{seed}")
        return (d / f"o{seed}/y.npy").read_bytes()
    assert outputs(1) == outputs(1) != outputs(2)


def test_dims(d):
    call(model("mlp"), "--random", "1", "--dim", "batch=5", out="y: float[5,12]")
    call(model("mlp"), "--random", "1", "--dim", "batch=0", out="y: float[0,12]")
    call(model("mlp"), "--random", "1", out="y: float[1,12]")
    call(model("mlp"), "--random", "1", "--dim", "nonsense=5", out="y: float[1,12]", err=["warning", "nonsense"])
    call(model("encoder"), "--random", "1", "--dim", "batch=2", "--dim=sequence=9", out="y: float[2,9,16]")


def png(width, height, rgb):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\x00" + bytes(rgb) * width for _ in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def picture_model(dims, dtype=FLOAT):
    return onnxfile.model(graph([node("Identity", ["x"], ["y"])], [info("x", dtype, dims)], [info("y", dtype, dims)]))


def test_pictures(d):
    (d / "p.png").write_bytes(png(8, 6, (51, 102, 255)))
    (d / "m.onnx").write_bytes(picture_model([1, 3, 4, 4]))
    (d / "last.onnx").write_bytes(picture_model([1, 4, 4, 3]))
    (d / "u8.onnx").write_bytes(picture_model([1, 3, 4, 4], UINT8))
    (d / "gray.onnx").write_bytes(picture_model([1, 1, 4, 4]))
    def pixel(name, *more):
        call(d / f"{name}.onnx", "--input", d / "p.png", "--output", d / "o", *more)
        values = read_npy((d / "o/y.npy").read_bytes())[2]
        return [round(values[i], 4) for i in ((0, 1, 2) if name == "last" else (0, 16, 32) if name != "gray" else (0,))]
    assert pixel("m") == [0.2, 0.4, 1.0], pixel("m")
    assert pixel("last") == [0.2, 0.4, 1.0], pixel("last")
    assert pixel("m", "--order", "bgr") == [1.0, 0.4, 0.2]
    assert pixel("u8") == [51, 102, 255]
    assert pixel("m", "--mean", "50", "--std", "2") == [0.5, 26.0, 102.5]
    assert pixel("m", "--mean", "1,2,255", "--std", "1,1,2") == [50.0, 100.0, 0.0]
    assert abs(pixel("gray")[0] - (0.299 * 51 + 0.587 * 102 + 0.114 * 255) / 255) < 1e-3
    for bad in (["--order", "gbr"], ["--layout", "chwn"], ["--mean", "1,2"], ["--std", "x"], ["--std", "0"]):
        call(d / "m.onnx", "--input", d / "p.png", *bad, status=2, err=bad[0])
    (d / "cut.png").write_bytes(png(8, 6, (1, 2, 3))[:50])
    call(d / "m.onnx", "--input", d / "cut.png", status=3)
    call(model("mlp"), "--input", d / "p.png", status=3, err="3 or 4 dims")


def test_classification(d):
    call(SQUEEZENET, "--input", KITTEN, "--labels", ROOT / "tests/data/imagenet_classes.txt", "--order", "bgr",
         "--mean", "104,117,123", out="cat")
    call(SQUEEZENET, "--input", KITTEN, "--labels", d / "none.txt", status=3, err="none.txt")


# ---- outputs --------------------------------------------------------------------------------------

def test_output_files(d):
    call(model("cache"), "--random", "1", "--dim", "past=3", "--output", d / "a/b")
    assert sorted(p.name for p in (d / "a/b").iterdir()) == ["present.0.key.npy", "present.0.value.npy", "y.npy"]
    descr, dims, _ = read_npy((d / "a/b/present.0.key.npy").read_bytes())
    assert (descr, dims) == ("<f4", (1, 1, 4, 4)), (descr, dims)
    call(model("sequence"), "--random", "1", "--output", d / "s")
    assert (d / "s/all.pb").exists() and (d / "s/n.npy").exists()


def test_maps(d):
    m = model("maps")
    call(m, out=["m  map(int64,float[])", "z  sequence(map(string,float[]))"])
    call(m, "--random", "1", "--dim", "n=3", out=["z: sequence of 3", '{"cat": ', "v: float[1,3]", "t: string[1,0]"])
    (d / "m.pb").write_bytes(map_of({2: 0.5, 3: -1.0}))
    (d / "x.npy").write_bytes(npy(FLOAT, [2, 2], [1, 2, 3, 4]))
    given = ["--input", f"m={d / 'm.pb'}", "--input", f"x={d / 'x.npy'}"]
    call(m, *given, "--output", d / "out", out=['{"cat": 1, "dog": 2}', "-1 0 0.5", '"0.500000" "-1.000000"'])
    r = json.loads(call(m, *given, "--json").out)
    assert r["outputs"][0] == {"name": "z", "kind": "sequence", "count": 2}
    for name, wrong in ("keys", map_of({"a": 1.0})), ("values", map_of({1: 1.0}, DOUBLE)), ("kind", tensor(FLOAT, [2], [1, 2])):
        (d / f"{name}.pb").write_bytes(wrong)
        call(m, "--input", f"m={d / name}.pb", "--random", "1", status=3)
    # The results as a data set; entries of maps have no order.
    s = d / "set"
    s.mkdir()
    (s / "input_0.pb").write_bytes(tensor(FLOAT, [2, 2], [1, 2, 3, 4], "x"))
    (s / "input_1.pb").write_bytes(map_of({3: -1.0, 2: 0.5}, name="m"))
    (s / "output_0.pb").write_bytes((d / "out/z.pb").read_bytes())
    call(m, "--test", s, out="ok")

    def expect(*entries):
        items = b"".join(block(6, map_of(e)) for e in entries)
        (s / "output_0.pb").write_bytes(block(1, "z") + number(2, 4) + items)
    expect({"dog": 2.0, "cat": 1.0}, {"cat": 3.0, "dog": 4.0})
    call(m, "--test", s, out="ok")
    expect({"dog": 1.0, "cat": 2.0}, {"cat": 3.0, "dog": 4.0})
    call(m, "--test", s, status=1, err=["item 0", "values in order of the keys"])
    expect({"dog": 2.0, "cow": 1.0}, {"cat": 3.0, "dog": 4.0})
    call(m, "--test", s, status=1, err=["keys in order of the keys", "'cat', expected 'cow'"])
    expect({"dog": 2.0, "cat": 1.0})
    call(m, "--test", s, status=1, err="sequence of 2")


def test_optional_files(d):
    m = d / "optional.onnx"
    m.write_bytes(onnxfile.model(graph([node("Identity", ["o"], ["y"]), node("OptionalHasElement", ["o"], ["h"])],
                                  [info_of("o", optional_type(sequence_type(FLOAT)))],
                                  [info_of("y", optional_type(sequence_type(FLOAT))), info("h", BOOL, [])]), opset=18))
    inner = number(2, 1) + block(3, tensor(FLOAT, [2], [1, 2]))
    for name, data, has, text in ("full", number(2, 3) + block(5, inner), 1, "sequence of 1"), ("bare", inner, 1, "sequence of 1"), \
            ("empty", number(2, 3), 0, "nothing"):
        (d / f"{name}.pb").write_bytes(data)
        for path in d / f"{name}.pb", d / name / "y.pb":
            call(m, "--input", f"o={path}", "--output", d / name, out=[f"y: {text}", f"  {has}"])


def test_output_names(d):
    call(model("names"), "--random", "1", "--output", d / "out")
    assert [p.name for p in (d / "out").iterdir()] == ["..%2Fout%20put%3A0.npy"]
    assert [p.name for p in d.iterdir()] == ["out"], "something was written outside the folder"


def test_unwritable_output(d):
    (d / "file").write_text("a file")
    r = call(model("mlp"), "--random", "1", "--output", d / "file", status=3, err=str(d / "file"))
    assert not r.out and (d / "file").read_text() == "a file"
    call(model("mlp"), "--random", "1", "--output", d / "file/sub", status=3)
    call(model("mlp"), "--random", "1", "--output", "/proc/nowhere/out", status=3)
    (d / "out/y.npy").mkdir(parents=True)  # a folder is where the file should go
    call(model("mlp"), "--random", "1", "--output", d / "out", status=3, err="y.npy")
    assert [p.name for p in (d / "out").iterdir()] == ["y.npy"], "something half-written stays"


def test_full_disk(d):
    call(model("mlp"), "--random", "1", "--dot", "/dev/full", status=3)
    call(model("mlp"), "--random", "1", "--trace", "/proc/nowhere", status=3)


def test_replaced_as_a_whole(d):
    (d / "out").mkdir()
    (d / "out/y.npy").write_bytes(b"old" * 1000)
    call(model("mlp"), "--random", "1", "--output", d / "out")
    assert read_npy((d / "out/y.npy").read_bytes())[1] == (1, 12)
    assert len(list((d / "out").iterdir())) == 1, "temporary files stay"
    assert stat.S_IMODE((d / "out/y.npy").stat().st_mode) & 0o600 == 0o600


def test_json(d):
    r = call(model("cache"), "--random", "1", "--dim", "past=3", "--json")
    j = json.loads(r.out)
    assert j["ms"] > 0 and [o["name"] for o in j["outputs"]] == ["y", "present.0.key", "present.0.value"], j
    assert j["outputs"][1] == {"name": "present.0.key", "type": "float", "shape": [1, 1, 4, 4]}, j
    json.loads(call(model("names"), "--random", "1", "--json").out)
    json.loads(call(model("sequence"), "--random", "1", "--json").out)


def test_quiet(d):
    r = call(model("mlp"), "--random", "1", "--quiet", "--output", d / "o")
    assert not r.out and not r.err, str(r)


def test_repeat(d):
    call(model("mlp"), "--random", "1", "--repeat", "5", out="5 runs")


def test_trace(d):
    call(model("encoder"), "--random", "1", "--dim", "sequence=5", "--trace", d / "t.json")
    events = json.loads((d / "t.json").read_text())["traceEvents"]
    assert len(events) >= 10, f"{len(events)} events"
    for e in events:
        assert e["ph"] == "X" and e["dur"] >= 0 and e["ts"] >= 0 and e["name"] and isinstance(e["tid"], int), e
    assert len({e["cat"] for e in events}) > 1, "operators are not told apart"
    call(model("names"), "--random", "1", "--trace", d / "n.json")
    json.loads((d / "n.json").read_text())


def test_dot(d):
    call(model("encoder"), "--dot", d / "g.dot")
    text = (d / "g.dot").read_text()
    assert text.startswith("digraph") and text.rstrip().endswith("}") and "Softmax" in text, text[:200]
    call(model("names"), "--dot", d / "n.dot")
    assert text.count('"') % 2 == 0


# ---- data sets ------------------------------------------------------------------------------------

def write_set(folder, x=X, y=None, names=("x", "y")):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input_0.pb").write_bytes(tensor(FLOAT, [1, 8], x, names[0]))
    if y is not None:
        (folder / "output_0.pb").write_bytes(tensor(FLOAT, [1, len(y)], y, names[1]))


def test_data_sets(d):
    (d / "x.npy").write_bytes(npy(FLOAT, [1, 8], X))
    y = run_mlp(d, d / "x.npy")[2]
    m = model("mlp")
    for names in (("x", "y"), ("", ""), ("unknown", "other")):
        write_set(d / "sets/test_data_set_0", y=y, names=names)
        call(m, "--test", d / "sets", out="ok")
        call(m, "--test", d / "sets/test_data_set_0", out="ok")
    write_set(d / "sets/test_data_set_1", y=[v + 0.01 for v in y])
    call(m, "--test", d / "sets", status=1, out="test_data_set_1", err="1 of 2")
    r = call(m, "--test", d / "sets", "--quiet", status=1, err="'y'")
    assert not r.out
    call(m, "--test", d / "sets", "--atol", "0.1")
    call(m, "--test", d / "sets", "--rtol", "0.05", status=1)
    call(m, "--test", d / "sets", "--compare", "shape")
    call(m, "--test", d / "sets", "--compare", "tensor", "--rtol", "0.2")
    write_set(d / "wide/test_data_set_0", y=y + [0.0])
    call(m, "--test", d / "wide", "--compare", "shape", status=1, err="float[1,13]")
    write_set(d / "nan/test_data_set_0", y=[float("nan")] + y[1:])
    call(m, "--test", d / "nan", "--atol", "1000", status=1, err="nan")


def test_wrong_data_sets(d):
    m = model("mlp")
    call(m, "--test", d / "none", status=3, err="none")
    (d / "empty").mkdir()
    call(m, "--test", d / "empty", status=3, err="test_data_set")
    write_set(d / "half")
    call(m, "--test", d / "half", status=3)
    write_set(d / "bad", y=[0.0])
    (d / "bad/input_0.pb").write_bytes(b"\x07garbage")
    call(m, "--test", d / "bad", status=3, err="input_0.pb")
    (d / "bad/input_0.pb").unlink()
    call(m, "--test", d / "bad", status=3, err="'x'")


def test_folder_of_models(d):
    """DIR's subfolders that hold a model are tests of their own."""
    (d / "x.npy").write_bytes(npy(FLOAT, [1, 8], X))
    y = run_mlp(d, d / "x.npy")[2]
    for name in ("one", "two"):
        write_set(d / "all" / name / "test_data_set_0", y=y)
        (d / "all" / name / "model.onnx").write_bytes(model("mlp").read_bytes())
    call("--test", d / "all")
    write_set(d / "all/two/test_data_set_0", y=[0.0] * 12)
    call("--test", d / "all", status=1, err="two")


def test_integers_and_quanta(d):
    q = model("quantized")
    def sets(values):
        f = d / "q/test_data_set_0"
        f.mkdir(parents=True, exist_ok=True)
        (f / "input_0.pb").write_bytes(tensor(FLOAT, [3], [0.0, 0.5, 1.0], "x"))
        (f / "output_0.pb").write_bytes(tensor(UINT8, [3], values, "q"))
    sets([20, 30, 40])
    call(q, "--test", d / "q")
    sets([20, 31, 40])
    call(q, "--test", d / "q", status=1, err="30")
    call(q, "--test", d / "q", "--rtol", "1", status=1)
    call(q, "--test", d / "q", "--quantum", "1")


# ---- limits ---------------------------------------------------------------------------------------

def test_deadline(d):
    begin = time.monotonic()
    call(model("loop_forever"), "--random", "1", "--timeout", "200", status=6)
    assert time.monotonic() - begin < 10


def test_memory_limit(d):
    (d / "n.npy").write_bytes(npy(INT64, [1], [1 << 27]))
    call(model("expand_bomb"), "--input", d / "n.npy", "--memory", "64M", status=5, err="limit")
    (d / "n.npy").write_bytes(npy(INT64, [1], [1 << 60]))
    call(model("expand_bomb"), "--input", d / "n.npy", status=5)
    (d / "n.npy").write_bytes(npy(INT64, [1], [-1]))
    call(model("expand_bomb"), "--input", d / "n.npy", status=3)
    (d / "n.npy").write_bytes(npy(INT64, [1], [1000]))
    call(model("expand_bomb"), "--input", d / "n.npy", "--memory", "64M")
    call(model("grow"), "--random", "1", "--dim", "n=100000", "--memory", "64M", status=5)


def test_devices(d):
    a = call(model("encoder"), "--random", "1", "--dim", "sequence=5", "--device", "cpu", "--output", d / "cpu")
    call(model("encoder"), "--random", "1", "--dim", "sequence=5", "--device", "fake", "--output", d / "fake")
    assert (d / "cpu/y.npy").read_bytes() == (d / "fake/y.npy").read_bytes(), str(a)
    call(model("mlp"), "--random", "1", "--device", "cuda:7", status=4, err="cuda")
    for precision in ("bf16", "f16", "int8"):
        p = subprocess.run([BUILD / "infer-run", model("mlp"), "--random", "1", "--precision", precision], capture_output=True)
        assert p.returncode in (0, 4), p.stderr


def test_threads_and_levels(d):
    files = set()
    for threads in ("1", "2", "3"):
        call(model("encoder"), "--random", "1", "--dim", "sequence=33", "--threads", threads, "--output", d / threads)
        files.add((d / threads / "y.npy").read_bytes())
    assert len(files) == 1, "threads change bits"
    for passes in ("none", "-cse", "-identity"):
        call(model("encoder"), "--random", "1", "--dim", "sequence=5", "--passes", passes)


# ---- infer-bench ----------------------------------------------------------------------------------

def test_bench(d):
    r = call("model", model("encoder"), "--dim", "sequence=16", "--seconds", "0.1", "--json", program="infer-bench")
    j = json.loads(r.out)
    for key in "engine model threads load_ms first_ms p50_ms p90_ms p99_ms min_ms mean_ms runs peak_rss_mb".split():
        assert key in j, f"no {key}: {j}"
    assert j["min_ms"] <= j["p50_ms"] <= j["p90_ms"] <= j["p99_ms"] and j["runs"] >= 5 and j["peak_rss_mb"] > 0, j
    call("model", model("mlp"), "--seconds", "0.05", "--threads", "1", program="infer-bench", out=["p50", "load", "peak"])
    call("model", d / "none.onnx", program="infer-bench", status=3, err="none.onnx")
    call("model", model("unsupported"), program="infer-bench", status=4)


def test_bench_tune(d):
    cache = d / "folder" / "tuning.txt"
    args = ["tune", model("products"), "--dim", "m=40", "--dim", "n=50", "--seconds", "0.02", "--threads", "2"]
    r = call(*args, "--tuning-cache", cache, "--json", program="infer-bench")
    keys = json.loads(r.out)["keys"]
    assert len(keys) == 5 and all(k["chosen"] in k["us"] and k["us"]["auto"] > 0 for k in keys), r.out
    assert len(cache.read_text().splitlines()) == 5, cache.read_text()
    call(*args, "--tuning-cache", cache, program="infer-bench", out=["MatMul float", "5 keys"])
    assert len(cache.read_text().splitlines()) == 10, cache.read_text()
    call(*args, "--tuning-cache", "/proc/nowhere/t", program="infer-bench", status=3, out=["5 keys"], err="/proc/nowhere")
    call("tune", d / "none.onnx", program="infer-bench", status=3, err="none.onnx")
    call("tune", program="infer-bench", status=2, err="expected")
    call("model", model("mlp"), "--tuning", "maybe", program="infer-bench", status=2, err="maybe")


def test_bench_kernel(d):
    r = call("kernel", "norm", "--size", "2000", "--columns", "100", "--seconds", "0.001", "--json", program="infer-bench")
    rows = json.loads(r.out)
    assert rows and all(x["family"] == "norm" and x["rate"] > 0 and x["peak"] > 0 for x in rows), r.out
    for family in ["gemm", "unary", "binary", "softmax", "reduce", "transpose"]:
        call("kernel", family, "--size", "500", "--m", "3", "--n", "40", "--k", "9", "--seconds", "0.001", "--cpu", "c",
             program="infer-bench", out=[family, " c " if family != "gemm" else "4x8"])
    call("kernel", "abacus", program="infer-bench", status=2, err="abacus")
    call("kernel", program="infer-bench", status=2, err="expected")
    call("kernel", "gemm", "--cpu", "abacus", program="infer-bench", status=2, err="abacus")


def main():
    global BUILD, MODELS
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, default=BUILD)
    parser.add_argument("names", nargs="*")
    a = parser.parse_args()
    BUILD = a.build.resolve()
    tests = {n[5:]: f for n, f in globals().items() if n.startswith("test_")}
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="infer-cli-") as top:
        MODELS = pathlib.Path(top) / "models"
        tiny.write(MODELS)
        for name, test in tests.items():
            if a.names and name not in a.names:
                continue
            folder = pathlib.Path(top) / name
            folder.mkdir()
            try:
                test(folder)
                passed += 1
            except Exception as e:
                failed += 1
                where = traceback.extract_tb(e.__traceback__)
                line = [f.lineno for f in where if f.filename == __file__ and f.name.startswith("test_")]
                print(f"FAIL {name} (line {line[-1] if line else '?'}): {' | '.join(str(e).splitlines())[:900]}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
