"""The losses of a student beside its teacher, against a NumPy computation of the papers' equations."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL, shake

from bert_tf.models.encoder import BertEncoder
from bert_tf.models.student_and_teacher import StudentAndTeacher
from bert_tf.objectives import distillation
from bert_tf.objectives.objective import classification_objective

RANDOM = np.random.default_rng(0)
LOGITS, TARGETS = RANDOM.normal(size=(2, 3, 4)).astype(np.float32)
MASK = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 2, 2]], np.int32)


def softmax(x):
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def divergence(student, teacher):
    return (teacher * np.log(teacher / student)).sum(axis=-1)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_classes_diverge_as_hinton_defines_it(temperature):
    found = distillation.class_imitation(LOGITS, {"teacher_outputs": TARGETS}, temperature)
    expected = temperature**2 * divergence(softmax(LOGITS / temperature), softmax(TARGETS / temperature))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_labels_diverge_one_by_one():
    found = distillation.label_imitation(LOGITS, {"teacher_outputs": TARGETS}, 2.0)
    own, other = (1 / (1 + np.exp(-x / 2.0)) for x in (LOGITS, TARGETS))
    both = other * np.log(other / own) + (1 - other) * np.log((1 - other) / (1 - own))
    np.testing.assert_allclose(found, 4.0 * both.mean(axis=-1), rtol=1e-5)


def test_numbers_differ_by_squares():
    found = distillation.number_imitation(LOGITS[:, 0], {"teacher_outputs": TARGETS[:, 0]}, 2.0)
    np.testing.assert_allclose(found, (LOGITS[:, 0] - TARGETS[:, 0]) ** 2, rtol=1e-6)


def test_spans_diverge_over_the_tokens_of_the_row():
    student, teacher = RANDOM.normal(size=(2, 2, 2, 5)).astype(np.float32)
    batch = {"input_mask": MASK, "teacher_start_logits": teacher[0], "teacher_end_logits": teacher[1]}
    found = distillation.span_imitation({"start_logits": student[0], "end_logits": student[1]}, batch, 1.0)
    for row, length in enumerate((4, 5)):
        own = [
            divergence(softmax(logits[row, :length]), softmax(others[row, :length]))
            for logits, others in zip(student, teacher, strict=True)
        ]
        np.testing.assert_allclose(found[row], np.mean(own), rtol=1e-5)


def test_relations_of_other_widths_and_heads():
    student, teacher = (RANDOM.normal(size=(3, 2, 5, width)).astype(np.float32) for width in (4, 12))
    allowed = (MASK[:, None, :, None] == MASK[:, None, None, :]) & (MASK[:, None, None, :] > 0)
    found = distillation.relation_losses(list(student), list(teacher), allowed, num_heads=2)

    def relation(vectors, head):
        part = np.split(vectors, 2, axis=-1)[head]
        return softmax(np.where(allowed[:, 0], part @ part.transpose(0, 2, 1) / np.sqrt(part.shape[-1]), -1e9))

    expected = np.zeros((2, 5))
    for own, other in zip(student, teacher, strict=True):
        for head in range(2):
            a, b = relation(own, head), relation(other, head)
            expected += np.where(b > 0, b * np.log(np.maximum(b, 1e-30) / np.maximum(a, 1e-30)), 0).sum(axis=-1) / 2
    np.testing.assert_allclose(np.where(MASK > 0, found, 0), np.where(MASK > 0, expected, 0), rtol=1e-4, atol=1e-6)


def _models(**changes):
    """Return a student beside a teacher, both with random weights and without heads of a task."""
    keras.utils.set_random_seed(0)
    teacher = BertEncoder(SMALL.replace(num_layers=4, hidden_size=24, num_heads=2))
    student = _Student(SMALL.replace(**changes))
    for model in (teacher, student):
        shake(model)
    return StudentAndTeacher(student, teacher, layers=(0, 2, 4), relation_layer=3)


class _Student(keras.Model):
    """An encoder that has no head."""

    def __init__(self, config):
        super().__init__()
        self.config, self.encoder = config, BertEncoder(config)
        self.built = True

    def seeds_of_rows(self, seed, inputs):
        return seed

    def outputs_of(self, encoded, inputs, training=False, seed=None):
        return encoded["sequence_output"]


BATCH = {
    "input_ids": RANDOM.integers(5, 40, (2, 5)).astype(np.int32),
    "input_mask": MASK,
    "segment_ids": np.zeros((2, 5), np.int32),
    "position_ids": np.array([[0, 1, 2, 3, 4], [0, 1, 2, 0, 1]], np.int32),
    "teacher_weights": np.array([1.0, 0.0], np.float32),
}


def _losses(model, terms):
    with tf.GradientTape() as tape:
        sums = {term.name: term.losses(model(BATCH, training=True), BATCH) for term in terms}
        loss = sum(tf.reduce_sum(values * terms[0].weights(BATCH)) for values in sums.values())
    return sums, tape.gradient(loss, [weight.value for weight in model.trainable_variables])


def test_layers_are_mapped_by_two_matrices_that_learn():
    model = _models()
    sums, gradients = _losses(model, [distillation.layer_term(1.0)])
    own = [layer.numpy() for layer in model.student.encoder.layer_outputs(BATCH)]
    others = [layer.numpy() for layer in model.teacher.layer_outputs(BATCH)]
    embeddings, rest = (matrix.numpy() for matrix in model.matrices)
    expected = sum(
        ((layer @ matrix - other) ** 2).mean(axis=-1)
        for layer, matrix, other in zip(own, (embeddings, rest, rest), (others[0], others[2], others[4]), strict=True)
    )
    np.testing.assert_allclose(sums["hidden_loss"], expected, rtol=1e-4)
    trained = dict(zip([weight.path for weight in model.trainable_variables], gradients, strict=True))
    assert not any("teacher" in path for path in trained)
    assert len(trained) == len(model.student.trainable_weights) + 2
    # The gradient of the embeddings' matrix: 2 / E x^T (x W - t), of the first row alone, whose four tokens count.
    weights = ((MASK > 0) * BATCH["teacher_weights"][:, None])[..., None]
    error = (own[0] @ embeddings - others[0]) * weights * 2 / 24
    np.testing.assert_allclose(gradients[0], np.einsum("bld,ble->de", own[0], error), rtol=1e-3, atol=1e-6)


def test_a_student_that_is_its_teacher_has_no_loss_and_no_gradient():
    keras.utils.set_random_seed(0)
    teacher, student = BertEncoder(SMALL), _Student(SMALL)
    shake(teacher)
    for weight, value in zip(student.encoder.weights, teacher.weights, strict=True):
        weight.assign(value)
    model = StudentAndTeacher(student, teacher, layers=(0, 1, 2), relation_layer=2)
    assert not model.matrices
    terms = [distillation.layer_term(1.0), distillation.relation_term(1.0, 4)]
    sums, gradients = _losses(model, terms)
    for values in sums.values():
        np.testing.assert_allclose(values, np.zeros((2, 5)), atol=1e-6)
    for gradient in gradients:
        if gradient is not None:
            np.testing.assert_allclose(tf.convert_to_tensor(gradient), np.zeros(gradient.shape), atol=1e-5)


def test_factors_divide_the_weights_and_leave_the_reported_losses():
    batch = {
        "label_ids": np.array([1, 0, 3], np.int32),
        "label_weights": np.array([1.0, 1.0, 0.0], np.float32),
        "teacher_outputs": TARGETS,
    }
    term = distillation.output_term(0.25, distillation.class_imitation, "label_weights", temperature=2.0)
    labels = classification_objective()
    objective = distillation.distilled(labels, 0.5, [term])
    sums, weights = objective.losses(LOGITS, batch), objective.weights(batch)
    assert float(weights["classification_loss"]) == 4.0
    assert float(weights["distillation_loss"]) == 8.0
    total, weight = labels.losses(LOGITS, batch)["classification_loss"]
    assert (float(sums["classification_loss"][0]), float(sums["classification_loss"][1])) == (
        float(total),
        float(weight),
    )
    imitated = distillation.class_imitation(LOGITS, batch, 2.0).numpy()
    np.testing.assert_allclose(float(sums["distillation_loss"][0]), imitated[:2].sum(), rtol=1e-6)
    alone = distillation.distilled(labels, 0.0, [term])
    assert set(alone.losses(LOGITS, batch)) == {"distillation_loss"} == set(alone.weights(batch))
    assert "classification_loss" in alone.metrics(LOGITS, batch)
