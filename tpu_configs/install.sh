#!/usr/bin/env bash
# Installs TensorFlow for Cloud TPU, and this project, into the environment of $PYTHON (default: python3).
#
#   tpu_configs/install.sh [--dry_run] [--force]
#
#   --dry_run   print the commands, run none of them
#   --force     install even where another TensorFlow is installed (they overwrite each other's files)
#
# Two steps, because tensorflow-text asks pip for plain `tensorflow`, which would be laid over the TPU one.
set -euo pipefail

readonly TENSORFLOW_TEXT='tensorflow-text==2.20.1'
readonly RIVALS=(tensorflow tensorflow-cpu tensorflow-gpu tf-nightly intel-tensorflow)

folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
dry_run=false
force=false

fail() {
    echo "error: $*" >&2
    exit 2
}

refuse() {
    if "$dry_run"; then
        echo "would be refused: $*" >&2
    else
        fail "$@"
    fi
}

run() {
    printf '+'
    printf ' %q' "$@"
    printf '\n'
    "$dry_run" || "$@"
}

for argument in "$@"; do
    case $argument in
        --dry_run) dry_run=true ;;
        --force) force=true ;;
        *) fail "the flags are --dry_run and --force. Received: '$argument'" ;;
    esac
done

command -v "$python" > /dev/null || fail "PYTHON must name a Python interpreter. Received: '$python'"

if ! "$force"; then
    for rival in "${RIVALS[@]}"; do
        if "$python" -m pip show --quiet "$rival" > /dev/null 2>&1; then
            refuse "$rival is installed for $("$python" -c 'import sys; print(sys.prefix)') and owns the same files as" \
                "tensorflow-tpu: use a new environment, or 'pip uninstall $rival' first, or --force"
        fi
    done
fi

run "$python" -m pip install --quiet --disable-pip-version-check --requirement "$folder/requirements-tpu.txt"
run "$python" -m pip install --quiet --disable-pip-version-check --no-deps "$TENSORFLOW_TEXT"
run "$python" -m pip install --quiet --disable-pip-version-check --editable "$(dirname "$folder")"
# Off a TPU VM libtpu would ask the metadata server about its neighbours for minutes.
run env TPU_SKIP_MDS_QUERY=1 TF_CPP_MIN_LOG_LEVEL=2 "$python" -c \
    'import keras, tensorflow, tensorflow_text; print(tensorflow.__version__, tensorflow_text.__version__, keras.__version__)'

if "$dry_run"; then
    echo 'Nothing was installed (--dry_run).'
else
    echo "Installed for TPU: $("$python" -m pip --disable-pip-version-check freeze \
        | grep -E '^(tensorflow[-_](tpu|text)|libtpu|keras)==' | tr '\n' ' ')"
    echo "'pip check' reports that tensorflow-text misses tensorflow: expected, tensorflow-tpu stands in for it."
fi
