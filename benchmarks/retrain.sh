#!/bin/sh
# Trains every network behind RESULTS.md and measures it: half a day on two cores. Runs that are finished are kept, those
# that were interrupted go on, so it can be stopped and started again. Runs go to $LAYARUN_RUNS (default runs).
#
#   benchmarks/retrain.sh               everything
#   benchmarks/retrain.sh clinc150      the experiments whose name begins so
set -eu
cd "$(dirname "$0")/.."
runs=${LAYARUN_RUNS:-runs}
only=${1:-}
layarun=bin/layarun
[ -x $layarun ] || make build

# experiment NAME SEED…: trains recipes/NAME.yaml once per seed and writes its tables and result.
experiment() {
	name=$1
	shift
	case $name in "$only"*) ;; *) return 0 ;; esac
	bundles=
	for seed in "$@"; do
		run=$runs/$name-$seed
		[ -d "$run/bundle" ] || $layarun train --recipe "benchmarks/recipes/$name.yaml" --out "$run" --seed "$seed"
		bundles="$bundles $run/bundle"
	done
	# shellcheck disable=SC2086 # one word per bundle
	go run ./benchmarks/measure -name "$name" $bundles
}

for head in lastlayer concat scalarmix joint prefix; do
	experiment fashion-mlp-$head 1 2 3 4 5
done
for blocks in 1 2 3; do
	experiment fashion-resnet-shallow-$blocks 1 2 3
done
experiment fashion-resnet 1 2 3
experiment clinc150-shallow-1 1 2 3
experiment clinc150-encoder 1 2 3
case clinc150-tfidf in "$only"*) benchmarks/baselines/tfidf.sh clinc150 ;; esac
case footprint in "$only"*) go run ./benchmarks/footprint "$runs/fashion-resnet-1/bundle" "$runs/clinc150-encoder-1/bundle" ;; esac

go run ./benchmarks/verify
