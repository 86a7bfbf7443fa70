#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What takes long: sh tools/soak.sh [PART ...]; all of them, more than an hour, by default.
#
#   sweep    several hundred small models with known answers
#   levels   ONNX's own tests at every CPU level
#   aarch64  kernels, operators and units on aarch64 in an emulator
#   plain    ONNX's own tests and real models with all passes off
#   sanitized  ONNX's own tests, real and small models and single operators under the address sanitizer
#   fail     every allocation of a load and a run fails, one by one, on small models under the address sanitizer
#   runs     ten thousand runs of a text encoder with random batch and sequence; memory must stay flat
#   fuzz     each target for FUZZ_SECONDS (600); what it finds goes to build/fuzz/TARGET and stops the target
#
# The last line is "N passed, N failed"; the exit status is 1 if anything failed.
set -u
cd "$(dirname "$0")/.." || exit 2
passed=0 failed=0 skipped=0
python=build/venv/bin/python

count() { # name, exit status
    if [ "$2" = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $1: exit $2"
    fi
}

skip() {
    skipped=$((skipped + 1))
    echo "SKIPPED $1"
}

suite() { # of tests/run.py: its counts are added
    out=$($python tests/run.py --only "$1") || true
    printf '%s\n' "$out"
    last=$(printf '%s\n' "$out" | tail -1)
    case $last in
    *" passed, "*" failed"*)
        set -- $last
        passed=$((passed + $1))
        failed=$((failed + $3))
        [ $# -lt 6 ] || skipped=$((skipped + $5))
        ;;
    *) count "$1" 1 ;;
    esac
}

soak_sweep() {
    suite sweep
}

soak_levels() {
    suite levels
}

soak_aarch64() {
    suite aarch64
}

soak_plain() {
    suite plain
}

soak_sanitized() {
    suite sanitized
}

soak_fail() {
    ninja -C build/asan tests/contract/soak infer-run >/dev/null || { count "the sanitized build" 1; return; }
    tiny=build/asan/tests/contract/tiny
    for m in mlp:batch=3 conv:batch=2 encoder:batch=2,sequence=5 cache:batch=1,sequence=2,past=3 dims:a=2,b=3 late:n=9 \
        loop_sum:k=3 scan_sum:n=4 if_else:n=4 sequence:n=3 text:n=3 functions:n=3 external:n=3 quantized:n=5; do
        build/asan/tests/contract/soak fail "$tiny/${m%%:*}.onnx" "${m#*:}"
        count "failing allocations of ${m%%:*}" $?
    done
    real=../shared/models/real
    [ -d $real ] || { skip "failing allocations of real models: no $real"; return; }
    for m in mnist_cntk: cifar10_pytorch_cnn:batch_size=1 scan_cntk_lstm:Sequence=3 ctc_greedy_loop:t=5,classes=7 llama_tiny_optimum_style: bert_toy:; do
        build/asan/tests/contract/soak fail "$real/${m%%:*}/model.onnx" "${m#*:}"
        count "failing allocations of ${m%%:*}" $?
    done
}

soak_runs() {
    [ -f build/models/minilm_l6.onnx ] || { skip "runs: no build/models/minilm_l6.onnx (tools/test.sh makes it)"; return; }
    ninja -C build tests/contract/soak >/dev/null
    build/tests/contract/soak runs build/models/minilm_l6.onnx 10000 batch:4 sequence:64
    count "ten thousand runs" $?
    build/tests/contract/soak runs build/tests/contract/tiny/encoder.onnx 100000 batch:5 sequence:200
    count "a hundred thousand runs" $?
}

soak_fuzz() {
    command -v clang >/dev/null || sh tools/setup.sh clang
    # NULL + 0 is what clang 14 calls an overflow; C2y defines it.
    if [ ! -f build/fuzzing/build.ninja ]; then
        CC=clang meson setup build/fuzzing -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false -Dthreads=pthreads \
            -Dbuildtype=plain '-Dc_args=-O1 -g -fsanitize=fuzzer-no-link -fno-sanitize=pointer-overflow' >/dev/null || { count "the fuzzing build" 1; return; }
    fi
    export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    for t in wire import run tune; do
        ninja -C build/fuzzing "tests/fuzz/fuzz_$t" >/dev/null || { count "fuzz_$t" 1; continue; }
        mkdir -p "build/fuzz/$t/corpus"
        build/fuzzing/tests/fuzz/fuzz_$t -max_total_time="${FUZZ_SECONDS:-600}" -max_len=65536 -timeout=20 -rss_limit_mb=2048 \
            -artifact_prefix="build/fuzz/$t/" "build/fuzz/$t/corpus" tests/fuzz/corpus >"build/fuzz/$t/log" 2>&1
        rc=$?
        tail -3 "build/fuzz/$t/log"
        count "fuzz_$t" $rc
    done
}

[ -f build/build.ninja ] && [ -x $python ] || { echo "run tools/test.sh first" >&2; exit 2; }
for part in ${*:-sweep levels plain sanitized aarch64 fail runs fuzz}; do
    begin=$(date +%s)
    case $part in
    sweep | levels | plain | sanitized | aarch64 | fail | runs | fuzz) "soak_$part" ;;
    *) echo "soak.sh: '$part' is not sweep, levels, plain, sanitized, aarch64, fail, runs or fuzz" >&2; exit 2 ;;
    esac
    echo "$part: $(($(date +%s) - begin)) s"
done
tail=
[ $skipped = 0 ] || tail=", $skipped skipped"
echo "$passed passed, $failed failed$tail"
[ $failed = 0 ]
