from pathlib import Path

import pytest
from small_model import write_run


@pytest.fixture(scope="session")
def classifier_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the versions of a classifier's export."""
    pytest.importorskip("tensorflow_text")
    from bert_tf.serving.export import export_saved_model

    run = write_run(tmp_path_factory.mktemp("classifier") / "run", "classification")
    return Path(export_saved_model(str(run))).parent
