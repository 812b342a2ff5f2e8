#!/usr/bin/env bash
# Run once by Gradescope when it builds the image (base image: Ubuntu 22.04, whose Python is 3.10).
set -euo pipefail
root=${AUTOGRADER:-/autograder}
apt-get update
apt-get install -y --no-install-recommends python3 python3-venv
python3 -m venv "$root/venv"
"$root/venv/bin/pip" install --no-cache-dir -r "$root/source/tests/grading/requirements.txt"
