#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Build and run every test that is not long: sh tools/test.sh [arguments of tests/run.py]
# The last line is "N passed, N failed"; the exit status is 1 if anything failed.
set -eu
cd "$(dirname "$0")/.."

begin=$(date +%s)
sh tools/setup.sh g++ git python3 python3-venv
echo "build: $(($(date +%s) - begin)) s"

# The oracle: it makes test data and never runs in a test.
packages='numpy onnx==1.23.2 onnxruntime==1.31.1 setuptools wheel'
python=build/venv/bin/python
[ -x $python ] || python3 -m venv build/venv
$python - <<'EOF' || { echo "installing: $packages"; $python -m pip install -q --disable-pip-version-check $packages || true; }
import importlib.metadata as m, sys
try:
    sys.exit(not (m.version("onnx") == "1.23.2" and m.version("onnxruntime") == "1.31.1" and m.version("numpy") and m.version("setuptools") and m.version("wheel")))
except m.PackageNotFoundError:
    sys.exit(1)
EOF
exec $python tests/run.py "$@"
