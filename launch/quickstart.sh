#!/usr/bin/env bash
# Installs what is missing, builds, makes a token store from the C headers of this machine, trains a small hybrid model on 4 ranks
# and evaluates it. Run again to train on; --fresh starts over.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

fresh=0
case "${1:-}" in
    --fresh) fresh=1 ;;
    "") ;;
    *) fail 2 "unknown argument '$1'; usage: launch/quickstart.sh [--fresh]" ;;
esac

ranks=4
more_steps=20
run=runs/quickstart

install_packages
printf 'building ...\n'
build build hylas
mpi_environment
hylas=build/bin/hylas
[ $fresh -eq 0 ] || rm -rf "$run" data/quickstart
mkdir -p data/quickstart

if [ ! -f data/quickstart/train.h5 ]; then
    printf 'making a token store from the C headers under /usr/include ...\n'
    "$hylas" data text /usr/include --out data/quickstart/train.h5 --hold-out data/quickstart/eval.h5
fi

# The first run makes the steps of the config; every later one adds some.
sets=()
if [ -f "$run/steps" ]; then
    sets=(--set "train.steps=$(($(cat "$run/steps") + more_steps))")
fi
mpirun -np $ranks "$hylas" train configs/quickstart.yaml "${sets[@]}"
"$hylas" data info data/quickstart/train.h5
mpirun -np $ranks "$hylas" eval "$run" --store data/quickstart/eval.h5

sed -n 's/^ *steps: *\([0-9]*\).*/\1/p' "$run/config.yaml" | head -n 1 >"$run/steps"
cat <<END

where everything is
  configuration   $run/config.yaml
  metrics         $run/metrics.jsonl
  log             $run/log.txt
  checkpoints     $run/checkpoints/
train on          launch/quickstart.sh
start over        launch/quickstart.sh --fresh
END
