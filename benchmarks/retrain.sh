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

# touched NAME: whether an experiment whose name begins with NAME is among those wanted.
touched() {
	case $1 in "$only"*) return 0 ;; esac
	case $only in "$1"*) return 0 ;; esac
	return 1
}

# experiment NAME SEED…: trains recipes/NAME.yaml once per seed and writes its tables and result.
experiment() {
	name=$1
	shift
	train "$name" "$name" "" "$@"
}

# shallow NAME RECIPE BLOCKS SEED…: the first blocks of what recipes/RECIPE.yaml starts from, with the head of an exit and
# no other.
shallow() {
	name=$1 recipe=$2 blocks=$3
	shift 3
	train "$name-shallow-$blocks" "$recipe" \
		"--blocks $blocks --head.reads $blocks --head.hidden 1 --head.exit_scale false --head.correction false" "$@"
}

# train NAME RECIPE FLAGS SEED…
train() {
	name=$1 recipe=$2 flags=$3
	shift 3
	case $name in "$only"*) ;; *) return 0 ;; esac
	bundles=
	for seed in "$@"; do
		run=$runs/$name-$seed
		# shellcheck disable=SC2086 # flags are words
		[ -d "$run/bundle" ] || $layarun train --recipe "benchmarks/recipes/$recipe.yaml" --out "$run" --seed "$seed" $flags
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
for data in clinc150 sst2 agnews banking77 trec; do # the recipes of *-minilm start with runs/minilm
	if touched $data-minilm && [ ! -d runs/minilm ]; then
		sh pretrained/testdata/fetch.sh "$runs/models"
		$layarun import "$runs/models/minilm" --out runs/minilm
	fi
done
experiment clinc150-minilm 1 2 3
case sst2-minilm in "$only"*) # starts with two epochs of another recipe
	[ -d runs/sst2-minilm-first-1/bundle ] ||
		$layarun train --recipe benchmarks/recipes/sst2-minilm-first.yaml --out runs/sst2-minilm-first-1
	;;
esac
for data in sst2 agnews banking77 trec; do
	experiment $data-minilm 1
done
for blocks in 2 3; do
	shallow clinc150-minilm clinc150-minilm $blocks 1
	shallow sst2-minilm sst2-minilm-first $blocks 1
	for data in agnews banking77 trec; do
		shallow $data-minilm $data-minilm $blocks 1
	done
done
for data in sst2 agnews banking77 trec; do
	case $data-tfidf in "$only"*) benchmarks/baselines/tfidf.sh $data ;; esac
done
case clinc150-tfidf in "$only"*) benchmarks/baselines/tfidf.sh clinc150 ;; esac
case footprint in "$only"*) go run ./benchmarks/footprint "$runs/fashion-resnet-1/bundle" "$runs/clinc150-encoder-1/bundle" ;; esac

go run ./benchmarks/verify
