"""The loading of Keras models for serving, from runs and from published weights."""

from typing import Any

from absl import logging

from bert_tf.conversion import hub, runs, sentence_transformers
from bert_tf.conversion.heads import check_same_task
from bert_tf.conversion.loading import model_of, read_pretrained, warn_of_surprises
from bert_tf.conversion.pretrained import Pretrained
from bert_tf.conversion.sentence_transformers import SentenceSettings
from bert_tf.runs import folder as run_folder
from bert_tf.runs.descriptions import EmbeddingSettings, ModelDescription
from bert_tf.serving.members import chosen_task, embedding_settings, served_member
from bert_tf.tasks import MODEL_KINDS, TASKS
from bert_tf.tasks.model_kinds import Encoder, Pretraining
from bert_tf.tasks.reranking import Reranking
from bert_tf.tasks.retrieval import Retrieval
from bert_tf.tokenization.reachability import vocabulary_warnings
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils.arguments import renamed


def read_trained(path: str, task: str | None, dtype: str) -> tuple[Any, ModelDescription, WordPieceTokenizer]:
    """Return the model of a run's folder or of published weights; arguments and results as in `loading.read_model`."""
    if runs.is_folder(path):
        with renamed(run_dir="path"):
            chosen = chosen_task(run_folder.read_run(path)[0].of_model(), task, path)  # before the weights are read
            model, run, tokenizer = run_folder.load_run(path, dtype)
            description = run.of_model()
            if chosen is not None:
                return *served_member(model, description, chosen), tokenizer
            return *served(model, description), tokenizer
    return _read_published(path, task, dtype)


def of_model(model: Any) -> tuple[Any, ModelDescription, WordPieceTokenizer]:
    """Return a model that has a preprocessor as it is served, with its description and its tokenizer.

    Args:
        model: a model of `bert_tf.models`.

    Raises:
        ValueError: it has no preprocessor.
    """
    preprocessor = getattr(model, "preprocessor", None)
    if preprocessor is None:
        raise ValueError(
            "the model needs its tokenizer: make it by `from_pretrained`, or call `model.set_tokenizer(tokenizer)`. "
            f"Received: a {type(model).__name__} without"
        )
    return *served(model, preprocessor.description), preprocessor.tokenizer


def served(model: Any, description: ModelDescription) -> tuple[Any, ModelDescription]:
    """Return a trained model as it is served, with its description: a retrieval model is an encoder of single texts."""
    if description.task != Retrieval.kind:
        return model, description
    embedding = embedding_settings(model.pooling, model.normalize)
    return model.encoder, description.replace(
        task=Encoder.kind, task_config=None, embedding=embedding, has_pooler=False
    )


def _read_published(path: str, wanted: str | None, dtype: str) -> tuple[Any, ModelDescription, WordPieceTokenizer]:
    if wanted == Retrieval.kind:
        wanted = Encoder.kind  # queries and passages are embedded by one encoder
    if path.startswith("hf://"):
        path = hub.fetch(path.removeprefix("hf://"))
    sentences = sentence_transformers.read_settings(path) if sentence_transformers.is_folder(path) else None
    if sentences is not None:
        check_same_task(wanted, Encoder.kind, path)
        pretrained = read_pretrained(sentences.encoder_dir, Encoder.kind)
    else:
        pretrained = read_pretrained(path, wanted)
    task = pretrained.task
    if task == Pretraining.kind and "masked_lm" not in pretrained.heads:
        task = Encoder.kind  # no method uses a next-sentence head
    if wanted == Encoder.kind:
        task = wanted
    check_same_task(wanted, task, pretrained.source)
    description = describe(pretrained, task, sentences)
    model = model_of(pretrained, task, dtype=dtype)
    # Filling masks needs neither a pooler nor a next-sentence head, and mean vectors need no pooler.
    pretrained.assign_to(model, task, allow_random_heads=task not in TASKS)
    warn_of_surprises(pretrained, random=False)
    tokenizer = pretrained.tokenizer()
    for contradiction in vocabulary_warnings(tokenizer):
        logging.warning("%s: %s", pretrained.source, contradiction)
    if task in TASKS:
        for warning in TASKS[task](description.task_config).label_warnings(description.labels):
            logging.warning("%s: %s", pretrained.source, warning)
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
        if task == Reranking.kind:
            config = config.replace(activation=pretrained.activation)
        length = config.max_seq_length
        pretrained.config.check_fits(tokenizer.vocab_size, length, num_segments=config.num_segments)
    return ModelDescription(
        task=task,
        model=pretrained.config,
        do_lower_case=tokenizer.do_lower_case,
        tokenizer_options=tokenizer.options,
        vocab_hash=tokenizer.vocab_hash,
        max_seq_length=length,
        labels=tuple(pretrained.labels) if MODEL_KINDS[task].has_classes else (),
        task_config=config,
        embedding=embedding,
        has_pooler="encoder/pooler/dense/kernel" in pretrained.weights,
        data={"source": pretrained.source},
    )
