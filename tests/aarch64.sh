#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tests for aarch64, in an emulator: sh tests/aarch64.sh [SUITE ...]; "kernel op unit" by default.
#
# Installs what is missing (Debian; as root or through sudo), builds into build/aarch64 (or $BUILD) with
# tools/cross/aarch64.ini and the libraries that a small Arm system has, then runs the suites, every fortieth
# of ONNX's own tests that must pass (all of them with CASES=1, every Nth with CASES=N) and the quickstart's
# picture. The emulated processor is the base of the architecture (neon, no more). The last line is
# "N passed, N failed"; the exit status is 1 if anything failed. Nothing here says how fast anything is.
set -u
cd "$(dirname "$0")/.." || exit 2
passed=0 failed=0 skipped=0
build=${BUILD:-build/aarch64} cases=build/conformance
export QEMU_CPU="${QEMU_CPU:-cortex-a57}"
log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT

count() { # name, exit status
    if [ "$2" = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL aarch64: $1: exit $2: $(tail -1 "$log")"
    fi
}

skip() { # why
    skipped=$((skipped + 1))
    echo "SKIPPED aarch64: $1"
}

finish() {
    tail=
    [ $skipped = 0 ] || tail=", $skipped skipped"
    echo "$passed passed, $failed failed$tail"
    [ $failed = 0 ]
    exit
}

install_packages() {
    tools="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user meson ninja-build pkg-config protobuf-c-compiler"
    libraries="libgomp1 libprotobuf-c-dev zlib1g-dev libspng-dev libjpeg62-turbo-dev libwebp-dev"
    missing=
    for p in $tools $(printf '%s:arm64 ' $libraries); do
        dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
    done
    [ -n "$missing" ] || return 0
    echo "installing:$missing"
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    export DEBIAN_FRONTEND=noninteractive
    $as_root dpkg --add-architecture arm64 && $as_root apt-get -qq update &&
        $as_root apt-get -qq install -y --no-install-recommends $missing
}

# A program's own counts, or one test where it prints none.
suite() {
    programs=$(meson introspect --tests "$build" | python3 -c '
import json, sys
for t in json.load(sys.stdin):
    if "infer:" + sys.argv[1] in t["suite"]:
        print(t["name"], *t["cmd"])' "$1")
    [ -n "$programs" ] || { skip "no suite $1"; return; }
    while read -r name program; do
        # shellcheck disable=SC2086
        timeout 600 qemu-aarch64 $program >"$log" 2>&1 </dev/null
        rc=$?
        while IFS= read -r why; do
            [ -z "$why" ] || skip "$name: $why"
        done <<EOF
$(sed -n 's/^skipped: //p' "$log")
EOF
        counts=$(grep -oE '[0-9]+ passed, [0-9]+ failed' "$log" | tail -1)
        if [ -z "$counts" ] || { [ $rc != 0 ] && [ "${counts#*, }" = "0 failed" ]; }; then
            count "$1 $name" $rc
            continue
        fi
        passed=$((passed + ${counts%% *}))
        counts=${counts#*, }
        failed=$((failed + ${counts%% *}))
        [ $rc = 0 ] || { echo "FAIL aarch64: $1 $name"; grep -E 'failed:|^FAILED' "$log" | head -5; }
    done <<EOF
$programs
EOF
}

conformance() {
    [ -f $cases/cases.csv ] || { skip "no $cases (tools/test.sh makes it)"; return; }
    n=0
    for name in $(grep -v '^#' tests/conformance/expected.txt); do
        n=$((n + 1))
        [ $((n % ${CASES:-40})) = 0 ] || continue
        # kind,name,rtol,atol,compare
        IFS=, read -r kind _ rtol atol compare <<EOF
$(grep ",$name," $cases/cases.csv | tr -d '\r')
EOF
        [ "$compare" = shape ] || compare=element
        timeout 120 qemu-aarch64 "$build/infer-run" "$cases/$kind/$name/model.onnx" --test "$cases/$kind/$name" \
            --rtol "$rtol" --atol "$atol" --compare $compare --quiet >"$log" 2>&1 </dev/null
        rc=$?
        if [ $rc = 4 ] && grep -q 'left out of this build' "$log"; then
            skip "$name: $(tail -1 "$log")"
        else
            count "$name" $rc
        fi
    done
}

quickstart() {
    qemu-aarch64 "$build/infer-run" tests/data/squeezenet.onnx --input tests/data/kitten.png --order bgr \
        --mean 104,117,123 --labels tests/data/imagenet_classes.txt >"$log" 2>&1 && sed -n 2p "$log" | grep -q tabby
    count "the quickstart's picture" $?
}

command -v dpkg >/dev/null || { skip "needs Debian's packages"; finish; }
install_packages >"$log" 2>&1 || { skip "packages cannot be had: $(tail -1 "$log")"; finish; }
if [ ! -f "$build/build.ninja" ]; then
    meson setup "$build" --cross-file tools/cross/aarch64.ini -Dtiff=disabled -Djpeg2000=disabled -Dregex=disabled \
        -Dunicode=disabled >"$log" 2>&1 || { count "meson setup" 1; finish; }
fi
ninja -C "$build" all meson-test-prereq >"$log" 2>&1 || { grep -E 'error|FAILED' "$log"; count "the build" 1; finish; }
for s in ${*:-kernel op unit}; do
    suite "$s"
done
conformance
quickstart
finish
