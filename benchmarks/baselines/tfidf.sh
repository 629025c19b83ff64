#!/bin/sh
# Runs the TF-IDF baseline on one text set: baselines/tfidf.sh clinc150
# The virtual environment and the exported splits go to $LAYARUN_RUNS (default runs), outside version control.
set -eu
name=$1
here=$(dirname "$0")
work=${LAYARUN_RUNS:-runs}/baselines
mkdir -p "$work"
if [ ! -x "$work/venv/bin/python" ]; then
	python3 -m venv "$work/venv"
	"$work/venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
fi
go run ./benchmarks/splits "$name" "$work/$name"
"$work/venv/bin/python" "$here/tfidf.py" "$work/$name" "$here/../results/$name-tfidf.json"
