#!/bin/sh
# Makes the virtual environment of the peers, unless it is there and complete: peers/setup.sh runs/peers/venv
# PyTorch's wheel on PyPI needs the GPU libraries to be loaded at all, 5 GB unpacked. Where PyTorch's own index can be
# reached, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu gives the same version without them.
set -eu
venv=$1
here=$(dirname "$0")
if ! cmp -s "$here/requirements.txt" "$venv/complete"; then
	rm -rf "$venv"
	mkdir -p "$(dirname "$venv")"
	python3 -m venv "$venv"
	"$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
	cp "$here/requirements.txt" "$venv/complete"
fi
