#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Line coverage of the library's folders by the tests: sh tools/coverage.sh [arguments of tests/run.py]
# The last lines are a table; the exit status is 1 if the whole is under 90 %. The build is build-coverage/.
set -eu
cd "$(dirname "$0")/.."

sh tools/setup.sh g++ git python3 python3-venv
python=build/venv/bin/python
[ -x $python ] || python3 -m venv build/venv
$python -c 'import gcovr' 2>/dev/null || $python -m pip install -q --disable-pip-version-check gcovr

[ -f build-coverage/build.ninja ] ||
    meson setup build-coverage --buildtype=debugoptimized -Db_coverage=true -Doptimization=1 >/dev/null
ninja -C build-coverage >build-coverage/build.log 2>&1 || { tail -20 build-coverage/build.log >&2; exit 1; }
find build-coverage -name '*.gcda' -delete
$python tests/run.py --build build-coverage --skip style,asan,tsan "$@" | tail -1

# A run adds to the counts of the process before it, so all of the tests' processes are in.
$python - <<'EOF'
import json
import subprocess
import sys

report = json.loads(subprocess.run(
    [sys.executable, "-m", "gcovr", "--json-summary", "--root", ".", "--object-directory", "build-coverage",
     "--filter", "(core|graph|ops|onnx|runtime)/", "--exclude", "build-coverage/.*",
     "--gcov-ignore-parse-errors=negative_hits.warn", "build-coverage"],
    check=True, capture_output=True, text=True).stdout)
folders, least = {}, []
for f in report["files"]:
    folder = f["filename"].split("/")[0]
    total, hit = folders.get(folder, (0, 0))
    folders[folder] = total + f["line_total"], hit + f["line_covered"]
    least.append((f["line_total"] - f["line_covered"], f["filename"], f["line_percent"]))
print("lines not run, by file:")
for lines, name, percent in sorted(least, reverse=True)[:20]:
    print(f"  {lines:5d}  {name} ({percent} %)")
for folder, (total, hit) in sorted(folders.items()):
    print(f"{folder:10} {100 * hit / total:5.1f} %  of {total} lines")
total, hit = (sum(x[k] for x in folders.values()) for k in (0, 1))
print(f"{'all':10} {100 * hit / total:5.1f} %  of {total} lines")
sys.exit(hit < 0.9 * total)
EOF
