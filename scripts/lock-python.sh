#!/usr/bin/env bash
# Pins python/requirements*.in to exact versions with hashes, for every supported Python at once. Needs uv on PATH.
# usage: scripts/lock-python.sh [--upgrade]
set -euo pipefail
cd "$(dirname "$0")/../python"
lock() {
  uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-annotate --no-header \
    --no-emit-index-url --no-emit-find-links "$@"
}
lock requirements.in -o requirements.txt "$@"
lock requirements-test.in -c requirements.txt -o requirements-test.txt "$@"
lock requirements-test-nodeps.in --no-deps -o requirements-test-nodeps.txt "$@"
lock requirements-installer.in -o requirements-installer.txt "$@"
