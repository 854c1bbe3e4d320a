#!/usr/bin/env bash
# Makes the environment `.venv` step by step; the Makefile calls the steps in order when they are due.
#
#   scripts/environment.sh create         an empty environment: with ROS 2 as wheels, or beside a sourced ROS 2
#   scripts/environment.sh dependencies   the pinned packages
#   scripts/environment.sh build          messages and programs, by colcon, straight into the environment
#   scripts/environment.sh compile        bytecode of what the programs import, so that they start fast
#
# PYTHON=... chooses the interpreter, DISTRO=kilted other wheels than Jazzy's. Output of the tools goes to build/log; a failure is one line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ROOT="$PWD"
VENV="$ROOT/${VENV:-.venv}"
DISTRO="${DISTRO:-jazzy}" # of the wheels; a sourced ROS 2 is what it is
BUILD="$ROOT/build"
[ "$DISTRO" = jazzy ] || BUILD="$ROOT/build/$DISTRO"
LOGS="$BUILD/log"
ROS="${ROS:?set by the Makefile: wheels or sourced}"

say() { echo "[ovseg_ros] $*"; }
fail() {
    echo "[ovseg_ros] ERROR: $*" >&2
    exit 1
}

# logged NAME COMMAND...: runs a command quietly; says in one line what went wrong.
logged() {
    local log="$LOGS/$1.log"
    shift
    mkdir -p "$LOGS"
    "$@" >"$log" 2>&1 && return
    if grep -qiE 'dns error|failed to (fetch|connect)|could not (connect|resolve)|name resolution|unreachable|NewConnectionError|timed out|no matching distribution found for uv' "$log"; then
        fail "no network: the package registry cannot be reached (details: ${log#"$ROOT"/})"
    fi
    tail -n 20 "$log" >&2
    fail "$(basename "$1") failed (whole output: ${log#"$ROOT"/})"
}

# Prints why an interpreter cannot be used; nothing when it can.
objection() {
    local version headers
    # A pyenv shim may be there and still not run.
    version="$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" || {
        echo "$1 does not run"
        return
    }
    case "$version" in
        3.10 | 3.11 | 3.12) ;;
        *)
            echo "$1 is Python $version"
            return
            ;;
    esac
    headers="$("$1" -c 'import sysconfig; print(sysconfig.get_config_var("INCLUDEPY"))')"
    if [ ! -f "$headers/Python.h" ]; then
        echo "$1 has no headers (Python.h; on Debian and Ubuntu the package python$version-dev)"
    elif [ "$ROS" = sourced ] && ! "$1" -c 'import rclpy' 2>/dev/null; then
        echo "$1 cannot import the rclpy of the sourced ROS 2"
    fi
}

find_python() {
    local candidate reason reasons=""
    if [ -n "${PYTHON:-}" ]; then
        reason="$(objection "$PYTHON")"
        [ -z "$reason" ] || fail "Python 3.10, 3.11 or 3.12 with headers is needed, but PYTHON=$reason"
        command -v "$PYTHON"
        return
    fi
    local candidates="python3.11 python3.12 python3.10 python3 /usr/bin/python3"
    [ "$ROS" = wheels ] || candidates="python3 /usr/bin/python3"
    for candidate in $candidates; do
        command -v "$candidate" >/dev/null || continue
        reason="$(objection "$candidate")"
        if [ -z "$reason" ]; then
            command -v "$candidate"
            return
        fi
        reasons="$reasons; $reason"
    done
    fail "Python 3.10, 3.11 or 3.12 with headers is needed${reasons:+ ($(echo "$reasons" | cut -c3-))}; choose one with PYTHON=/path/to/python"
}

check_compiler() {
    local tool
    for tool in "${CC:-cc}" "${CXX:-c++}"; do
        command -v "${tool%% *}" >/dev/null ||
            fail "no C/C++ compiler: ${tool%% *} is not there (on Debian and Ubuntu the package build-essential)"
    done
}

create() {
    [ "$DISTRO" = jazzy ] || [ -f "scripts/$DISTRO.txt" ] || fail "there are no wheels of ROS 2 $DISTRO: DISTRO is jazzy or kilted"
    case "$ROOT" in *" "*) fail "the path of this checkout has a space in it, which CMake and shebangs do not bear: $ROOT" ;; esac
    check_compiler
    local python site_packages=()
    python="$(find_python)"
    [ "$ROS" = wheels ] || site_packages=(--system-site-packages)
    say "Creating ${VENV##*/} with $("$python" --version) ($python), ROS 2 $([ "$ROS" = sourced ] && echo "${ROS_DISTRO:-} as sourced" || echo "$DISTRO as wheels")"
    rm -rf "$VENV"
    if uv --version >/dev/null 2>&1; then
        logged create uv venv --python "$python" "${site_packages[@]}" "$VENV"
    elif "$python" -c 'import ensurepip' 2>/dev/null; then
        logged create "$python" -m venv "${site_packages[@]}" "$VENV"
        say "Installing uv into .venv"
        logged uv "$VENV/bin/python" -m pip install --disable-pip-version-check --retries 1 --ignore-installed --constraint constraints.txt uv
    else
        fail "$python cannot make virtual environments (on Debian and Ubuntu the package python3-venv), and uv is not there"
    fi
}

dependencies() {
    local extras=(--extra dev --extra tools --extra sam) uv="$VENV/bin/uv"
    [ -x "$uv" ] || uv=uv
    # uv does not read pip's settings; follow them where they name another registry or certificates.
    local index
    index="${PIP_INDEX_URL:-$("$VENV/bin/python" -m pip config get global.index-url 2>/dev/null || true)}"
    [ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
    [ -z "${PIP_CERT:-}" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
    export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-180}" UV_LINK_MODE="${UV_LINK_MODE:-}"
    [ -n "$UV_LINK_MODE" ] || unset UV_LINK_MODE
    local constraints=constraints.txt
    if [ "$ROS" = wheels ] && [ "$DISTRO" = jazzy ]; then
        extras+=(--extra ros)
    elif [ "$ROS" = wheels ]; then
        # The versions of this distribution's wheels, in place of those that are pinned for Jazzy.
        constraints="$LOGS/constraints.txt"
        mkdir -p "$LOGS"
        grep -v '^ros-' constraints.txt >"$constraints"
        extras+=(--requirement "scripts/$DISTRO.txt")
    else
        command -v colcon >/dev/null || say "The sourced ROS 2 has no colcon: it comes from the registry"
    fi
    say "Installing the pinned dependencies (the first time some GB, mostly torch)"
    logged dependencies "$uv" pip install --python "$VENV/bin/python" --requirement pyproject.toml \
        "${extras[@]}" --constraint "$constraints"
    if [ "$ROS" = wheels ]; then
        say "Pointing the CMake files of the ROS wheels at this Python"
        logged patch "$VENV/bin/python" scripts/patch_cmake_exports.py
    elif ! command -v colcon >/dev/null; then
        logged colcon "$uv" pip install --python "$VENV/bin/python" --constraint constraints.txt colcon-common-extensions
    fi
}

build() {
    check_compiler
    say "Building messages and programs with colcon into ${VENV##*/}"
    export PATH="$VENV/bin:$PATH"
    unset MAKEFLAGS MAKELEVEL MFLAGS
    if [ "$ROS" = wheels ]; then
        export AMENT_PREFIX_PATH="$VENV" CMAKE_PREFIX_PATH="$VENV"
    fi
    logged build colcon --log-base "$BUILD/colcon" build --paths . --build-base "$BUILD" --merge-install \
        --install-base "$VENV" --event-handlers console_direct+ --cmake-args -DBUILD_TESTING=OFF \
        -DOVSEG_ROS_EDITABLE=ON "-DOVSEG_ROS_INTERPRETER=$VENV/bin/python" "-DPython3_EXECUTABLE=$VENV/bin/python"
}

compile() {
    say "Compiling what the programs import (bytecode)"
    logged compile "$VENV/bin/python" scripts/compile_imports.py
}

case "${1:-}" in
    create | dependencies | build | compile) "$1" ;;
    *) fail "unknown step '${1:-}': create, dependencies, build or compile" ;;
esac
