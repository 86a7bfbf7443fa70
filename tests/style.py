#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks of the source and of what is built: style.py [--build DIR]. A check is a test; the last line counts.

Sources open with their licence, have no tabs and no space at a line's end; files of more than 800 lines need
a reason below; folders include only what they may; libinfer.so exports infer_ names alone; sizes stay small; every operator is named
by a test.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = {".c", ".h", ".cpp", ".def", ".py", ".sh", ".S", ".cu"}
LINES_MAX = 800
LONG = {}  # file: the reason why it is longer
SIZES = {"runtime/libinfer.so": 4 << 20, "infer-run": 5 << 20}
WORDS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")

passed = failed = skipped = 0


def check(name, problems):
    global passed, failed
    if problems:
        failed += 1
        print(f"FAIL {name}: {'; '.join(problems[:20])}" + (f" and {len(problems) - 20} more" if len(problems) > 20 else ""))
    else:
        passed += 1


def skip(why):
    global skipped
    skipped += 1
    print(f"SKIPPED {why}")


def sources():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    names = out.stdout.split("\n") if out.returncode == 0 else []
    return [ROOT / n for n in names if n and (ROOT / n).is_file() and
            (pathlib.Path(n).suffix in SOURCES or n.startswith(".ci/"))]


def check_sources():
    licence, tabs, space, long, words, ends = [], [], [], [], [], []
    for path in sources():
        name, text = str(path.relative_to(ROOT)), path.read_text(errors="replace")
        lines = text.split("\n")
        if "SPDX-License-Identifier: Apache-2.0" not in "\n".join(lines[:3]):
            licence.append(name)
        tabs += [f"{name}:{i}" for i, x in enumerate(lines, 1) if "\t" in x]
        space += [f"{name}:{i}" for i, x in enumerate(lines, 1) if x.endswith((" ", "\r"))]
        words += [f"{name}:{i}" for i, x in enumerate(lines, 1) if WORDS.search(x) and path != pathlib.Path(__file__)]
        if not text.endswith("\n") or text.endswith("\n\n"):
            ends.append(name)
        if len(lines) > LINES_MAX and name not in LONG:
            long.append(f"{name} has {len(lines)}")
    check("every source names its licence", licence)
    check("no tabs", tabs)
    check("no space at the end of a line", space)
    check("one newline at the end of a file", ends)
    check(f"no file over {LINES_MAX} lines", long)
    check("nothing left to do in comments", words)


def check_layers():
    out = subprocess.run(["sh", ROOT / "tests/layers.sh"], capture_output=True, text=True)
    check("folders include only what they may", out.stdout.splitlines() if out.returncode else [])


def check_exports(library):
    out = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True)
    names = [x.split()[-1] for x in out.stdout.splitlines()]
    check("libinfer.so exports infer_ names alone", [n for n in names if not n.startswith("infer_")] if names else ["nothing"])
    header = (ROOT / "runtime/infer.h").read_text()
    declared = set(re.findall(r"\b(infer_\w+)\s*\(", re.sub(r"/\*.*?\*/", "", header, flags=re.S)))
    check("libinfer.so has every function of infer.h", sorted(declared - set(names)))


def check_sizes(build):
    for name, most in SIZES.items():
        path = (build / name).resolve()
        if not path.exists():
            skip(f"{name} is not built")
            continue
        with tempfile.NamedTemporaryFile() as f:
            subprocess.run(["strip", "-o", f.name, path], check=True)
            size = pathlib.Path(f.name).stat().st_size
        check(f"{name} is under {most >> 20} MB", [f"{size} bytes"] if size > most else [])


def check_operators(program):
    """Each row of --list ops is named, in quotes or as a word of a list, by a test of operators."""
    out = subprocess.run([program, "--list", "ops"], capture_output=True, text=True)
    rows = {tuple(x.split()[:2]) for x in out.stdout.splitlines() if not x.startswith("infer ")}  # no model names ours
    tests = [p for p in sources() if p.parent in (ROOT / "tests/op", ROOT / "tests/peers") and p.suffix in (".c", ".py")]
    named = set()
    for path in tests:
        for text in re.findall(r'"((?:[^"\\\n]|\\.)*)"', path.read_text()):
            named.update(text.split())
    missing = sorted(f"{domain} {name}" for domain, name in rows if name not in named)
    check("no operator without a test", missing if rows else ["infer-run --list ops lists nothing"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    a = parser.parse_args()
    check_sources()
    check_layers()
    library = a.build / "runtime" / "libinfer.so"
    if library.exists():
        check_exports(library)
    else:
        skip("runtime/libinfer.so is not built")
    check_sizes(a.build)
    if (a.build / "infer-run").exists():
        check_operators(a.build / "infer-run")
    else:
        skip("infer-run is not built")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
