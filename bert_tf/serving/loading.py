"""The loading of models from runs, exports and published weights.

Each is loaded as a function of the encoder's inputs, a description as a run writes it, and a tokenizer.
"""

import os
from typing import Any

import tensorflow as tf
from absl import logging

from bert_tf.conversion import hub, runs, sentence_transformers
from bert_tf.conversion.loading import model_of, read_pretrained, warn_of_surprises
from bert_tf.conversion.pretrained import Pretrained
from bert_tf.conversion.sentence_transformers import SentenceSettings
from bert_tf.runs import folder as run_folder
from bert_tf.runs.descriptions import EmbeddingSettings, ModelDescription, RunDescription
from bert_tf.serving.litert import LiteModel
from bert_tf.tasks import MODEL_KINDS, TASKS
from bert_tf.tasks.model_kinds import Encoder, Pretraining
from bert_tf.tasks.retrieval import Retrieval
from bert_tf.tokenization.casing import casing_warning
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed

_GRAPH_FILE = "saved_model.pb"
_LITE_SUFFIX = ".tflite"


class ExportedModel:
    """A SavedModel of `serving.export`, called in the same way as the Keras model that it was made of.

    Args:
        path: the folder of one version.
        task: the task in its description.

    Raises:
        ImportError: TensorFlow Text, whose operations the graph has, is not installed.
    """

    def __init__(self, path: str, task: str) -> None:
        try:
            import tensorflow_text  # noqa: F401  (registers operations)
        except ImportError as error:
            raise ImportError(f"an export needs TensorFlow Text: pip install 'bert_tf[text]' ({error})") from error
        self._loaded = tf.saved_model.load(path)  # keeps the variables alive
        self._signatures = self._loaded.signatures
        self._task = task

    def __call__(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """Return the outputs of the model for the inputs of its encoder and heads, int32."""
        # Without positions to predict at, a pre-trained model is an encoder.
        is_encoder = not inputs.keys() >= set(MODEL_KINDS[self._task].head_inputs)
        signature = self._signatures["encoder" if is_encoder else "token_ids"]
        names = signature.structured_input_signature[1]
        outputs = signature(**{name: tf.convert_to_tensor(inputs[name], tf.int32) for name in names})
        return outputs[name] if (name := MODEL_KINDS[self._task].output) else outputs


def read_model(path: str) -> tuple[Any, ModelDescription, WordPieceTokenizer]:
    """Return the model at `path`, in float32, with its description and its tokenizer.

    Args:
        path: a run's folder; the folder of an export's version, or of several versions (the newest is taken); a
            `.tflite` file of any length in it; or any published weights that `conversion.loading.read_pretrained`
            takes, or a folder of Sentence Transformers.

    Returns:
        The model, to be called in the same way as `BertEncoder`; the description, whose task is that of the run,
        `pretraining` or `encoder`; and the tokenizer. A run of retrieval and a folder of Sentence Transformers become
        an encoder. Its `description.embedding` says how texts become vectors.

    Raises:
        FileNotFoundError: nothing has this name, or there is no complete checkpoint.
        ValueError: files are damaged, weights are missing, the model is not a BERT, or the `.tflite` file has a fixed
            length.
        ImportError: an export needs TensorFlow Text.
    """
    path = os.fspath(path).rstrip("/") or path
    if path.endswith(_LITE_SUFFIX) and files.exists(path):
        description, tokenizer = _read_assets(os.path.dirname(os.path.dirname(path)), path)
        model = LiteModel(path, description.task)
        if model.length is not None:
            raise ValueError(
                "`path` must name the file for any length, which uses the files of fixed lengths beside it. "
                f"Received: {path!r}, of {model.length} tokens"
            )
        return model, description, tokenizer
    version = _newest_version(path)
    if version is not None:
        description, tokenizer = _read_assets(version, path)
        return ExportedModel(version, description.task), description, tokenizer
    if runs.is_folder(path):
        with renamed(run_dir="path"):
            return _of_run(*run_folder.load_run(path))
    return _read_published(path)


def _of_run(
    model: Any, run: RunDescription, tokenizer: WordPieceTokenizer
) -> tuple[Any, ModelDescription, WordPieceTokenizer]:
    """Return a run's model for serving. A retrieval model becomes an encoder of single texts."""
    description = run.of_model()
    if run.task != Retrieval.kind:
        return model, description, tokenizer
    embedding = embedding_settings(model.pooling, model.normalize)
    description = description.replace(task=Encoder.kind, task_config=None, embedding=embedding, has_pooler=False)
    return model.encoder, description, tokenizer


def embedding_settings(pooling: str, normalize: bool) -> EmbeddingSettings:
    """Return the settings of a model that was trained to embed. Its vectors are compared as the model returns them."""
    return EmbeddingSettings(pooling, normalize, "cosine" if normalize else "dot")


def _newest_version(path: str) -> str | None:
    """Return the folder of the newest SavedModel: `path` itself or the highest number in it; None if there is none."""
    if files.exists(os.path.join(path, _GRAPH_FILE)):
        return path
    if not files.is_folder(path):
        return None
    names = [name.rstrip("/") for name in files.names_in_folder(path)]
    versions = [name for name in names if name.isdigit() and files.exists(os.path.join(path, name, _GRAPH_FILE))]
    return os.path.join(path, max(versions, key=int)) if versions else None


def _read_assets(version: str, path: str) -> tuple[ModelDescription, WordPieceTokenizer]:
    """Return the description and the tokenizer of an exported version. Errors name the caller's `path`."""
    file = os.path.join(version, "assets", run_folder.CONFIG_FILE)
    if not files.exists(file):
        raise FileNotFoundError(f"`path`: an export must hold assets/{run_folder.CONFIG_FILE}. Received: {path!r}")
    values = files.read_json(file)
    if isinstance(values, dict) and "embedding" not in values:
        raise ValueError(
            f"`path`: an earlier version of this package wrote the export. Export the model again. Received: {path!r}"
        )
    description = ModelDescription.from_dict(values)
    vocab_file = os.path.join(version, "assets", run_folder.VOCAB_FILE)
    return description, WordPieceTokenizer(vocab_file, description.do_lower_case, description.tokenizer_options)


def _read_published(path: str) -> tuple[Any, ModelDescription, WordPieceTokenizer]:
    if path.startswith("hf://"):
        path = hub.fetch(path.removeprefix("hf://"))
    sentences = sentence_transformers.read_settings(path) if sentence_transformers.is_folder(path) else None
    if sentences is not None:
        pretrained = read_pretrained(sentences.encoder_dir, Encoder.kind)
    else:
        pretrained = read_pretrained(path)
    task = pretrained.task
    if task == Pretraining.kind and "masked_lm" not in pretrained.heads:
        task = Encoder.kind  # no method uses a next-sentence head
    description = describe(pretrained, task, sentences)
    model = model_of(pretrained, task)
    # Filling masks needs neither a pooler nor a next-sentence head, and mean vectors need no pooler.
    pretrained.assign_to(model, task, allow_random_heads=task not in TASKS)
    warn_of_surprises(pretrained, random=False)
    tokenizer = pretrained.tokenizer()
    if (contradiction := casing_warning(tokenizer)) is not None:
        logging.warning("%s: %s", pretrained.source, contradiction)
    return model, description, tokenizer


def describe(pretrained: Pretrained, task: str, sentences: SentenceSettings | None = None) -> ModelDescription:
    """Return the description of published weights, with the default settings of their task.

    Args:
        pretrained: the weights.
        task: the task of their heads, a key of `tasks.MODEL_KINDS`.
        sentences: the settings of a folder of Sentence Transformers.

    Raises:
        ValueError: the weights come without a vocabulary.
    """
    tokenizer = pretrained.tokenizer()
    positions = pretrained.config.max_position_embeddings
    length = min(pretrained.max_seq_length or positions, positions)
    if sentences is not None:
        length = min(sentences.max_seq_length or length, positions)
    embedding = EmbeddingSettings()
    if sentences is not None:
        embedding = embedding_settings(sentences.pooling, sentences.normalize)
    config = None
    if task in TASKS:
        config = TASKS[task].published_config(length, pretrained.pooling)
        length = config.max_seq_length
        pretrained.config.check_fits(tokenizer.vocab_size, length, num_segments=config.num_segments)
    return ModelDescription(
        task=task,
        model=pretrained.config,
        do_lower_case=tokenizer.do_lower_case,
        tokenizer_options=tokenizer.options,
        vocab_hash=tokenizer.vocab_hash,
        max_seq_length=length,
        labels=tuple(pretrained.labels),
        task_config=config,
        embedding=embedding,
        has_pooler="encoder/pooler/dense/kernel" in pretrained.weights,
        data={"source": pretrained.source},
    )
