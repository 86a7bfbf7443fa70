#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Build Infer and classify a picture: sh tools/quickstart.sh
set -eu
cd "$(dirname "$0")/.."
sh tools/setup.sh
echo "classifying tests/data/kitten.png with tests/data/squeezenet.onnx:"
build/infer-run tests/data/squeezenet.onnx --input tests/data/kitten.png --labels tests/data/imagenet_classes.txt \
    --order bgr --mean 104,117,123
