#!/usr/bin/env bash
# Trains small models with Aha, saves them, and compares transformers' log-probabilities of them with Aha's own.
# PYTHON names the interpreter (default python3); it needs torch and transformers.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
if ! "$python" -c "import torch, transformers" 2>/dev/null; then
  echo "$python lacks torch or transformers. Install them (pip install torch transformers), or name another: PYTHON=… npm run test:transformers" >&2
  exit 1
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
npx tsx test/golden/write-trained-models.ts "$out"
OMP_NUM_THREADS=1 "$python" test/golden/check_trained_models.py "$out"
