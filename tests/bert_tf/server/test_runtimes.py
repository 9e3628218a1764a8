"""The LiteRT and ONNX files of an export answer through the server as its SavedModel does."""

import pytest
from small_model import write_run
from small_server import ask, assert_near, serving

from bert_tf.server.models import ServedModel
from bert_tf.server.served_version import ServedVersion
from bert_tf.serving.export import export_saved_model
from bert_tf.serving.options import ExportOptions

pytest.importorskip("tensorflow_text")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("onnxruntime")
pytest.importorskip("ai_edge_litert")

TEXTS = ["The old miller.", "", "A young sailor forgot the letter, near the river", "naïve 漢字"]
COLUMNS = {"question_answering": {"question": TEXTS[::-1], "context": TEXTS}}
# Without padding: what a model returns there means nothing.
IDS = {"input_ids": [[2, 7, 8, 3], [2, 9, 7, 3]], "input_mask": [[1] * 4] * 2, "segment_ids": [[0] * 4] * 2}


@pytest.mark.long  # each export is written in three forms
@pytest.mark.parametrize(
    "task", ["tagging", "classification", "multi_label", "regression", "question_answering", "retrieval"]
)
def test_answers_are_those_of_the_saved_model(task, tmp_path):
    run = write_run(tmp_path / "run", task)
    export_saved_model(str(run), str(tmp_path / "export"), ExportOptions(litert=("float32",), onnx=True))
    models = [
        ServedModel(name.replace(":", "_"), str(tmp_path / "export"), runtime=name)
        for name in ("saved_model", "onnx", "litert", "litert:float32")
    ]
    with serving(*models) as url:
        for signature, columns in {"serving_default": COLUMNS.get(task, {"text": TEXTS}), "token_ids": IDS}.items():
            body = {"signature_name": signature, "inputs": columns}
            expected, *others = (ask(f"{url}/v1/models/{model.name}:predict", body) for model in models)
            assert expected.status == 200
            for found in others:
                assert_near(found.value, expected.value)
        if task == "classification":
            body = {"signature_name": "examples", "examples": [{"text": text} for text in TEXTS]}
            expected, *others = (ask(f"{url}/v1/models/{model.name}:classify", body) for model in models)
            for found in others:
                assert_near(found.value, expected.value)
    assert models[1].loaded[1].signatures.keys() == models[0].loaded[1].signatures.keys() - {"__saved_model_init_op"}
    with pytest.raises(
        FileNotFoundError, match=r"litert/model_int8\.tflite, which bert-tf export-saved-model --litert"
    ):
        ServedVersion(str(tmp_path / "export" / "1"), 1, "litert:int8")
    (tmp_path / "export" / "1" / "onnx" / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ValueError, match=r"`models`: no version of 'm' loads\. .*not an ONNX file"):
        ServedModel("m", str(tmp_path / "export"), runtime="onnx").load()
