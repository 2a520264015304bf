#!/usr/bin/env bash
# pytorch.sh HYLAS SOURCE: models made here opened by transformers, and a short training beside its llama, in the Python that HYLAS_PYTHON
# names (python3). Exit code 3, which is "skipped", where it lacks torch, transformers or h5py.
set -euo pipefail
hylas=$1 python=${HYLAS_PYTHON:-python3}
cd "$2"
for script in check-export compare-training; do
    code=0
    "launch/$script.sh" --hylas "$hylas" 2>/dev/null || code=$?
    [ $code -eq 2 ] || { echo "FAILED: $script.sh without --python: exit code $code"; exit 1; }
done
launch/check-export.sh --python "$python" --hylas "$hylas"
launch/compare-training.sh --python "$python" --hylas "$hylas" --models llama --ranks 1,3 --steps 5
