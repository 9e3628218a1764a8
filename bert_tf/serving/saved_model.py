"""The reader of SavedModels that `serving.export` wrote."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from bert_tf.runs.descriptions import ModelDescription
from bert_tf.serving.exported import ExportedModel, signature_name
from bert_tf.serving.members import members_of
from bert_tf.tasks import MODEL_KINDS
from bert_tf.tasks.base import Member
from bert_tf.tasks.model_kinds import Encoder
from bert_tf.tasks.retrieval import Retrieval


def load_graph(path: str) -> Any:
    """Return a SavedModel with its signatures, which must not outlive it.

    Args:
        path: the folder of one version.

    Raises:
        ImportError: TensorFlow Text, whose operations the graph has, is not installed.
        OSError: there is no such SavedModel.
    """
    try:
        import tensorflow_text  # noqa: F401  (registers operations)
    except ImportError as error:
        raise ImportError(f"an export needs TensorFlow Text: pip install 'bert_tf[text]' ({error})") from error
    return tf.saved_model.load(path)


class SavedModel(ExportedModel):
    """A SavedModel of `serving.export`, called in the same way as the Keras model that it was made of.

    Args:
        loaded: what `load_graph` returns.
        task: the kind of the model.
        name: the name of the task among several in the export; "" for the only one.
    """

    def __init__(self, loaded: Any, task: str, name: str = "") -> None:
        self._loaded = loaded  # keeps the variables alive
        self._task, self._name = task, name

    def __call__(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """Return the outputs of the model for the inputs of its encoder and heads, int32."""
        # Without positions to predict at, a pre-trained model is an encoder.
        is_encoder = not inputs.keys() >= set(MODEL_KINDS[self._task].head_inputs)
        outputs = _answered(self._signature("encoder" if is_encoder else "token_ids"), inputs)
        name = MODEL_KINDS[self._task].output
        return outputs[name] if name else outputs

    def generate(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return what `models.generation.Generation` returns for its inputs; for a model for sequence to sequence."""
        seed = {"seed": inputs["seeds"][:, 0]} if "seeds" in inputs else {}
        return _answered(self._signature("token_ids"), inputs | seed)

    def _signature(self, name: str) -> Any:
        return self._loaded.signatures[signature_name(self._name, name)]


class SavedMultiTask(ExportedModel):
    """A SavedModel of a model for several tasks.

    Args:
        loaded: what `load_graph` returns.
        members: the tasks.

    Attributes:
        members: the model for each task by its name.
    """

    def __init__(self, loaded: Any, members: Sequence[Member]) -> None:
        kinds = {member.name: member.task.kind for member in members}
        self.members = {
            name: SavedModel(loaded, Encoder.kind if kind == Retrieval.kind else kind, name)
            for name, kind in kinds.items()
        }

    def __call__(self, inputs: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Return the outputs of every task by its name, as `BertMultiTask` does."""
        return {name: member(inputs) for name, member in self.members.items()}


def exported_model(path: str, description: ModelDescription) -> Any:
    """Return the model of an export.

    Args:
        path: the folder of one version.
        description: its description.

    Raises:
        ImportError: TensorFlow Text, whose operations the graph has, is not installed.
    """
    loaded, members = load_graph(path), members_of(description)
    return SavedMultiTask(loaded, members) if members else SavedModel(loaded, description.task)


def _answered(signature: Any, inputs: dict[str, Any]) -> dict[str, tf.Tensor]:
    names = signature.structured_input_signature[1]
    return signature(**{name: tf.convert_to_tensor(inputs[name], tf.int32) for name in names})
