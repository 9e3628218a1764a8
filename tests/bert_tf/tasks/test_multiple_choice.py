"""Choices become rows, the model computes what `BertForMultipleChoice` does, and everything that answers agrees."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_checkpoints import with_heads, write_hf
from small_model import SMALL, shake, write_run

import bert_tf
from bert_tf.configs.tasks import MultipleChoiceConfig
from bert_tf.conversion.loading import load_pretrained
from bert_tf.examples import ChoiceExample
from bert_tf.features import multiple_choice_batch
from bert_tf.scoring.multiple_choice import multiple_choice_scores
from bert_tf.serving.export import export_saved_model
from bert_tf.tasks import task_of
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from experiments.query_saved_model import query, read_texts

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
WORDS = ["the", "old", "miller", "found", "a", "boat", "near", "river", "road"]
TOKENIZER = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, *WORDS])
EXAMPLES = [
    ChoiceExample("the old miller", ("a boat", "the road near the river", "boat"), 2),
    ChoiceExample("the river", ("road", "boat"), 1, question="near a"),
]


def _task(**changes):
    return task_of(MultipleChoiceConfig(**({"max_seq_length": 12, "max_choices": 3} | changes)))


@pytest.fixture(scope="module")
def model():
    model = bert_tf.BertMultipleChoice(SMALL.replace(vocab_size=TOKENIZER.vocab_size))
    shake(model)
    model.set_tokenizer(TOKENIZER, max_length=12, max_choices=3)
    return model


def test_logits_are_those_of_transformers(tmp_path):
    """The golden logits are made by golden/make_multiple_choice.py."""
    source = write_hf(tmp_path / "hf", with_heads("classifier", classes=1), architectures=["BertForMultipleChoice"])
    model, pretrained = load_pretrained(source)
    assert (type(model), pretrained.task) == (bert_tf.BertMultipleChoice, "multiple_choice")
    with np.load(GOLDEN / "multiple_choice_logits.npz") as golden:
        inputs, logits = {name: golden[name] for name in golden if name != "logits"}, golden["logits"]
    count, choices, length = inputs["input_ids"].shape
    alone = model({name: array.reshape(-1, length) for name, array in inputs.items()})
    assert np.abs(np.reshape(alone, (count, choices)) - logits).max() < 2e-6
    joined = {name: array.reshape(count, -1) for name, array in inputs.items() if name != "attention_mask"}
    joined["input_mask"] = (inputs["attention_mask"] * np.arange(1, choices + 1)[:, None]).reshape(count, -1)
    joined["position_ids"] = np.tile(np.arange(length), (count, choices))
    joined["choice_positions"] = np.tile(np.arange(choices) * length, (count, 1))
    assert np.abs(model(joined) - logits).max() < 2e-6


def test_rows_of_training_hold_all_choices():
    rows = _task().encode(EXAMPLES, (), TOKENIZER, training=True)
    batch = rows.batch(np.arange(2), int(rows.lengths.max()))
    assert {name: array.dtype for name, array in batch.items()} == {
        name: feature.dtype for name, feature in multiple_choice_batch(2, 26, 3).items()
    }
    assert TOKENIZER.tokens[batch["input_ids"][0, 0]] == "[CLS]"
    words = [TOKENIZER.tokens[token] for token in batch["input_ids"][1, :15]]
    pair = "[CLS] the river [SEP] near a road [SEP] [CLS] the river [SEP] near a boat"
    assert " ".join(words) == pair
    assert batch["input_mask"][1].tolist() == [1] * 8 + [2] * 8 + [0] * 10
    assert batch["position_ids"][1, :16].tolist() == [*range(8), *range(8)]
    assert batch["segment_ids"][1, :8].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert batch["choice_positions"].tolist() == [[0, 8, 19], [0, 8, -1]]
    assert (batch["label_ids"].tolist(), batch["label_weights"].tolist()) == ([2, 1], [1.0, 1.0])
    assert rows.bucket_lengths[-1] == 36


def test_a_row_of_training_and_rows_of_evaluation_have_the_same_logits(model):
    task = _task()
    training = task.encode(EXAMPLES, (), TOKENIZER, training=True)
    joined = np.asarray(model(training.batch(np.arange(2), 26)))
    evaluation = task.encode(EXAMPLES, (), TOKENIZER)
    assert evaluation.sources == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    alone = np.asarray(model(evaluation.batch(np.arange(5), 12)))
    np.testing.assert_allclose(joined[[0, 0, 0, 1, 1], [0, 1, 2, 0, 1]], alone[:, 0], atol=1e-6)
    assert joined[1, 2] == -1e9
    answers = task.answers(EXAMPLES, evaluation, list(alone), labels=())
    expected = np.exp(alone[3:, 0]) / np.exp(alone[3:, 0]).sum()
    assert answers[1]["probabilities"] == pytest.approx(expected.tolist())
    assert answers[1]["choice"] == EXAMPLES[1].choices[answers[1]["index"]]
    assert task.answers([], task.encode([], (), TOKENIZER), [], labels=()) == []


def test_more_choices_than_a_row_has_room_for_are_an_error(model):
    example = ChoiceExample("the river", ("a", "boat", "near", "road"), 0, source="train.jsonl, line 3")
    with pytest.raises(
        ValueError, match=r"train\.jsonl, line 3: must have at most `task\.max_choices` choices, 3\. Rec"
    ):
        _task().encode([example], (), TOKENIZER, training=True)
    assert len(model.choose(example.context, example.choices)["probabilities"]) == 4, "a question may have any number"


def test_scores():
    scores = multiple_choice_scores([1, 0], [[0.25, 0.75], [0.2, 0.5, 0.2, 0.1]])
    assert scores == pytest.approx(
        {"accuracy": 0.5, "choice_loss": -(np.log(0.75) + np.log(0.2)) / 2, "random_accuracy": 0.375}
    )


def test_the_model_is_fitted_and_asked_in_keras(model):
    copy = bert_tf.BertMultipleChoice.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    contexts, questions = ["the old miller", "the river"] * 4, ["", "near a"] * 4
    choices = [list(example.choices) for example in EXAMPLES] * 4
    copy.compile(keras.optimizers.Adam(1e-2), metrics=["accuracy"])
    history = copy.fit((contexts, choices, questions), [2, 1] * 4, epochs=6, batch_size=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    examples = [{"context": contexts, "choices": choices, "question": questions}, EXAMPLES * 4]
    losses = [
        copy.evaluate(x, y, verbose=0, return_dict=True) for x, y in zip(examples, ([2, 1] * 4, None), strict=True)
    ]
    assert losses[0] == pytest.approx(losses[1])
    found = [answer["index"] for answer in copy.choose(contexts, choices, questions)]
    assert losses[0]["accuracy"] == pytest.approx(np.mean(np.equal(found, [2, 1] * 4)))
    outputs = copy.predict((contexts, choices, questions), verbose=0)
    assert outputs.shape == (8, 3)
    np.testing.assert_allclose(copy(copy.preprocessor((contexts, choices, questions))), outputs, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ((["a"], [["boat"]]), None, r"`x\[1\]\[0\]` must hold at least two choices\. Received: \['boat'\]"),
        ((["a"], ["boat"]), None, r"`x\[1\]\[0\]` must hold at least two choices\. Received: 'boat'"),
        ((["a"], [["a", "b"]] * 2), None, r"`x\[1\]` must have as many items as `x`, 1\. Received: 2"),
        ((["a"], [["a", "b"]]), [2], r"`y\[0\]` must be the index of a choice, from 0 to 1\. Received: 2"),
        ((["a"], [["a", "b"]]), ["b"], r"`y\[0\]` must be the index of a choice, from 0 to 1\. Received: 'b'"),
        (["a"], None, r"`x` must be a tuple \(contexts, choices\)"),
    ],
)
def test_bad_input_of_keras_is_named(model, x, y, message):
    with pytest.raises(ValueError, match=message):
        model.preprocessor.examples(x, y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "boat"), r"`choices` must be a list of texts, not one text"),
        (("a", ["boat"]), r"`choices` must hold at least two choices\. Received: \['boat'\]"),
        ((["a"], [["boat", ""]]), r"`choices\[0\]\[1\]` must not be empty"),
        ((["a"], [["boat", 3]]), r"`choices\[0\]\[1\]` must be a text\. Received: 3"),
        ((["a", "the"], [["boat", "a"]]), r"`choices` must be as many as `contexts`\. Received: 1 and 2"),
        ((["a"], [["boat", "a"]], []), r"`questions` must be as many as `contexts`\. Received: 0 and 1"),
    ],
)
def test_bad_questions_are_named(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.choose(*arguments)


def test_an_export_answers_as_the_run_does(tmp_path):
    pytest.importorskip("tensorflow_text")
    run = str(write_run(tmp_path / "run", "multiple_choice"))
    predictor = bert_tf.load(run)
    contexts = ["The old miller.", "a young sailor forgot the letter near the river before the storm", ""]
    choices = [["a boat", "the river " * 20], ["boat", "miller", "the letter", "storm", "old", "river"], ["a", "road"]]
    questions = ["", "who was it", "what"]
    answers = predictor.choose(contexts, choices, questions)
    assert predictor.choose(contexts[1], choices[1], questions[1]) == answers[1]
    with pytest.raises(ValueError, match=r"`classify` needs a model for classification or multi_label\. .*`choose`"):
        predictor.classify(contexts)

    version = export_saved_model(run)
    exported = bert_tf.load(version).choose(contexts, choices, questions)
    loaded = tf.saved_model.load(version)
    asked = tmp_path / "asked.jsonl"
    rows = zip(contexts, choices, questions, strict=True)
    keys = ("context", "choices", "question")
    asked.write_text("".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in rows))
    texts = read_texts(str(asked), sorted(keys), ["choices"])
    named = query(loaded.signatures["serving_default"], texts)
    for answer, other, outputs in zip(answers, exported, named, strict=True):
        count = len(answer["probabilities"])
        for found in (other["probabilities"], outputs["probabilities"][:count]):
            np.testing.assert_allclose(found, answer["probabilities"], atol=1e-6)
        assert outputs["probabilities"][count:] == [0.0] * (6 - count)
        assert (outputs["indices"], outputs["answers"]) == (answer["index"], answer["choice"])

    features = {"context": [contexts[0]], "choices": choices[0]}
    example = tf.train.Example(
        features=tf.train.Features(
            feature={
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode() for text in values]))
                for name, values in features.items()
            }
        )
    ).SerializeToString()
    found = loaded.signatures["examples"](inputs=tf.constant([example]))
    np.testing.assert_allclose(found["probabilities"][0], answers[0]["probabilities"], atol=1e-6)
