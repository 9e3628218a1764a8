"""Vectors of texts from the encoders of fine-tuned models."""

import numpy as np
import pytest
from small_model import TASK_CONFIGS, write_run

from bert_tf.serving.exported import ExportedModel
from bert_tf.serving.predictor import Predictor, load
from experiments import prediction, prediction_inputs

TEXTS = ["The old miller.", "a young sailor forgot the letter near the river", "", "boat"]
POOLERS = {"classification": True, "multi_label": True, "regression": True, "tagging": False}
POOLERS |= {
    "reranking": True,
    "multiple_choice": True,
    "question_answering": False,
    "retrieval": False,
    "seq2seq": False,
}


@pytest.fixture(scope="module", params=TASK_CONFIGS)
def predictor(request, tmp_path_factory):
    return load(str(write_run(tmp_path_factory.mktemp("runs") / request.param, request.param)))


def _outputs(predictor, text):
    ids, _ = predictor.tokenizer.encode_pair(text, None, predictor.description.max_seq_length)
    encoder = getattr(predictor.model, "encoder", predictor.model)
    return {name: array.numpy()[0] for name, array in encoder({"input_ids": np.array([ids])}).items()}


def test_a_run_for_any_task_embeds_by_its_encoder(predictor):
    means, firsts = predictor.embed(TEXTS, "mean", False), predictor.embed(TEXTS, "cls", False)
    for text, mean, first in zip(TEXTS, means, firsts, strict=True):
        sequence = _outputs(predictor, text)["sequence_output"]
        np.testing.assert_allclose(mean, sequence.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(first, sequence[0], atol=1e-5)
    [[nearest]] = predictor.search([TEXTS[1]], TEXTS, top_k=1)
    assert nearest["passage"] == TEXTS[1]


def test_the_pooler_is_used_only_where_the_task_trains_it(predictor):
    task = "retrieval" if predictor.task is None else predictor.task.kind
    if POOLERS[task]:
        found = predictor.embed(TEXTS[:1], pooling="pooler")[0]
        np.testing.assert_allclose(found, _outputs(predictor, TEXTS[0])["pooled_output"], atol=1e-5)
    else:
        with pytest.raises(ValueError, match="`pooling` pooler needs a model with a pooler"):
            predictor.embed(TEXTS[:1], pooling="pooler")


def test_predict_writes_vectors_of_lines_and_tables(predictor, tmp_path):
    lines, table = tmp_path / "texts.txt", tmp_path / "texts.tsv"
    lines.write_text("a boat\nthe river\n")
    table.write_text("text\na boat\nthe river\n")
    for path in (lines, table):
        inputs = prediction_inputs.read_inputs(str(path), predictor, embed=True)
        answers = list(prediction.answers(predictor, inputs, embed=True))
        assert [answer["text"] for answer in answers] == ["a boat", "the river"]
        np.testing.assert_allclose(
            [answer["embedding"] for answer in answers], predictor.embed(["a boat", "the river"]), atol=1e-6
        )
    with pytest.raises(ValueError, match="`text_pair_column` must not be given for vectors"):
        prediction_inputs.read_inputs(str(table), predictor, {"text_pair_column": "second"}, embed=True)


def test_a_model_of_pairs_embeds_single_texts(tmp_path):
    predictor = load(str(write_run(tmp_path / "pairs", "classification", pairs=True)))
    path = tmp_path / "texts.txt"
    path.write_text("a boat\nthe river\n")
    inputs = prediction_inputs.read_inputs(str(path), predictor, embed=True)
    assert [(example.text, example.text_pair) for example in inputs] == [("a boat", None), ("the river", None)]
    assert len(list(prediction.answers(predictor, inputs, embed=True))) == 2


def test_an_export_of_a_fine_tuned_model_is_refused(predictor):
    class Exported(ExportedModel):
        def __call__(self, inputs):
            return predictor.model(inputs)

    exported = Predictor(Exported(), predictor.description, predictor.tokenizer)
    if predictor.task is None:
        np.testing.assert_allclose(exported.embed(TEXTS), predictor.embed(TEXTS), atol=1e-5)
        return
    for ask in (lambda: exported.embed(TEXTS), lambda: exported.search(TEXTS, TEXTS)):
        with pytest.raises(ValueError, match=r"needs the run or the published weights.*exported"):
            ask()
