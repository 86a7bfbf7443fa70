#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Line coverage of core, graph, ops, onnx and runtime by the tests: sh tools/coverage.sh [arguments of tests/run.py]
# The last lines are a table; the exit status is 1 if the whole is under 90 %. The build is build-coverage/.
# Without arguments the suites run that say something about lines; the rest repeats them in other builds.
set -eu
cd "$(dirname "$0")/.."

build=${COVERAGE_BUILD:-build-coverage}
python=${COVERAGE_PYTHON:-}
if [ -z "$python" ]; then
    sh tools/setup.sh g++ git python3 python3-venv
    python=build/venv/bin/python
    [ -x $python ] || python3 -m venv build/venv
    # The peers need what test.sh installs.
    packages="gcovr $(sed -n "s/^packages='\(.*\)'$/\1/p" tools/test.sh)"
    # shellcheck disable=SC2086
    $python -c 'import gcovr, numpy, onnx, onnxruntime' 2>/dev/null ||
        $python -m pip install -q --disable-pip-version-check $packages
fi

[ -f "$build/build.ninja" ] ||
    meson setup "$build" --buildtype=debugoptimized -Db_coverage=true -Doptimization=1 >/dev/null
ninja -C "$build" all meson-test-prereq >"$build/build.log" 2>&1 || { tail -20 "$build/build.log" >&2; exit 1; }
find "$build" -name '*.gcda' -delete
[ $# -gt 0 ] || set -- --skip style,python,save,arch,asan,tsan
$python tests/run.py --build "$build" "$@" >"$build/tests.log" || grep FAIL "$build/tests.log" || true
tail -1 "$build/tests.log"

# A run adds to the counts of the process before it, so all of the tests' processes are in.
$python - "$build" <<'EOT'
import json
import subprocess
import sys

FOLDERS = ("core", "graph", "ops", "onnx", "runtime")
p = subprocess.run(
    [sys.executable, "-m", "gcovr", "--json-summary", "--root", ".", "--object-directory", sys.argv[1], "-j", "2",
     "--filter", f"({'|'.join(FOLDERS)})/", "--gcov-ignore-parse-errors=all",
     *(f"{sys.argv[1]}/{f}" for f in FOLDERS)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
if p.returncode:
    sys.exit(p.stderr)
folders, least = {f: (0, 0) for f in FOLDERS}, []
for f in json.loads(p.stdout)["files"]:
    folder = f["filename"].split("/")[0]
    total, hit = folders[folder]
    folders[folder] = total + f["line_total"], hit + f["line_covered"]
    least.append((f["line_total"] - f["line_covered"], f["filename"], f["line_percent"]))
print("lines not run, by file:")
for lines, name, percent in sorted(least, reverse=True)[:20]:
    print(f"  {lines:5d}  {name} ({percent} %)")
total, hit = (sum(x[k] for x in folders.values()) for k in (0, 1))
for name, (n, run) in {**folders, "all": (total, hit)}.items():
    print(f"{name:10} {100 * run / max(n, 1):5.1f} %  of {n} lines")
sys.exit(hit < 0.9 * total or not total)
EOT
