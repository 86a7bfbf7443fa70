#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A folder includes only what stands to its left in ARCHITECTURE.md (infer-bench alone of the tools: kernels
# too); exit 1 names each wrong arrow.
cd "$(dirname "$0")/.." || exit 2
allowed() {
    case $1 in
    core) echo core ;;
    kernels) echo kernels ;;
    graph) echo core kernels graph ;;
    ops) echo core kernels graph ops ;;
    onnx) echo core kernels graph ops onnx ;;
    gpu) echo core kernels graph ops gpu ;;
    runtime) echo core kernels graph ops onnx gpu runtime ;;
    tools) echo core runtime/infer.h tools ;;
    tools/bench*) echo core kernels runtime/infer.h tools ;;
    esac
}
bad=0
for folder in core kernels graph ops onnx gpu runtime tools tools/bench*.[ch]; do
    [ "$folder" = tools ] && not="--exclude=bench*.[ch]" || not=
    for include in $(grep -rhoE '^#include "[a-z0-9_]+/[^"]+"' "$folder" --include='*.[ch]' $not | sed 's/.*"\(.*\)"/\1/' | sort -u); do
        ok=0
        for a in $(allowed "$folder"); do
            case $include in "$a" | "$a"/*) ok=1 ;; esac
        done
        [ $ok = 1 ] || { echo "$folder must not include $include"; bad=1; }
    done
done
exit $bad
