#!/usr/bin/env bash
# Installs an engine for Cloud TPU, and this project, into the environment of $PYTHON (default: python3).
#
#   tpu_configs/install.sh [--engine tensorflow|jax] [--dry_run] [--force]
#
#   --engine    what trains on the TPU: TensorFlow (default; up to v6e), or JAX (every generation)
#   --dry_run   print the commands, run none of them
#   --force     install even where another TensorFlow is installed (they overwrite each other's files)
#
# TensorFlow Text is a step of its own, because it asks pip for plain `tensorflow`, which would be laid over the TPU one.
set -euo pipefail

readonly TENSORFLOW_TEXT='tensorflow-text==2.20.1'
readonly WHEELS=(tensorflow tensorflow-cpu tensorflow-gpu tensorflow-tpu tf-nightly intel-tensorflow)

folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
engine=tensorflow
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

pip_install() {
    run "$python" -m pip install --quiet --disable-pip-version-check "$@"
}

while [[ $# -gt 0 ]]; do
    case $1 in
        --engine)
            [[ ${2:-} == tensorflow || ${2:-} == jax ]] \
                || fail "--engine must be tensorflow or jax. Received: '${2:-}'"
            engine=$2
            shift 2
            ;;
        --engine=*) set -- --engine "${1#*=}" "${@:2}" ;;
        --dry_run) dry_run=true; shift ;;
        --force) force=true; shift ;;
        *) fail "the flags are --engine, --dry_run and --force. Received: '$1'" ;;
    esac
done

command -v "$python" > /dev/null || fail "PYTHON must name a Python interpreter. Received: '$python'"

if [[ $engine == jax ]]; then
    requirements='requirements-tpu-jax.txt'
    wheel=tensorflow-cpu
    imported='import jax, keras, tensorflow; print(jax.__version__, tensorflow.__version__, keras.__version__)'
    reported='jax|jaxlib|libtpu|tensorflow[-_]cpu|keras'
else
    requirements='requirements-tpu.txt'
    wheel=tensorflow-tpu
    imported='import keras, tensorflow, tensorflow_text; print(tensorflow.__version__, tensorflow_text.__version__, keras.__version__)'
    reported='tensorflow[-_](tpu|text)|libtpu|keras'
fi

if ! "$force"; then
    for rival in "${WHEELS[@]}"; do
        if [[ $rival != "$wheel" ]] && "$python" -m pip show --quiet "$rival" > /dev/null 2>&1; then
            refuse "$rival is installed for $("$python" -c 'import sys; print(sys.prefix)') and owns the same files as" \
                "$wheel: use a new environment, or 'pip uninstall $rival' first, or --force"
        fi
    done
fi

pip_install --requirement "$folder/$requirements"
[[ $engine == jax ]] || pip_install --no-deps "$TENSORFLOW_TEXT"
pip_install --editable "$(dirname "$folder")"
# Off a TPU VM libtpu would ask the metadata server about its neighbours for minutes.
run env TPU_SKIP_MDS_QUERY=1 TF_CPP_MIN_LOG_LEVEL=2 "$python" -c "$imported"

if "$dry_run"; then
    echo 'Nothing was installed (--dry_run).'
else
    echo "Installed for TPU: $("$python" -m pip --disable-pip-version-check freeze | grep -E "^($reported)==" | tr '\n' ' ')"
    [[ $engine == jax ]] \
        || echo "'pip check' reports that tensorflow-text misses tensorflow: expected, tensorflow-tpu stands in for it."
fi
