"""A student beside the teacher that it learns from.

Shapes: B batch, L length, D width of the student, E width of the teacher.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from bert_tf.features import Batch, Tensor
from bert_tf.fusion import weight_in
from bert_tf.layers.base import flat_product, truncated_normal
from bert_tf.models.base import BertModel
from bert_tf.models.encoder import BertEncoder

MATRICES = "distillation:"
"""The start of the names of the matrices that map layers, by which checkpoints tell them from a student's weights."""


class StudentAndTeacher(keras.Model):
    """A student, its teacher, and the matrices that map the student's layers to the teacher's width.

    It is trained in the student's place. The teacher's weights stay as they are, and are not among `weights`, so that
    no checkpoint holds them.

    Args:
        student: the model to train.
        teacher: the teacher, of which an encoder alone gives no outputs.
        layers: for the student's embeddings and each of its blocks, the teacher's layer to compare; () for none.
        relation_layer: the teacher's layer whose queries, keys and values are compared with those of the student's last
            block; None for none.
    """

    def __init__(
        self,
        student: BertModel,
        teacher: BertModel,
        *,
        layers: Sequence[int] = (),
        relation_layer: int | None = None,
    ) -> None:
        # The name is the student's, so that the names of its weights are those that it has alone.
        super().__init__(name=student.name, dtype=student.dtype_policy)
        self.student = student
        self.teacher = teacher
        self.teacher.trainable = False
        self.layers_of_teacher = tuple(layers)
        self.relation_layer = relation_layer
        self.matrices: list[keras.Variable] = []
        if layers and student.config.hidden_size != teacher.config.hidden_size:
            self.matrices = [self._matrix("embeddings"), self._matrix("layers")]
        self.built = True

    def _matrix(self, name: str) -> keras.Variable:
        config = self.student.config
        return self.add_weight(
            shape=(config.hidden_size, self.teacher.config.hidden_size),
            initializer=truncated_normal(config.initializer_range),
            name=f"{MATRICES}{name}",
        )

    @property
    def weights(self) -> list[Any]:
        """The student's weights and the matrices."""
        return [*self.student.weights, *self.matrices]

    def call(self, inputs: Batch, training: bool = False, seed: Tensor | None = None) -> dict[str, Any]:
        """Apply student and teacher to a batch.

        Args:
            inputs: the batch of the student's task.
            training: whether the student has dropout. The teacher never has.
            seed: as in `BertModel.call`.

        Returns:
            `student`, its outputs, and `teacher`, its outputs, unless it is an encoder alone. With `layers`,
            `student_layers` and `teacher_layers`, lists of [B, L, E]. With a `relation_layer`, `student_vectors` and
            `teacher_vectors`: queries, keys and values, [B, L, D] and [B, L, E]. Nothing of the teacher has a gradient.
        """
        student, teacher = self.student, self.teacher
        seed = student.seeds_of_rows(seed, inputs)
        own = student.encoder.layer_outputs(inputs, training=training, seed=seed)
        outputs = {"student": student.outputs_of(student.encoder.encoded(own[-1]), inputs, training, seed)}
        encoder = teacher if isinstance(teacher, BertEncoder) else teacher.encoder
        others = [ops.stop_gradient(layer) for layer in encoder.layer_outputs(inputs)]
        if encoder is not teacher:
            found = teacher.outputs_of(encoder.encoded(others[-1]), inputs)
            outputs["teacher"] = keras.tree.map_structure(ops.stop_gradient, found)
        if self.layers_of_teacher:
            outputs["student_layers"] = self._mapped(own)
            outputs["teacher_layers"] = [others[layer] for layer in self.layers_of_teacher]
        if self.relation_layer is not None:
            outputs["student_vectors"] = _vectors(student.encoder.blocks[-1].attention, own[-2], training)
            block = encoder.blocks[self.relation_layer - 1]
            vectors = _vectors(block.attention, others[self.relation_layer - 1])
            outputs["teacher_vectors"] = [ops.stop_gradient(vector) for vector in vectors]
        return outputs

    def _mapped(self, layers: Sequence[Tensor]) -> list[Tensor]:
        """Return the embeddings and the outputs of all blocks in the teacher's width."""
        if not self.matrices:
            return list(layers)
        first, others = (weight_in(matrix, layers[0].dtype) for matrix in self.matrices)
        return [flat_product(layers[0], first), *(flat_product(layer, others) for layer in layers[1:])]


def _vectors(attention: Any, x: Tensor, training: bool = False) -> list[Tensor]:
    """Return queries, keys and values of a block's input, [B, L, D], all heads side by side."""
    rows, length, width = ops.shape(x)
    query, key, value = (
        ops.reshape(ops.transpose(heads, (0, 2, 1, 3)), (rows, length, width))
        for heads in attention.heads(x, training=training)
    )
    # `heads` divides queries by the root of the size of a head, which is no part of relations.
    return [query * (width // attention.num_heads) ** 0.5, key, value]
