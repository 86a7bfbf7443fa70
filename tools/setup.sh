#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install what the build needs and is missing (Debian; as root or through sudo), configure and build into
# build/. Sourced or called by quickstart.sh and test.sh; silent where there is nothing to do.
set -eu
cd "$(dirname "$0")/.."

packages="gcc libc6-dev meson ninja-build pkg-config protobuf-c-compiler libprotobuf-c-dev libspng-dev
libjpeg62-turbo-dev libwebp-dev libtiff-dev libopenjp2-7-dev libpcre2-dev libutf8proc-dev zlib1g-dev $*"

missing=
for p in $packages; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
if [ -n "$missing" ]; then
    echo "installing:$missing"
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    export DEBIAN_FRONTEND=noninteractive
    $as_root apt-get -qq update
    # shellcheck disable=SC2086
    $as_root apt-get -qq install -y --no-install-recommends $missing >/tmp/infer-apt.log 2>&1 ||
        { tail -5 /tmp/infer-apt.log >&2; exit 1; }
fi

if [ ! -f build/build.ninja ]; then
    meson setup build --buildtype=release >build-setup.log 2>&1 || { cat build-setup.log >&2; exit 1; }
    mv build-setup.log build/
fi
ninja -C build >build/build.log 2>&1 || { grep -E 'error|FAILED' build/build.log >&2; tail -20 build/build.log >&2; exit 1; }
