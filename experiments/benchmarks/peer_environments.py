"""The virtual environments of the implementations that the benchmarks compare with."""

import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

# tf-models-official depends on many packages that training BERT does not import (Kaggle, Google's API client, OpenCV).
# So it is installed without its dependencies, and the packages that its masked-LM task imports are listed here.
_TF_MODELS_IMPORTS = (
    "etils fsspec gin-config immutabledict importlib_resources matplotlib numpy opencv-python-headless pandas pillow "
    "promise psutil pycocotools pyyaml sacrebleu scipy sentencepiece seqeval simple-parsing six tensorflow-hub "
    "tensorflow-metadata toml dm-tree"
)
INSTALLATIONS: dict[str, Sequence[Sequence[str]]] = {
    "tf_models_official": (
        ("tensorflow-cpu==2.20.0", "tf-keras==2.20.1", *_TF_MODELS_IMPORTS.split()),
        (
            "--no-deps",
            "tf-models-official==2.20.0",
            "tensorflow-text==2.20.1",
            "tf-slim",
            "tensorflow-datasets",
            "tensorflow-model-optimization",
        ),
    ),
    "keras_hub": (("tensorflow==2.21.0", "keras==3.15.1", "keras-hub==0.32.0", "safetensors"),),
    "keras_hub_jax": (("jax==0.10.2", "tensorflow==2.21.0", "keras==3.15.1", "keras-hub==0.32.0", "safetensors"),),
    "transformers": (("torch==2.13.0", "transformers==5.23.0", "numpy"),),
    "sentence_transformers": (("torch==2.13.0", "sentence-transformers==6.2.0"),),
}
"""The arguments of the `pip install`s that make each environment of the train-step benchmark."""

SERVING_INSTALLATIONS: dict[str, Sequence[Sequence[str]]] = {
    "onnxruntime": (
        ("torch==2.13.0", "transformers==5.23.0", "numpy", "onnx==1.23.2", "onnxscript==0.7.2", "onnxruntime==1.31.1"),
    ),
    "transformers_server": (
        ("torch==2.13.0", "transformers==5.23.0", "numpy", "starlette==1.10.0", "uvicorn==0.54.0"),
    ),
}
"""The same for the further environments of the serving benchmarks."""


_INSTRUCTION_SETS = ("ONEDNN_MAX_CPU_ISA", "XLA_FLAGS", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS")


def instruction_sets() -> dict[str, str]:
    """Return those variables of the environment by which libraries keep to older instructions of the processor.

    Workers have environments of their own and inherit these alone, so that a race may be run as on an older processor.
    """
    return {name: os.environ[name] for name in _INSTRUCTION_SETS if name in os.environ}


def python_of(name: str, folder: str) -> str:
    """Return the interpreter of an environment, which is made first unless it is complete.

    Args:
        name: a key of `INSTALLATIONS` or `SERVING_INSTALLATIONS`.
        folder: the folder of all environments.

    Raises:
        OSError: the installation failed. The message ends with pip's output.
    """
    environment = os.path.join(folder, name)
    python = os.path.join(environment, "bin", "python")
    complete = os.path.join(environment, ".complete")
    if os.path.exists(complete):
        return python
    print(f"Making {environment} (once; some minutes)", file=sys.stderr, flush=True)
    venv.create(environment, with_pip=True, clear=True)
    for requirements in (INSTALLATIONS | SERVING_INSTALLATIONS)[name]:
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if result.returncode:
            raise OSError(f"the environment {environment!r} could not be made: {result.stdout[-2000:]}")
    Path(complete).touch()
    return python
