#!/usr/bin/env bash
# Run once by Gradescope when it builds the image: Python, and what submissions may import.
set -euo pipefail
root=${AUTOGRADER:-/autograder}
apt-get update
apt-get install -y --no-install-recommends python3 python3-venv
python3 -m venv "$root/venv"
"$root/venv/bin/pip" install --no-cache-dir -r "$root/source/requirements.txt"
