"""The set-up of all tests: an environment that is set before TensorFlow is imported, and a small corpus."""

import gc
import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from small_corpus import write_corpus

os.environ.update(
    CUDA_VISIBLE_DEVICES="-1",
    HF_HUB_OFFLINE="1",
    KERAS_BACKEND="tensorflow",
    TF_CPP_MIN_LOG_LEVEL="2",
    TF_ENABLE_ONEDNN_OPTS="1",
)
# Programs of small models run too briefly to repay what XLA spends on optimizing them.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# Processes that a test starts find the project from any folder, and both find the packages of tests/packages.txt.
REPOSITORY = Path(__file__).resolve().parent.parent
TEST_PACKAGES = Path(sys.prefix, "test-packages")
sys.path.append(str(TEST_PACKAGES))
PYTHONPATH = [str(REPOSITORY), os.environ.get("PYTHONPATH"), str(TEST_PACKAGES)]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, PYTHONPATH))

SLOWEST = "test_pages_of_"

LOGICAL_DEVICES = max(4, int(os.environ.get("REPLICAS", "4")))  # test_distribution.py asks for more


def pytest_configure(config: pytest.Config) -> None:
    """Make four devices of one CPU before any test module can start TensorFlow.

    Tests of replicas need them. One of them gives the same numbers as the whole CPU, at the same speed.
    """
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        return  # this process only hands tests to others, which wait until it is ready
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * LOGICAL_DEVICES)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files of the slowest tests, then take those of many tests first.

    Processes take files in this order (`--no-loadscope-reorder`). A file that takes minutes would otherwise come last,
    as it has a single test, and keep one process busy after all others.
    """
    sizes = Counter(item.path for item in items)
    items.sort(key=lambda item: (not item.path.name.startswith(SLOWEST), -sizes[item.path]))


def pytest_collection_finish() -> None:
    """Spare garbage collections what has been imported, most of the objects of a process, and make them rarer."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text file of 60 documents, with one sentence on each line and blank lines between documents."""
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    write_corpus(path, 60)
    return path
