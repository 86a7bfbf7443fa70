#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every test of the project, counted one by one; the last line is "N passed, N failed".

    tests/run.py [--only SUITE,...] [--skip SUITE,...] [--build DIR] [--jobs N] [--update]

    meson         the programs of the build: kernel, unit, op, contract, api, fuzz replay; their own counts
    style         arrows between folders, source style, what the libraries export, their sizes
    cli           the command line (tests/cli/run.py)
    conformance   ONNX's own tests: those of tests/conformance/expected.txt must pass, all others must be
                  refused as not supported; --update adds to the list what passes
    real          ../shared/models/real but for tests/models/excluded.txt, which must be refused
    save          what --save writes of every conformance case and real model: ONNX's checker takes it where it
                  takes the source, and it gives the expected outputs
    python        the Python package, ONNX's backend runner over it, the wheel
    peers         single operators beside onnxruntime and ONNX's reference (tests/peers/peers.py)
    broken        ../shared/models/broken: the exit statuses that its index wants, at two CPU levels
    arch          the architecture models, on the CPU and on the fake device
    asan          a build with the address and undefined-behaviour sanitizers: programs, cli, broken models
    tsan          a build with the thread sanitizer (on pthreads): programs with several threads

and, only where named:

    sweep         ../shared/models/sweep, as real with tests/models/sweep_excluded.txt
    levels        conformance at every CPU level that this machine has
    plain         conformance and real with all passes off: what they expect, they expect of the graph as it is
    sanitized     conformance, real, sweep and peers in the build with the address sanitizer
    aarch64       kernels, operators and units built for aarch64, in an emulator (tests/aarch64.sh)

A suite that lacks its data is skipped and says why. Needs Python alone; making the conformance and arch
data needs the packages that tools/test.sh installs.
"""
import argparse
import concurrent.futures
import csv
import importlib.util
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import onnxfile  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
COUNTS = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)
SUPPRESS = {"ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1:detect_odr_violation=0",
            "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1", "TSAN_OPTIONS": "halt_on_error=1"}
# A tolerance is ONNX's usual 1e-3 of the tensor's largest value; formats of fewer bits have their own step.
LOOSE = {"float16": (2e-2, 2e-3), "bfloat16": (4e-2, 1e-2), "int8": (2e-2, 5e-3), "uint8": (2e-2, 5e-3),
         "uint16": (2e-2, 5e-3)}


class Count:
    """Results of a suite; failures are printed as they come."""

    def __init__(self, suite):
        self.suite, self.passed, self.failed, self.skipped = suite, 0, 0, 0

    def add(self, name, ok, why=""):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAIL {self.suite}: {name}: {why}", flush=True)

    def skip(self, why, n=1):
        self.skipped += n
        print(f"SKIPPED {self.suite}: {why}", flush=True)

    def text(self):
        return f"{self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else "")


def run(command, timeout, env=None, cwd=ROOT):
    """(exit status, output); a signal is a negative status, no answer in time is None."""
    p = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, cwd=cwd)
    try:
        out, _ = p.communicate(timeout=timeout)
        return p.returncode, out.decode(errors="replace")
    except subprocess.TimeoutExpired:
        p.kill()
        p.communicate()
        return None, "no answer in time"


def last_line(text):
    lines = text.strip().splitlines()
    wanted = [x for x in lines if "ERROR: AddressSanitizer" in x or "runtime error" in x or "WARNING: ThreadS" in x]
    return (wanted[:1] or lines[-1:] or [""])[0][:300]


def run_cases(a, count, cases, timeout=120, env=None):
    """Run infer-run for each (name, arguments, statuses that pass); give {name: (status, message)}."""
    def one(case):
        return case, run([a.build / "infer-run", *case[1], "--quiet"], timeout, env)
    results = {}
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        for (name, _, wanted), (status, out) in pool.map(one, cases):
            results[name] = status, last_line(out)
            if wanted is not None:
                count.add(name, status in wanted, f"exit {status}, wanted {sorted(wanted)}: {last_line(out)}")
    return results


def has_packages(*names):
    return all(importlib.util.find_spec(n) for n in names)


# ---- programs of the build ------------------------------------------------------------------------

def run_meson(a, count, tests=(), env=None, timeout=900):
    status, out = run(["meson", "test", "-C", a.build, "--no-rebuild", *tests], timeout, env)
    log = a.build / "meson-logs" / "testlog.json"
    if status is None or not log.exists():
        count.add("meson test", False, last_line(out))
        return
    for line in log.read_text().splitlines():
        t = json.loads(line)
        text = (t.get("stdout") or "") + (t.get("stderr") or "")
        found = COUNTS.findall(t.get("stdout") or "")
        passed, failed = (int(found[-1][0]), int(found[-1][1])) if found else (0, 0)
        count.passed += passed
        if t["result"] != "OK" or failed or not found:  # a program without counts is one test
            ok = t["result"] == "OK" and not failed
            why = [x for x in text.splitlines() if x.startswith("FAILED") or "failed:" in x]
            for _ in range(max(failed - 1, 0)):
                count.failed += 1
            count.add(t["name"], ok, f"{t['result']}: {'; '.join(why)[:600] or last_line(text)}")
        for x in text.splitlines():
            if x.startswith("skipped: "):
                count.skip(f"{t['name']}: {x[9:]}")


def build_tests(count, build):
    status, out = run(["ninja", "-C", build, "all", "meson-test-prereq"], 1500)
    errors = [x for x in out.splitlines() if "error" in x or "FAILED" in x or "undefined" in x]
    if status != 0:
        count.add("ninja", False, "; ".join(errors)[:600] or last_line(out))
    return status == 0


def suite_meson(a, count):
    if build_tests(count, a.build):
        run_meson(a, count)


def run_program(count, name, command, timeout, env=None):
    """A program that counts its own tests on its last line."""
    status, out = run(command, timeout, env)
    found = COUNTS.findall(out)
    for line in out.splitlines():
        if line.startswith(("FAIL", "SKIPPED")):
            print(f"{count.suite}: {line}", flush=True)
    if not found:
        count.add(name, False, f"exit {status}: {last_line(out)}")
        return
    count.passed += int(found[-1][0])
    count.failed += int(found[-1][1])
    count.skipped += int(found[-1][2] or 0)
    if status != (1 if int(found[-1][1]) else 0):
        count.add(name, False, f"exit {status}")


def suite_style(a, count):
    run_program(count, "style", [sys.executable, ROOT / "tests/style.py", "--build", a.build], 120)


def suite_cli(a, count):
    run_program(count, "cli", [sys.executable, ROOT / "tests/cli/run.py", "--build", a.build], 600)


# ---- ONNX's own tests -----------------------------------------------------------------------------

def conformance_data(count):
    data = ROOT / "build" / "conformance"
    if not (data / "cases.csv").exists():
        if not (SHARED / "conformance" / "export.py").exists():
            return count.skip("no ../shared/conformance/export.py")
        if not has_packages("numpy", "onnx"):
            return count.skip("making the cases needs the packages numpy and onnx (tools/test.sh installs them)")
        status, out = run([sys.executable, SHARED / "conformance" / "export.py", data], 600)
        if status != 0:
            return count.add("export.py", False, last_line(out))
    return data


def conformance_cases(data, wanted):
    for row in csv.DictReader(open(data / "cases.csv")):
        folder = data / row["kind"] / row["name"]
        compare = "shape" if row["compare"] == "shape" else "element"
        yield row["name"], [folder / "model.onnx", "--test", folder, "--rtol", row["rtol"], "--atol",
                            row["atol"], "--compare", compare], wanted


def listed(path):
    """{name: the rest of its line} of a list; # starts a comment."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {x.split()[0]: " ".join(x.split()[1:]) for x in lines if x.strip() and not x.startswith("#")}


def judge_conformance(count, results, expected):
    more, differs = [], listed(ROOT / "tests/conformance/differs.txt")
    for name, (status, why) in results.items():
        if name in differs and status == 1:
            count.skip(f"{name}: {differs[name]}")
        elif name in expected or status == 0:
            count.add(name, status == 0, f"exit {status}: {why}")
            more += [name] if name not in expected else []
        else:
            count.add(name, status == 4, f"not in expected.txt, so exit 4 is wanted; exit {status}: {why}")
    for name in sorted(set(expected) - set(results)):
        count.add(name, False, "in expected.txt, but there is no such case")
    return more


def suite_conformance(a, count, env=None):
    data = conformance_data(count)
    if not data:
        return
    path = ROOT / "tests/conformance/expected.txt"
    expected = listed(path)
    results = run_cases(a, Count(""), conformance_cases(data, None), env=env)
    more = judge_conformance(count, results, expected)
    if more and a.update:
        head = "".join(x + "\n" for x in path.read_text().splitlines() if x.startswith("#"))
        path.write_text(head + "".join(x + "\n" for x in sorted({*expected, *more})))
        print(f"added {len(more)} cases to {path.relative_to(ROOT)}")
    elif more:
        print(f"NOTE conformance: {len(more)} cases pass that expected.txt does not list (--update adds them)")


def suite_levels(a, count):
    for level in cpu_levels():
        before = count.text()
        suite_conformance(a, count, {"INFER_CPU": level})
        print(f"level {level}: {before} -> {count.text()}", flush=True)


def cpu_levels():
    flags = set(re.findall(r"\w+", pathlib.Path("/proc/cpuinfo").read_text()))
    return (["c"] + (["avx2"] if {"avx2", "fma", "f16c"} <= flags else []) +
            (["avx512"] if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags else []))


# ---- models ---------------------------------------------------------------------------------------

def model_cases(folder, excluded):
    table = folder.with_suffix(".csv")
    dtypes = {r["name"]: r["dtypes"] for r in csv.DictReader(open(table))} if table.exists() else {}
    for model in sorted(folder.glob("*/model.onnx")):
        name, meta = model.parent.name, model.parent / "meta.json"
        meta = json.loads(meta.read_text()) if meta.exists() else {"dtypes": dtypes.get(name, "")}
        rtol, atol, quantum = 1e-3, max(1e-5, 3 * (meta.get("ort_opt_vs_noopt_maxabsdiff") or 0)), 0
        for word, (r, t) in LOOSE.items():
            if word in json.dumps(meta["dtypes"]) + name:
                rtol, atol, quantum = max(rtol, r), max(atol, t), int("int" in word)
        yield name, [model, "--test", model.parent, "--rtol", rtol, "--atol", atol, "--quantum", quantum,
                     "--compare", "tensor"], {4} if name in excluded else {0}


def run_models(a, count, kind, list_name, env=None):
    folder = SHARED / "models" / kind
    if not folder.is_dir():
        return count.skip(f"no ../shared/models/{kind}")
    path = ROOT / "tests/models" / list_name
    excluded, differs = listed(path), listed(ROOT / "tests/models/differs.txt")
    cases = [(n, [str(x) for x in c], None if n in differs else w) for n, c, w in model_cases(folder, excluded)]
    results = run_cases(a, count, cases, env=env)
    for name in [n for n in differs if n in results]:
        status, why = results[name]
        if status == 1:
            count.skip(f"{name}: {differs[name]}")
        else:
            count.add(name, False, f"in differs.txt, so exit 1 is wanted; exit {status}: {why}")
    for name in excluded:
        if results.get(name, (4,))[0] == 0:
            print(f"NOTE {kind}: {name} passes now; take it out of {path.relative_to(ROOT)}")


def suite_real(a, count):
    run_models(a, count, "real", "excluded.txt")


def suite_sweep(a, count):
    run_models(a, count, "sweep", "sweep_excluded.txt")


def suite_plain(a, count):
    off = {"INFER_PASSES": "none"}
    suite_conformance(a, count, off)
    run_models(a, count, "real", "excluded.txt", off)


def save_and_check(a, checker, name, arguments, folder):
    """What is wrong with the saved form of a model that passes; None if nothing, "" if it does not run at all."""
    model, *rest = [str(x) for x in arguments]
    saved = folder / f"{name}.onnx"
    status, out = run([a.build / "infer-run", model, "--save", saved, "--external-data", "--quiet"], 120)
    if status == 4:
        return ""
    if status != 0:
        return f"--save: exit {status}: {last_line(out)}"
    why = checker(saved)
    if why and checker(model):
        why = None  # what the checker refuses is the source's own
    if why is None:
        status, out = run([a.build / "infer-run", saved, *rest, "--quiet"], 120)
        why = None if status == 0 else f"the saved model: exit {status}: {last_line(out)}"
    for path in (saved, saved.with_name(saved.name + ".data")):
        path.unlink(missing_ok=True)
    return why


def onnx_checker():
    import onnx

    def check(path):
        try:
            onnx.checker.check_model(str(path))
        except Exception as e:  # noqa: BLE001: whatever it raises is the finding
            return f"ONNX's checker: {str(e).strip().splitlines()[0][:200]}"
    return check


def suite_save(a, count):
    if not has_packages("onnx"):
        return count.skip("ONNX's checker is in the package onnx (tools/test.sh installs it)")
    data, real = conformance_data(count), SHARED / "models" / "real"
    differs = listed(ROOT / "tests/conformance/differs.txt")
    cases = [c for c in conformance_cases(data, None) if c[0] not in differs] if data else []
    cases += list(model_cases(real, listed(ROOT / "tests/models/excluded.txt"))) if real.is_dir() else []
    checker = onnx_checker()
    with tempfile.TemporaryDirectory(prefix="infer-save-") as folder, \
            concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        results = pool.map(lambda c: save_and_check(a, checker, c[0], c[1], pathlib.Path(folder)), cases)
        for (name, _, _), why in zip(cases, results):
            if why != "":
                count.add(name, why is None, why or "")


def suite_peers(a, count):
    if not has_packages("numpy", "onnx", "onnxruntime"):
        return count.skip("needs numpy, onnx and onnxruntime (tools/test.sh installs them)")
    run_program(count, "peers", [sys.executable, ROOT / "tests/peers/peers.py", "--build", a.build], 900)


def suite_python(a, count):
    """The package, ONNX's backend runner over it, and a wheel with the library in it."""
    if not has_packages("numpy", "onnx", "setuptools", "wheel"):
        return count.skip("needs numpy, onnx, setuptools and wheel (tools/test.sh installs them)")
    library = (a.build / "runtime" / "libinfer.so").resolve()
    env = {"INFER_LIBRARY": str(library), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in ("session", "backend"):
        run_program(count, name, [sys.executable, "-W", "ignore", ROOT / f"python/tests/{name}.py"], 300, env)
    with tempfile.TemporaryDirectory(prefix="infer-wheel-") as folder:
        folder = pathlib.Path(folder)
        shutil.copytree(ROOT / "python", folder / "python", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
        pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
        status, out = run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, folder / "python"], 300, env)
        wheels = list(folder.glob("*.whl"))
        if status == 0 and wheels:
            status, out = run([*pip, "install", "--no-deps", "--no-index", "--target", folder / "site", *wheels], 300)
        if status == 0:
            status, out = run([sys.executable, "-c", "import infer; print(infer.__version__)"], 60,
                              {"PYTHONPATH": str(folder / "site"), "INFER_LIBRARY": ""}, cwd=folder)
        count.add("wheel", status == 0, last_line(out))


def feed(folder, inputs):
    """--input for the tensors that a broken model's index entry asks for."""
    for name, (kind, dims) in (inputs or {}).items():
        path = pathlib.Path(folder) / f"{name}_{kind}_{'x'.join(map(str, dims))}.npy"
        n = math.prod(dims)
        values = [0] * n if kind.endswith("zeros") else [i % 7 / 4 + 1 for i in range(n)]
        dtype = onnxfile.FLOAT if kind.startswith("float32") else onnxfile.INT64
        path.write_bytes(onnxfile.npy(dtype, dims, [int(v) for v in values] if dtype == onnxfile.INT64 else values))
        yield from ("--input", f"{name}={path}")


def suite_broken(a, count, levels=("c", "")):
    folder = SHARED / "models" / "broken"
    if not (folder / "index.json").exists():
        return count.skip("no ../shared/models/broken")
    known = listed(ROOT / "tests/models/broken_known.txt")
    rows = json.loads((folder / "index.json").read_text())
    with tempfile.TemporaryDirectory(prefix="infer-broken-") as inputs:
        for level in levels:
            cases = [(f"{x['name']} at level {level or 'best'}",
                      [folder / x["name"] / "model.onnx", "--random", "1", "--timeout", "5000", *feed(inputs, x["feed"])],
                      set(x["exit"])) for x in rows if x["name"] not in known]
            run_cases(a, count, cases, timeout=60 if a.sanitized else 20, env={**SUPPRESS, "INFER_CPU": level})
    for name, why in known.items():
        count.skip(f"{name}: {why}")


def arch_data(count):
    models = ROOT / "build" / "models"
    source = SHARED / "models" / "arch"
    if not (source / "fill.py").exists():
        return count.skip("no ../shared/models/arch")
    names = sorted(p.stem for p in source.glob("*.onnx"))
    if any(not (models / f"{n}.{x}").exists() for n in names for x in ("onnx", "weights")):
        if not has_packages("numpy"):
            return count.skip("making the weights needs the package numpy (tools/test.sh installs it)")
        status, out = run([sys.executable, source / "fill.py", "--out", models], 900)
        if status != 0:
            return count.add("fill.py", False, last_line(out))
    lacking = [n for n in names if not (models / "golden" / n / "tolerance.json").exists()]
    if lacking:
        if not has_packages("numpy", "onnx", "onnxruntime"):
            return count.skip("making the expected outputs needs numpy, onnx and onnxruntime (tools/test.sh installs them)")
        status, out = run([sys.executable, source / "golden.py", models, *lacking], 900)
        if status != 0:
            return count.add("golden.py", False, last_line(out))
    return models


def suite_arch(a, count):
    models = arch_data(count)
    if not models:
        return
    cases = [(f"{g.name} on {device}", [models / f"{g.name}.onnx", "--test", g, "--rtol", "2e-4", "--atol", "1e-6",
                                        "--compare", "tensor", "--device", device], {0})
             for device in ("cpu", "fake") for g in sorted((models / "golden").iterdir())]
    # One at a time: they use all processors themselves.
    one = argparse.Namespace(**{**vars(a), "jobs": 1})
    run_cases(one, count, cases, timeout=300)


# ---- sanitizers -----------------------------------------------------------------------------------

def sanitized_build(a, count, name, sanitize, *options):
    build = a.build / name
    if not (build / "build.ninja").exists():
        status, out = run(["meson", "setup", build, f"-Db_sanitize={sanitize}", "-Db_lundef=false", "-Dbuildtype=plain",
                           "-Dc_args=-O1 -g1 -fno-omit-frame-pointer", "-Ddefault_library=static", *options], 300)
        if status != 0:
            return count.add("meson setup", False, last_line(out))
    return build_tests(count, build) and argparse.Namespace(**{**vars(a), "build": build, "sanitized": True})


def suite_asan(a, count):
    b = sanitized_build(a, count, "asan", "address,undefined")
    if not b:
        return
    run_meson(b, count, env=SUPPRESS)
    run_program(count, "cli", [sys.executable, ROOT / "tests/cli/run.py", "--build", b.build], 600, SUPPRESS)
    suite_broken(b, count)


def suite_sanitized(a, count):
    b = sanitized_build(a, count, "asan", "address,undefined")
    if b:
        suite_conformance(b, count, SUPPRESS)
        run_models(b, count, "real", "excluded.txt", SUPPRESS)
        run_models(b, count, "sweep", "sweep_excluded.txt", SUPPRESS)
        suite_peers(b, count)


def suite_tsan(a, count):
    b = sanitized_build(a, count, "tsan", "thread", "-Dthreads=pthreads")
    if b:
        run_meson(b, count, ["threads", "trace", "mem", "parallel", "stop", "state"], env=SUPPRESS)


# ---- another architecture -------------------------------------------------------------------------

def suite_aarch64(a, count):
    for tool in ("aarch64-linux-gnu-gcc", "qemu-aarch64"):
        if not shutil.which(tool):
            return count.skip(f"no {tool} (sh tests/aarch64.sh installs it)")
    run_program(count, "aarch64", ["sh", ROOT / "tests/aarch64.sh"], 3600, {"BUILD": str(a.build / "aarch64")})


# ---- all ------------------------------------------------------------------------------------------

SUITES = {"meson": suite_meson, "style": suite_style, "cli": suite_cli, "conformance": suite_conformance,
          "real": suite_real, "save": suite_save, "peers": suite_peers, "python": suite_python,
          "broken": suite_broken, "arch": suite_arch, "asan": suite_asan, "tsan": suite_tsan,
          "sweep": suite_sweep, "levels": suite_levels, "plain": suite_plain, "sanitized": suite_sanitized,
          "aarch64": suite_aarch64}
LONG = {"sweep", "levels", "plain", "sanitized", "aarch64"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--only", default="", help="suites, with commas")
    parser.add_argument("--skip", default="", help="suites, with commas")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--update", action="store_true", help="add to expected.txt what passes")
    a = parser.parse_args()
    a.build, a.sanitized = a.build.resolve(), False
    only, skip = set(filter(None, a.only.split(","))), set(filter(None, a.skip.split(",")))
    if (only | skip) - set(SUITES):
        parser.error(f"no such suite: {', '.join((only | skip) - set(SUITES))}")
    total = Count("")
    if not only or "meson" in only:
        arch_data(total) # the contract tests run on these models, too
    for name, suite in SUITES.items():
        if (only and name not in only) or name in skip or (name in LONG and name not in only):
            continue
        count, begin = Count(name), time.monotonic()
        suite(a, count)
        print(f"{name}: {count.text()} ({time.monotonic() - begin:.1f} s)", flush=True)
        total.passed += count.passed
        total.failed += count.failed
        total.skipped += count.skipped
    print(total.text())
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
