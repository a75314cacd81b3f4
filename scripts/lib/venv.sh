# shellcheck shell=bash
# Sourced by the other scripts. After `use_venv` the project's own environment is first in PATH.
#
#   PYTHON          the interpreter to build it with (default: the first of python3, python3.13 ... 3.11 that is new enough)
#   HASHSCAN_VENV   where it is (default: .venv in the repository)

REPOSITORY=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VENV=${HASHSCAN_VENV:-$REPOSITORY/.venv}

die() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local name
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null || die "PYTHON=$PYTHON is not a program"
        is_new_enough "$PYTHON" || die "PYTHON=$PYTHON is older than 3.11: $("$PYTHON" --version 2>&1)"
        command -v "$PYTHON"
        return
    fi
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null && is_new_enough "$name"; then
            command -v "$name"
            return
        fi
    done
    die "no Python 3.11 or newer was found: install one, or name it in PYTHON"
}

# What the environment was built from: another interpreter builds it anew, another pyproject.toml installs again.
stamp_of() {
    "$1" -c 'import sys; print(sys.version, sys.base_prefix)'
    "$1" -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$REPOSITORY/pyproject.toml"
    printf '%s\n' "$REPOSITORY"
}

use_venv() {
    local python stamp
    python=$(find_python) || exit 1
    stamp=$(stamp_of "$python")
    # One builder at a time; the lock is on the repository's directory, because building empties the environment's.
    exec 9<"$REPOSITORY"
    ! command -v flock >/dev/null || flock 9
    if [ "$(cat "$VENV/.stamp" 2>/dev/null)" != "$stamp" ]; then
        build_venv "$python"
        printf '%s\n' "$stamp" >"$VENV/.stamp"
    fi
    exec 9<&-
    export PATH="$VENV/bin:$PATH" VIRTUAL_ENV="$VENV"
    unset PYTHONHOME
}

build_venv() {
    "$1" -c 'import venv, ensurepip' 2>/dev/null ||
        die "$1 lacks the modules venv and ensurepip: install them (on Debian: apt install python3-venv)"
    printf 'building %s with %s\n' "$VENV" "$("$1" --version)" >&2
    "$1" -m venv --clear "$VENV"
    (cd "$REPOSITORY" && "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[dev]') ||
        die "the dependencies could not be installed (see above)"
}
