"""The exports of every task answer raw strings as the Python predictor does, through every signature."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from small_model import LABELS, TAGS, TASK_CONFIGS, write_run

from bert_tf.examples import QuestionExample, TaggedExample, TextExample
from bert_tf.serving.export import export_saved_model, signatures_of
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.predictor import load
from bert_tf.serving.warmup import example_proto
from bert_tf.tasks import MODEL_KINDS, task_of
from bert_tf.tasks.texts import Classification
from bert_tf.training.tensorflow_engine.distribution import Distribution
from bert_tf.training.tensorflow_engine.evaluation import make_outputs
from bert_tf.utils import json_text

pytest.importorskip("tensorflow_text")

TEXTS = [
    "The old miller.",
    "",
    "A young sailor FORGOT the letter, near the river before the storm",
    "naïve Ünïcödé 漢字 [MASK] \u200d ΑΣ.Α",
    "the wooden boat, carried by the old miller. " * 10,
]
QUESTIONS = ["who saw the boat", "", "the miller", "where?", "what is it that the old miller carried near the river"]
CASES = {
    "classification": ("classification", {}),
    "pairs": ("classification", {"pairs": True}),
    "multi_label": ("multi_label", {}),
    "regression": ("regression", {}),
    "tagging": ("tagging", {}),
    "question_answering": ("question_answering", {}),
    # With these weights and this threshold, some questions have an answer and others none.
    "unanswerable": (
        "question_answering",
        {"num_layers": 2, "options": {"unanswerable": True, "null_threshold": -0.75}},
    ),
    "masked_lm": ("pretraining", {}),
}
QUICK = ("pairs", "masked_lm")


class Signatures:
    """A run with its predictor and its loaded export, made at the first use and kept."""

    def __init__(self, folder, name):
        task, options = CASES[name]
        self.run = write_run(folder / name, task, **options)
        self.predictor = load(str(self.run))
        self.path = export_saved_model(str(self.run))
        self.module = tf.saved_model.load(self.path)  # must outlive its signatures
        self.signatures = self.module.signatures

    def ask(self, **texts):
        return {
            name: tensor.numpy()
            for name, tensor in self.signatures["serving_default"](
                **{name: tf.constant(values, tf.string) for name, values in texts.items()}
            ).items()
        }

    def ask_examples(self, **texts):
        protos = [example_proto(dict(zip(texts, row, strict=True))) for row in zip(*texts.values(), strict=True)]
        outputs = self.signatures["examples"](inputs=tf.constant(protos))
        return {name: tensor.numpy() for name, tensor in outputs.items()}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("served"), {}

    def get(name):
        if name not in made:
            made[name] = Signatures(folder, name)
        return made[name]

    return get


def _long_unless_quick(*names):
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in names]


def _strings(array):
    return [item.decode() for item in array]


def _evaluated(case, examples):
    """Return the examples as evaluation during training encodes them, independently of the predictor."""
    predictor = case.predictor
    task = task_of(TASK_CONFIGS[predictor.description.task].replace(**_options(case)))
    labels = predictor.description.labels
    rows = task.encode(examples, labels, predictor.tokenizer)
    outputs, _ = make_outputs(predictor.model, Distribution(), 4)(rows)
    return task.answers(examples, rows, outputs, labels=labels)


def _options(case):
    return CASES[case.run.name][1].get("options", {})


@pytest.mark.parametrize("name", _long_unless_quick("classification", "pairs", "multi_label"))
def test_classifiers_answer_as_the_predictor_does(served, name):
    case = served(name)
    texts = {"text": TEXTS} | ({"text_pair": TEXTS[::-1]} if name == "pairs" else {})
    predicted = case.predictor.classify(TEXTS, texts.get("text_pair"))
    expected = np.array([list(answer["probabilities"].values()) for answer in predicted])
    outputs = case.ask(**texts)
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-5)
    evaluated = _evaluated(case, [TextExample(*row) for row in zip(*texts.values(), strict=True)])
    np.testing.assert_allclose([list(each["probabilities"].values()) for each in evaluated], expected, atol=1e-5)
    if name == "multi_label":
        found = [_strings(row[:count]) for row, count in zip(outputs["labels"], outputs["num_labels"], strict=True)]
        assert found == [answer["labels"] for answer in predicted]
        assert any(found)
    else:
        assert _strings(outputs["labels"]) == [answer["label"] for answer in predicted]
        np.testing.assert_allclose(tf.nn.softmax(outputs["logits"]), expected, atol=1e-5)
    by_example = case.ask_examples(**texts)
    assert sorted(by_example) == ["classes", "scores"]
    np.testing.assert_allclose(by_example["scores"], expected, atol=1e-5)
    assert [tuple(_strings(row)) for row in by_example["classes"]] == [LABELS] * len(TEXTS)
    # A single text, no text, and ids give the same outputs.
    np.testing.assert_allclose(
        case.ask(**{key: value[2:3] for key, value in texts.items()})["probabilities"][0], expected[2], atol=1e-5
    )
    assert case.ask(**{key: [] for key in texts})["probabilities"].shape == (0, 3)
    again = load(case.path).classify(TEXTS, texts.get("text_pair"))
    np.testing.assert_allclose([list(answer["probabilities"].values()) for answer in again], expected, atol=1e-5)


@pytest.mark.long
def test_a_pair_needs_its_second_text(served):
    case = served("pairs")
    expected = [list(answer["probabilities"].values()) for answer in case.predictor.classify(TEXTS, [""] * len(TEXTS))]
    found = case.ask_examples(text=TEXTS, text_pair=[""] * len(TEXTS))["scores"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Feature: text_pair .* is required"):
        case.ask_examples(text=TEXTS)
    asked = load(case.path)
    with pytest.raises(ValueError, match="`text_pairs` must be given"):
        asked.classify(TEXTS)
    with pytest.raises(ValueError, match="`text_pairs` must be left out"):
        load(served("regression").path).score(TEXTS, TEXTS)


@pytest.mark.long
def test_regressors_answer_as_the_predictor_does(served):
    case = served("regression")
    expected = case.predictor.score(TEXTS)
    np.testing.assert_allclose(case.ask(text=TEXTS)["values"], expected, atol=1e-5)
    by_example = case.ask_examples(text=TEXTS)
    assert list(by_example) == ["outputs"]
    np.testing.assert_allclose(by_example["outputs"], expected, atol=1e-5)
    np.testing.assert_allclose(load(case.path).score(TEXTS), expected, atol=1e-5)
    evaluated = _evaluated(case, [TextExample(text) for text in TEXTS])
    np.testing.assert_allclose([each["value"] for each in evaluated], expected, atol=1e-5)


@pytest.mark.long
def test_taggers_answer_as_the_predictor_does(served):
    case = served("tagging")
    outputs = case.ask(text=TEXTS)
    predicted = case.predictor.tag(TEXTS)
    tokenizer = case.predictor.tokenizer
    examples = [TaggedExample(text, tuple(tokenizer.word_offsets(text))) for text in TEXTS]
    assert len(case.predictor.task.encode(examples, TAGS, tokenizer)) > len(TEXTS) + 5  # several rows for some texts
    assert predicted == _evaluated(case, examples)
    for row, answer in enumerate(predicted):
        count, spans = outputs["num_words"][row], outputs["num_spans"][row]
        assert _strings(outputs["words"][row, :count]) == answer["words"]
        assert _strings(outputs["tags"][row, :count]) == answer["tags"]
        offsets = zip(outputs["starts"][row, :count], outputs["ends"][row, :count], strict=True)
        assert [TEXTS[row][start:end] for start, end in offsets] == answer["words"]
        columns = [outputs[f"span_{name}"][row, :spans] for name in ("labels", "texts", "starts", "ends")]
        found = [
            {"label": label.decode(), "text": text.decode(), "start": start, "end": end}
            for label, text, start, end in zip(*columns, strict=True)
        ]
        assert found == answer["spans"]
    assert any(answer["spans"] for answer in predicted)
    np.testing.assert_allclose(outputs["probabilities"][0, :4].sum(axis=-1), 1.0, atol=1e-5)
    assert case.ask_examples(text=TEXTS)["tags"].tolist() == outputs["tags"].tolist()
    assert case.ask(text=[])["tags"].shape[0] == 0
    assert load(case.path).tag(TEXTS) == predicted


@pytest.mark.long
@pytest.mark.parametrize("name", ["question_answering", "unanswerable"])
def test_question_answerers_answer_as_the_predictor_does(served, name):
    case = served(name)
    predicted = case.predictor.answer(QUESTIONS, TEXTS)
    outputs = case.ask(question=QUESTIONS, context=TEXTS)
    rows = zip(QUESTIONS, TEXTS, strict=True)
    examples = [QuestionExample(*row, str(number), labelled=False) for number, row in enumerate(rows)]
    assert len(case.predictor.task.encode(examples, (), case.predictor.tokenizer)) > len(TEXTS) + 5  # windows
    evaluated = _evaluated(case, examples)
    for row, (answer, other) in enumerate(zip(predicted, evaluated, strict=True)):
        assert outputs["answers"][row].decode() == answer["answer"] == other["answer"]
        offsets = tuple(-1 if answer[name] is None else answer[name] for name in ("start", "end"))
        assert (outputs["starts"][row], outputs["ends"][row]) == offsets
        count = outputs["num_answers"][row]
        assert _strings(outputs["n_best_answers"][row, :count]) == [each["text"] for each in answer["n_best"]]
        for column, key in (
            ("starts", "start"),
            ("ends", "end"),
            ("scores", "score"),
            ("probabilities", "probability"),
        ):
            expected = [each[key] for each in answer["n_best"]]
            np.testing.assert_allclose(outputs[f"n_best_{column}"][row, :count], expected, atol=1e-5)
        if name == "unanswerable":
            np.testing.assert_allclose(outputs["null_differences"][row], answer["null_difference"], atol=1e-5)
    assert ("null_differences" in outputs) == (name == "unanswerable")
    answers = [answer["answer"] for answer in predicted]
    assert any(answers)
    assert answers.count("") > (1 if name == "unanswerable" else 0)
    assert case.ask_examples(question=QUESTIONS, context=TEXTS)["answers"].tolist() == outputs["answers"].tolist()
    assert case.ask(question=[], context=[])["answers"].shape == (0,)
    assert [answer["answer"] for answer in load(case.path).answer(QUESTIONS, TEXTS)] == answers


def test_masked_lms_answer_as_the_predictor_does(served):
    case = served("masked_lm")
    texts = ["the [MASK] miller [MASK] the boat", "[MASK]", "a heavy [MASK]."]
    predicted = case.predictor.fill_mask(texts)
    outputs = case.ask(text=texts)
    assert outputs["num_masks"].tolist() == [2, 1, 1]
    for row, masks in enumerate(predicted):
        for mask, tokens in enumerate(masks):
            np.testing.assert_allclose(outputs["probabilities"][row, mask], [s for _, s in tokens], atol=1e-5)
            assert _strings(outputs["tokens"][row, mask]) == [token for token, _ in tokens]
    assert case.ask(text=["no mask"])["num_masks"].tolist() == [0]
    exported = load(case.path)
    for one, other in zip(exported.fill_mask(texts), predicted, strict=True):
        assert [[token for token, _ in mask] for mask in one] == [[token for token, _ in mask] for mask in other]
    by_export, by_predictor = (
        [answer["log_likelihood"] for answer in one.log_likelihood(TEXTS)] for one in (exported, case.predictor)
    )
    assert by_export == pytest.approx(by_predictor, rel=1e-4)
    spans = ["the [MASK:3] boat", "a heavy [MASK]."]
    for one, other in zip(exported.complete(spans), case.predictor.complete(spans), strict=True):
        assert one["completed"] == other["completed"]
        assert one["log_probability"] == pytest.approx(other["log_probability"], abs=1e-4)
    vectors = case.predictor.embed(TEXTS)
    served_vectors = case.signatures["embedding"](text=tf.constant(TEXTS))["embedding"]
    np.testing.assert_allclose(served_vectors, vectors, atol=1e-5)
    np.testing.assert_allclose(
        exported.embed(TEXTS, pooling="pooler"), case.predictor.embed(TEXTS, pooling="pooler"), atol=1e-5
    )
    ids = tf.constant(case.predictor.tokenizer.encode_pair("the old boat")[0])[None]
    inputs = {"input_ids": ids, "input_mask": tf.ones_like(ids), "segment_ids": tf.zeros_like(ids)}
    inputs["masked_lm_positions"] = tf.constant([[1, 2]])
    by_ids, direct = case.signatures["token_ids"](**inputs), case.predictor.model(inputs)
    for name in ("masked_lm_logits", "next_sentence_logits"):
        np.testing.assert_allclose(by_ids[name], direct[name], atol=1e-5)


def test_long_texts_are_cut_as_in_training(served):
    case = served("pairs")
    text = "the wooden boat " * 40
    outputs = case.ask(text=[text, text + "near the river"], text_pair=["", ""])
    np.testing.assert_array_equal(outputs["logits"][0], outputs["logits"][1])
    expected = case.predictor.classify([text], [""])[0]["probabilities"]
    np.testing.assert_allclose(outputs["probabilities"][0], list(expected.values()), atol=1e-5)


def test_rows_are_padded_to_few_lengths(served):
    case = served("pairs")
    predictor = case.predictor
    arguments = (predictor.model, predictor.description, predictor.tokenizer)
    module = signatures_of("classification")(*arguments, options=ExportOptions())
    assert module.bucket_lengths == (8, 16, 24)
    lengths = {
        count: module.rows(module.graph_tokenizer.tokenize(tf.constant(["boat " * count])))["input_ids"].shape[1]
        for count in (0, 1, 6, 7, 14, 15, 22, 23, 50)
    }
    assert lengths == {0: 8, 1: 8, 6: 8, 7: 16, 14: 16, 15: 24, 22: 24, 23: 24, 50: 24}


@pytest.mark.parametrize("name", _long_unless_quick(*CASES))
def test_the_folder_holds_the_assets_and_the_signatures(served, name):
    case = served(name)
    folder = Path(case.path)
    description = case.predictor.description
    assets = sorted(os.listdir(folder / "assets"))
    assert assets == ["config.json", *(["labels.txt"] if description.labels else []), "vocab.txt"]
    assert (folder / "assets" / "vocab.txt").read_text() == (case.run / "vocab.txt").read_text()
    if description.labels:
        assert tuple((folder / "assets" / "labels.txt").read_text().split()) == description.labels
    assert json.loads((folder / "assets" / "config.json").read_text()) == json.loads(
        json_text.dumps(description.to_dict())
    )
    run = json.loads((case.run / "config.json").read_text())
    assert description.to_dict().items() >= {name: run[name] for name in ("task", "model", "vocab_hash")}.items()
    assert (folder / "assets.extra" / "tf_serving_warmup_requests").stat().st_size > 100
    card = (folder / "MODEL_CARD.md").read_text()
    for words in (f"| task | {description.task} |", "| licence of the weights | not stated |", description.vocab_hash):
        assert words in card
    # A server may check that signatures have the methods of Classify and Regress.
    graph = (folder / "saved_model.pb").read_bytes()
    method = signatures_of(description.task).examples_method
    assert f"tensorflow/serving/{method}".encode() in graph
    assert b"tensorflow/serving/predict" in graph


def test_versions_count_up(served, tmp_path, monkeypatch):
    case = served("pairs")
    assert case.path == str(case.run / "export" / "1")
    (tmp_path / "7").mkdir()
    (tmp_path / "9²").mkdir()
    (tmp_path / "8").write_text("a file takes a name, too")

    def save(module, path, signatures):
        os.makedirs(path, exist_ok=True)

    monkeypatch.setattr(tf.saved_model, "save", save)
    monkeypatch.setattr("bert_tf.serving.export._name_method", lambda *_: None)
    assert export_saved_model(str(case.run), str(tmp_path)) == str(tmp_path / "9")
    assert sorted(os.listdir(tmp_path)) == ["7", "8", "9", "9²"]


def test_an_interrupted_export_leaves_nothing(served, tmp_path, monkeypatch):
    def interrupted(module, path, signatures):
        os.makedirs(path, exist_ok=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(tf.saved_model, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_saved_model(str(served("pairs").run), str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_invalid_sources_and_folders_are_refused(served, tmp_path):
    case = served("pairs")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="`export_dir` must be a folder that can be written to"):
        export_saved_model(str(case.run), str(tmp_path / "file"))
    with pytest.raises(ValueError, match="`path` must hold trained or published weights, not an export"):
        export_saved_model(case.path, str(tmp_path))
    with pytest.raises(FileNotFoundError, match="`path`"):
        export_saved_model(str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "float16"}, r"`precision` must be float32 or bfloat16\. Received: 'float16'"),
        ({"fixed_batch_size": 0}, r"`fixed_batch_size` must be at least 1\. Received: 0"),
        ({"top_k": 0}, r"`top_k` must be at least 1\. Received: 0"),
    ],
)
def test_invalid_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ExportOptions(**options)


def test_a_task_without_signatures_has_those_of_its_parent_or_none(monkeypatch):
    class Stance(Classification):
        kind = "stance"

    monkeypatch.setitem(MODEL_KINDS, "stance", Stance)
    assert signatures_of("stance") is signatures_of("classification")
    with pytest.raises(ValueError, match=r"whose task has export signatures \(encoder, .*Received: one for retrieval"):
        signatures_of("retrieval")
