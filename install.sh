#!/bin/sh
# Make .venv and install the locked dependencies. Called by make; safe to interrupt and repeat.
set -eu

fits='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'

find_python() {
    for candidate in "$@" python3.11 python3.12 python3.13 python3.14 python3; do
        if [ -n "$candidate" ] && "$candidate" -c "$fits" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "Stepwell needs Python 3.11 or later with its venv module (on Debian and Ubuntu: python3-venv)." >&2
    echo "Install it, or name it: make PYTHON=/path/to/python3 …" >&2
    return 1
}

place=$(pwd -P)
if [ "$(cat .venv/.place 2>/dev/null)" != "$place" ] || ! .venv/bin/python -c "$fits" 2>/dev/null; then
    python=$(find_python "${1:-}")
    echo "Creating .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
fi

echo "Installing the locked dependencies (the first time takes about a minute)"
rm -f .venv/.place .venv/.installed-*
pip=".venv/bin/python -m pip --quiet --disable-pip-version-check --no-input"
if ! { $pip install --require-hashes -r requirements.lock && $pip install --no-deps --no-build-isolation -e .; }; then
    echo "The installation failed (see above). Check the network and the free space, then repeat." >&2
    exit 1
fi
echo "$place" > .venv/.place
