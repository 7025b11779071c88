#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is missing: tools/setup.sh GROUP… (build, check, test, fuzz, demo, tasks, bench, interop).
# A package counts as there when the command or header is there that it is needed for, so this costs
# nothing when nothing is missing, and works where the same things came in another way. Without root
# or sudo it prints the command to run and exits 69 (EX_UNAVAILABLE of sysexits.h).
set -euo pipefail

# group, Debian package, the command or file that it is needed for (several: all of them)
packages() {
    cat <<'END'
build   gcc                  gcc
build   libc6-dev            /usr/include/stdio.h
build   make                 make
build   libuv1-dev           /usr/include/uv.h
build   liblz4-dev           /usr/include/lz4.h
build   libzstd-dev          /usr/include/zstd.h
build   zlib1g-dev           /usr/include/zlib.h
build   libsnappy-dev        /usr/include/snappy-c.h
build   libjansson-dev       /usr/include/jansson.h
build   libxxhash-dev        /usr/include/xxhash.h
build   libmicrohttpd-dev    /usr/include/microhttpd.h
test    libcmocka-dev        /usr/include/cmocka.h
test    python3              python3
test    strace               strace
test    procps               ps
test    kcat                 kcat
test    librdkafka-dev       /usr/include/librdkafka/rdkafka.h
test    librabbitmq-dev      /usr/include/amqp.h
check   clang                clang
check   clang-format         clang-format
check   clang-tidy           clang-tidy
fuzz    clang                clang
fuzz    llvm                 llvm-profdata
fuzz    libclang-rt-14-dev   /usr/lib/llvm-14/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a
demo    librdkafka-dev       /usr/include/librdkafka/rdkafka.h
demo    procps               ps
tasks   python3              python3
tasks   python3-venv         /usr/lib/python3*/ensurepip/__init__.py
bench   librdkafka-dev       /usr/include/librdkafka/rdkafka.h
bench   default-jre-headless java
bench   librabbitmq-dev      /usr/include/amqp.h
bench   python3-venv         /usr/lib/python3*/ensurepip/__init__.py
bench   maven                mvn
bench   pkg-config           pkg-config
bench   procps               ps
bench   util-linux           taskset
interop librdkafka-dev       /usr/include/librdkafka/rdkafka.h
interop kcat                 kcat
interop python3              python3
interop python3-venv         /usr/lib/python3*/ensurepip/__init__.py
interop default-jdk-headless javac
interop maven                mvn
interop amqp-tools           amqp-publish
interop pkg-config           pkg-config
interop golang-go            go
interop npm                  npm
END
}

there() {
    case $1 in
    /*) compgen -G "$1" >/dev/null ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

groups=" ${*:-build} "
missing=()
while read -r group package probe; do
    case $groups in *" $group "*) ;; *) continue ;; esac
    there "$probe" && continue
    case " ${missing[*]-} " in *" $package "*) continue ;; esac
    missing+=("$package")
done < <(packages)
[ ${#missing[@]} -gt 0 ] || exit 0

install=(apt-get install -y --no-install-recommends "${missing[@]}")
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
        as_root=(unavailable)
    else
        as_root=(sudo)
    fi
fi
if [ "${as_root[*]-}" = unavailable ] || ! command -v apt-get >/dev/null; then
    echo "weir needs packages that are not here and cannot be installed without root. Run:" >&2
    echo "    sudo apt-get update && sudo ${install[*]}" >&2
    exit 69
fi
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! "${as_root[@]}" apt-get update >"$log" 2>&1 || ! "${as_root[@]}" "${install[@]}" >"$log" 2>&1; then
    tail -20 "$log" >&2
    echo "weir could not install its packages. Try it by hand:" >&2
    echo "    sudo apt-get update && sudo ${install[*]}" >&2
    exit 69
fi
