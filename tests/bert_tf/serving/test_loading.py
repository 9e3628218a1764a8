"""`bert_tf.load` on published folders: each head has its method, with the numbers of the model itself."""

import json
import shutil

import keras
import numpy as np
import pytest
from small_checkpoints import hf_encoder, hf_heads, with_heads, write_hf
from small_model import write_run

import bert_tf
from bert_tf.conversion.loading import load_pretrained
from bert_tf.runs import folder as run_folder
from bert_tf.serving.predictor import Predictor
from bert_tf.tasks import MODEL_KINDS
from bert_tf.utils import files

LABELS = {"0": "red", "1": "green", "2": "blue"}
TEXTS = ["a b c", "", "h", "de g i a b c d e f g h i j k", "文 a"]
LENGTH = 12  # number of positions of these models


def _folder(path, *heads, pooler=True, classes=3, **config):
    return write_hf(path / "hf", with_heads(*heads, pooler=pooler, classes=classes), **config)


def _model_outputs(folder, texts, task=None):
    model, pretrained = load_pretrained(folder, task, allow_random_heads=True)
    rows = [pretrained.tokenizer().encode_pair(text, None, LENGTH) for text in texts]
    return [model({"input_ids": np.array([ids]), "segment_ids": np.array([segments])}) for ids, segments in rows]


def test_a_published_classifier_classifies(tmp_path):
    folder = _folder(tmp_path, "classifier", architectures=["BertForSequenceClassification"], id2label=LABELS)
    answers = bert_tf.load(folder).classify(TEXTS)
    for answer, logits in zip(answers, _model_outputs(folder, TEXTS), strict=True):
        expected = keras.ops.softmax(logits)[0].numpy()
        assert list(answer["probabilities"]) == ["red", "green", "blue"]
        np.testing.assert_allclose(list(answer["probabilities"].values()), expected, atol=1e-5)
        assert answer["label"] == LABELS[str(expected.argmax())]
    [pair] = bert_tf.load(folder).classify(["a b"], ["c d"])
    assert pair != bert_tf.load(folder).classify(["a b"])[0]


def test_a_published_multi_label_classifier_classifies(tmp_path):
    options = {"problem_type": "multi_label_classification", "id2label": LABELS}
    folder = _folder(tmp_path, "classifier", architectures=["BertForSequenceClassification"], **options)
    answers = bert_tf.load(folder).classify(TEXTS)
    for answer, logits in zip(answers, _model_outputs(folder, TEXTS), strict=True):
        expected = keras.ops.sigmoid(logits)[0].numpy()
        np.testing.assert_allclose(list(answer["probabilities"].values()), expected, atol=1e-5)
        assert answer["labels"] == [LABELS[str(number)] for number in np.flatnonzero(expected >= 0.5)]


def test_a_published_regressor_scores(tmp_path):
    folder = _folder(tmp_path, "classifier", classes=1, architectures=["BertForSequenceClassification"])
    scores = bert_tf.load(folder).score(TEXTS)
    expected = [float(value[0]) for value in _model_outputs(folder, TEXTS)]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_a_published_tagger_tags(tmp_path):
    options = {"architectures": ["BertForTokenClassification"], "id2label": {"0": "O", "1": "B-X", "2": "I-X"}}
    folder = _folder(tmp_path, "classifier", pooler=False, **options)
    [answer] = bert_tf.load(folder).tag(["a, b c"])
    [logits] = _model_outputs(folder, ["a, b c"])
    assert answer["words"] == ["a", ",", "b", "c"]
    assert answer["tags"] == [["O", "B-X", "I-X"][number] for number in logits.numpy()[0, 1:-1].argmax(axis=-1)]
    with pytest.raises(ValueError, match=r"`texts\[1\]` must be a text or a list of words\. Received: \['a', 1\]"):
        bert_tf.load(folder).tag([["a", "b"], ["a", 1]])


def test_a_published_tagger_with_tags_of_no_scheme_is_warned_of(tmp_path, caplog):
    options = {"architectures": ["BertForTokenClassification"], "id2label": {"0": "X", "1": "B-X", "2": "I-X"}}
    predictor = bert_tf.load(_folder(tmp_path, "classifier", pooler=False, **options))
    [message] = [record.getMessage() for record in caplog.records if "fit no scheme" in record.getMessage()]
    assert "but X fit no scheme" in message
    assert "spans" not in predictor.tag(["a b"])[0]


def test_a_published_question_answerer_answers(tmp_path):
    folder = _folder(tmp_path, "qa", pooler=False, architectures=["BertForQuestionAnswering"])
    context = "a b c d e f g h i a b c"  # longer than a row, so that there are windows
    answers = bert_tf.load(folder).answer(["a", "b c", ""], [context, context, "a"])
    for answer, text in zip(answers, (context, context, "a"), strict=True):
        assert answer["answer"] == text[answer["start"] : answer["end"]] != ""
        assert sum(each["probability"] for each in answer["n_best"]) == pytest.approx(1.0)
    assert bert_tf.load(folder).answer(["a"], [""])[0]["answer"] == ""


def test_a_masked_lm_without_a_pooler_fills_masks_and_embeds(tmp_path):
    folder = _folder(tmp_path, "mlm", pooler=False, architectures=["BertForMaskedLM"])
    predictor = bert_tf.load(folder)
    [[best]] = predictor.fill_mask(["a [MASK] c"], top_k=2)
    model, pretrained = load_pretrained(folder, allow_random_heads=True)
    ids, _ = pretrained.tokenizer().encode_pair("a [MASK] c", parse_special_tokens=True)
    logits = model({"input_ids": np.array([ids]), "masked_lm_positions": np.array([[2]])})["masked_lm_logits"]
    probabilities = keras.ops.softmax(logits)[0, 0].numpy()
    for (token, probability), number in zip(best, np.argsort(-probabilities), strict=False):
        assert token == predictor.tokenizer.tokens[number]
        assert probability == pytest.approx(probabilities[number], abs=1e-5)
    assert predictor.embed(["a"]).shape == (1, 8)
    with pytest.raises(ValueError, match=r"`pooling` pooler needs a model with a pooler\. Received: .*, without"):
        predictor.embed(["a"], pooling="pooler")


def test_a_next_sentence_head_alone_embeds(tmp_path):
    folder = _folder(tmp_path, "nsp", architectures=["BertForNextSentencePrediction"])
    predictor = bert_tf.load(folder)
    assert predictor.embed(["a"], pooling="pooler").shape == (1, 8)
    with pytest.raises(ValueError, match="`fill_mask` needs a model for pretraining"):
        predictor.fill_mask(["[MASK]"])


def _sentence_transformer(path, modules=("Transformer", "Pooling", "Normalize"), mode="mean_tokens", length=6):
    folder = write_hf(path / "sentences", hf_encoder(), architectures=["BertModel"])
    names = ["", "1_Pooling", "2_Normalize"]
    listed = [
        {"idx": number, "path": name, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, name) in enumerate(zip(modules, names, strict=False))
    ]
    path = path / "sentences"
    (path / "modules.json").write_text(json.dumps(listed))
    (path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": length}))
    (path / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{name}": name == mode for name in ("cls_token", "mean_tokens", "max_tokens")}
    (path / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 8} | modes))
    return folder


@pytest.mark.parametrize("mode", ["mean_tokens", "cls_token"])
def test_sentence_transformers_embed_by_their_settings(tmp_path, mode):
    predictor = bert_tf.load(_sentence_transformer(tmp_path, mode=mode))
    texts = ["a b c d e f g h i j k", "b"]
    for text, vector in zip(texts, predictor.embed(texts), strict=True):
        ids, _ = predictor.tokenizer.encode_pair(text, None, 6)  # the folder's `max_seq_length`
        sequence = predictor.model({"input_ids": np.array([ids])})["sequence_output"].numpy()[0]
        expected = sequence[0] if mode == "cls_token" else sequence.mean(axis=0)
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)
    raw = predictor.embed(["b"], normalize=False)[0]
    assert np.linalg.norm(raw) != pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("mode", ["mean", "cls"])
def test_sentence_transformers_of_later_versions_are_read(tmp_path, mode):
    path = tmp_path / "sentences"
    _sentence_transformer(tmp_path)
    (path / "1_Pooling" / "config.json").write_text(json.dumps({"embedding_dimension": 8, "pooling_mode": mode}))
    kinds = ("base.modules.transformer.Transformer", "sentence_transformer.modules.pooling.Pooling")
    modules = [{"idx": n, "path": ("", "1_Pooling")[n], "type": f"sentence_transformers.{kinds[n]}"} for n in range(2)]
    (path / "modules.json").write_text(json.dumps(modules))
    settings = bert_tf.load(str(path)).description.embedding
    assert (settings.pooling, settings.normalize, settings.similarity) == (mode, False, "dot")
    (path / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "lasttoken"}))
    with pytest.raises(ValueError, match=r"must choose one of .*\. Received: lasttoken"):
        bert_tf.load(str(path))


def test_sentence_transformers_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must choose one of .*\. Received: \['pooling_mode_max_tokens'\]"):
        bert_tf.load(_sentence_transformer(tmp_path / "a", mode="max_tokens"))
    with pytest.raises(ValueError, match=r"must name a Transformer, a Pooling .*Received: .*'Dense'"):
        bert_tf.load(_sentence_transformer(tmp_path / "b", modules=("Transformer", "Pooling", "Dense")))
    with pytest.raises(ValueError, match=r"`max_seq_length` must be a whole number of at least 3\. Received: 2"):
        bert_tf.load(_sentence_transformer(tmp_path / "c", length=2))


def test_a_classifier_without_its_pooler_is_refused(tmp_path):
    folder = _folder(tmp_path, "classifier", pooler=False, architectures=["BertForSequenceClassification"])
    with pytest.raises(ValueError, match="no weights for encoder/pooler"):
        bert_tf.load(folder)


def test_weights_without_a_vocabulary_are_refused(tmp_path):
    folder = write_hf(tmp_path / "hf", hf_encoder() | hf_heads(), vocabulary=False, architectures=["BertModel"])
    with pytest.raises(ValueError, match=r"must hold a vocabulary \(vocab\.txt\)"):
        bert_tf.load(folder)


@pytest.mark.parametrize(("task", "method"), [("classification", "classify"), ("tagging", "tag")])
def test_the_task_says_what_a_head_is_for_where_the_folder_does_not(tmp_path, task, method):
    folder = _folder(tmp_path, "classifier", id2label=LABELS)
    with pytest.raises(ValueError, match="give `task`, such as 'tagging'"):
        bert_tf.load(folder)
    predictor = bert_tf.load(folder, task)
    assert (predictor.description.task, predictor.description.labels) == (task, ("red", "green", "blue"))
    assert len(getattr(predictor, method)(TEXTS)) == len(TEXTS)
    ids, segments = predictor.tokenizer.encode_pair(TEXTS[0], None, LENGTH)
    logits = predictor.model({"input_ids": np.array([ids]), "segment_ids": np.array([segments])})
    np.testing.assert_allclose(logits, _model_outputs(folder, TEXTS[:1], task)[0], atol=1e-6)


def test_an_encoder_can_be_taken_from_a_fine_tuned_model(tmp_path):
    folder = _folder(tmp_path, "classifier", id2label=LABELS)
    predictor = bert_tf.load(folder, "encoder")
    assert (predictor.description.task, predictor.description.labels) == ("encoder", ())
    expected = [outputs["pooled_output"][0] for outputs in _model_outputs(folder, TEXTS, "encoder")]
    np.testing.assert_allclose(predictor.embed(TEXTS, pooling="pooler"), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("found", "wanted", "heads", "architecture"),
    [
        ("tagging", "classification", ["classifier"], "BertForTokenClassification"),
        ("classification", "question_answering", ["classifier"], "BertForSequenceClassification"),
        ("encoder", "tagging", [], "BertModel"),
        ("encoder", "pretraining", ["nsp"], "BertForNextSentencePrediction"),
        ("pretraining", "classification", ["mlm"], "BertForMaskedLM"),
    ],
)
def test_published_weights_for_another_task_are_refused(tmp_path, found, wanted, heads, architecture):
    folder = _folder(tmp_path, *heads, architectures=[architecture])
    with pytest.raises(ValueError, match=f"^`task` must be '{found}', .*Received: '{wanted}'"):
        bert_tf.load(folder, wanted)


def test_a_run_of_another_task_is_refused_before_its_weights_are_read(tmp_path):
    run = write_run(tmp_path / "run", "tagging")
    assert bert_tf.load(str(run), "tagging").description.task == "tagging"
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(ValueError, match=r"^`task` must be 'tagging', the task of the model in .*'classification'"):
        bert_tf.load(str(run), "classification")


@pytest.mark.parametrize(
    ("task", "ask"),
    [
        ("classification", lambda model: [list(answer["probabilities"].values()) for answer in model.classify(TEXTS)]),
        ("regression", lambda model: model.score(TEXTS)),
        ("tagging", lambda model: [len(answer["words"]) for answer in model.tag(TEXTS)]),
        ("question_answering", lambda model: model.answer(["a b"], ["c d e"])[0]["n_best"][0]["probability"]),
        ("seq2seq", lambda model: [answer["log_probability"] for answer in model.generate(["a b"], max_length=1)]),
        (
            "pretraining",
            lambda model: [probability for _, probability in model.fill_mask(["a [MASK] b"], top_k=1)[0][0]],
        ),
        ("pretraining", lambda model: [answer["log_likelihood"] for answer in model.log_likelihood(["a b c"])]),
        ("retrieval", lambda model: model.embed(TEXTS).tolist()),
    ],
)
def test_a_run_answers_in_bfloat16(tmp_path, task, ask):
    run = str(write_run(tmp_path / "run", task))
    model = bert_tf.load(run, dtype="mixed_bfloat16")
    assert model.model.compute_dtype == "bfloat16"
    assert {weight.dtype for weight in model.model.weights} == {"float32"}
    found, expected = ask(model), ask(bert_tf.load(run))
    json.dumps(found)
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_published_weights_embed_in_bfloat16(tmp_path):
    folder = _folder(tmp_path)
    found, expected = (bert_tf.load(folder, dtype=dtype).embed(TEXTS) for dtype in ("mixed_bfloat16", "float32"))
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < 0.05


def test_a_dtype_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`dtype` must be one of float32, mixed_bfloat16.* Received: 'bfloat16'"):
        bert_tf.load(_folder(tmp_path), dtype="bfloat16")
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ValueError, match=r"`dtype` must be float32 for an export.* Received: 'mixed_bfloat16'"):
        bert_tf.load(str(tmp_path), dtype="mixed_bfloat16")


def test_a_retrieval_run_is_taken_as_an_encoder(tmp_path):
    run = str(write_run(tmp_path / "run", "retrieval"))
    for task in (None, "retrieval", "encoder"):
        assert bert_tf.load(run, task).description.task == "encoder"


@pytest.mark.parametrize("path", ["1", "1/litert/model_float32.tflite"])
def test_an_export_of_another_task_is_refused(tmp_path, path):
    run = write_run(tmp_path / "run", "tagging")
    description, _ = run_folder.read_run(str(run))
    for name in ("assets", "litert"):
        (tmp_path / "1" / name).mkdir(parents=True)
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"")
    (tmp_path / "1" / "litert" / "model_float32.tflite").write_bytes(b"")
    files.write_json(str(tmp_path / "1" / "assets" / "config.json"), description.of_model().to_dict())
    shutil.copy(run / "vocab.txt", tmp_path / "1" / "assets")
    with pytest.raises(ValueError, match=r"^`task` must be 'tagging', .*Received: 'regression'"):
        bert_tf.load(str(tmp_path / path), "regression")


def test_the_newest_version_of_a_remote_export_is_taken(tmp_path):
    description, _ = run_folder.read_run(str(write_run(tmp_path / "run", "tagging")))
    for version in ("2", "10"):
        files.write_text(f"ram://exported/{version}/saved_model.pb", "")
    files.write_json("ram://exported/10/assets/config.json", description.of_model().to_dict())
    files.write_text("ram://exported/10/assets/vocab.txt", files.read_text(str(tmp_path / "run" / "vocab.txt")))
    files.write_text("ram://exported/11", "not a folder")
    with pytest.raises(ValueError, match=r"^`task` must be 'tagging', .*Received: 'regression'"):
        bert_tf.load("ram://exported", "regression")


def test_an_unknown_task_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^`task` must be one of encoder.* Received: 'ner'"):
        bert_tf.load(str(tmp_path), "ner")


def test_predictor_has_the_methods_of_every_task():
    methods = {method for kind in MODEL_KINDS.values() for method in kind.methods}
    assert {"classify", "fill_mask", "complete", "log_likelihood", "embed", "generate"} <= methods
    assert all(callable(getattr(Predictor, method)) for method in methods)


def test_an_export_of_an_earlier_version_is_refused(tmp_path):
    assets = tmp_path / "1" / "assets"
    assets.mkdir(parents=True)
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"")
    (assets / "config.json").write_text(json.dumps({"task": "encoder", "experiment": {"pooling": "mean"}}))
    with pytest.raises(ValueError, match=r"an earlier version of this package wrote the export.*Received: "):
        bert_tf.load(str(tmp_path))
