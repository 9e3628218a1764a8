"""Graphs with the signatures of each kind of model, and a run, which need no weights."""

import numpy as np
import tensorflow as tf

from bert_tf.serving.explanation_page import explanation_data


class Kinds(tf.Module):
    """The signatures of each kind of model. Those of taggers and of question answering answer one text alone."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def classification(self, text):
        rows = tf.size(text)
        return {
            "labels": tf.repeat(["land"], rows),
            "probabilities": tf.tile([[0.125, 0.875]], [rows, 1]),
            "logits": tf.tile([[0.0, 2.0]], [rows, 1]),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def examples(self, inputs):
        rows = tf.size(inputs)
        return {"classes": tf.tile([["water", "land"]], [rows, 1]), "scores": tf.tile([[0.125, 0.875]], [rows, 1])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def regression(self, text):
        return {"values": tf.cast(tf.strings.length(text), tf.float32) / 8.0}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def tagging(self, text):
        found = {
            "words": [["the", "miller"]],
            "tags": [["O", "B-PER"]],
            "starts": [[0, 6]],
            "ends": [[3, 12]],
            "num_words": [2],
            "span_labels": [["PER", "LOC"]],
            "span_texts": [["miller", "river"]],
            "span_starts": [[6, 26]],
            "span_ends": [[12, 31]],
            "num_spans": [2],
        }
        return {name: tf.constant(value) for name, value in found.items()}

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, "question"), tf.TensorSpec([None], tf.string, "context")]
    )
    def question_answering(self, question, context):
        found = {
            "starts": [26],
            "ends": [31],
            "n_best_answers": [["river", "miller"]],
            "n_best_starts": [[26, 6]],
            "n_best_ends": [[31, 12]],
            "n_best_scores": [[4.0, 1.0]],
            "n_best_probabilities": [[0.75, 0.25]],
            "num_answers": [2],
        }
        answers = {"answers": tf.strings.substr(context, 26, 5, unit="UTF8_CHAR")}
        return answers | {name: tf.constant(value) for name, value in found.items()}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def pretraining(self, text):
        found = {"tokens": [[["old", "young"]]], "probabilities": [[[0.625, 0.25]]], "num_masks": [1]}
        return {name: tf.constant(value) for name, value in found.items()}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text"), tf.TensorSpec([None], tf.int32, "seed")])
    def seq2seq(self, text, seed):
        return {
            "texts": tf.strings.join(["<b>", text, "</b> ", tf.strings.as_string(seed)]),
            "scores": tf.repeat([-0.5], tf.size(text)),
            "log_probabilities": tf.repeat([-1.0], tf.size(text)),
            "num_tokens": tf.repeat([7], tf.size(text)),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def encoder(self, text):
        return {"embedding": tf.tile([[0.5, -0.25, 1.0]], [tf.size(text), 1])}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "context"),
            tf.TensorSpec([None], tf.string, "question"),
            tf.TensorSpec([None, None], tf.string, "choices"),
        ]
    )
    def multiple_choice(self, context, question, choices):
        # The longer a choice with its question, the likelier; "" is none.
        sizes = tf.strings.length(choices) + tf.strings.length(question)[:, None] * tf.cast(choices != "", tf.int32)
        sizes = tf.cast(sizes, tf.float32)
        indices = tf.argmax(sizes, axis=1, output_type=tf.int32)
        return {
            "indices": indices,
            "answers": tf.gather(choices, indices, batch_dims=1),
            "probabilities": sizes / tf.reduce_sum(sizes, axis=1, keepdims=True),
        }

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, "query"), tf.TensorSpec([None], tf.string, "passage")]
    )
    def reranking(self, query, passage):
        # The longer a passage with its query, the better, up to a score of 1.
        logits = tf.cast(tf.strings.length(tf.strings.join([query, passage])), tf.float32)
        return {"logits": logits, "scores": tf.minimum(logits / 32.0, 1.0)}


class Run:
    """The run beside an export: it answers without a model."""

    def __init__(self, generates, explains, tasks=None):
        self.generates, self.explains, self.tasks = generates, explains, tasks or {}

    async def stream(self, request, max_characters):
        async def parts():
            for part in ("one", " <b>two</b>", f" {request.get('seed', 0)}"):
                yield part

        return parts()

    async def explain(self, request, max_characters):
        places = [(0, 3, 0.5), (6, 12, -0.25), (26, 31, 1.0)]  # characters, and the part in the answer
        words = [
            {"token": request["text"][start:end], "text": 0, "start": start, "end": end, "attribution": part}
            for start, end, part in places
        ]
        weights = np.full((2, 2, 3, 3), 0.125, np.float32)
        weights[1, :, 0, 2] = 0.75
        explanation = {"target": "land", "value": 2.0, "tokens": words}
        return explanation_data([explanation], [[request["text"]]], attention=[{"weights": weights}])
