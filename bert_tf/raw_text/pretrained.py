"""Models from published weights or runs with their tokenizer inside, ready for texts."""

from collections.abc import Sequence
from typing import Any

from bert_tf.conversion.convert import save_pretrained
from bert_tf.conversion.heads import check_task
from bert_tf.conversion.loading import read_pretrained, warn_of_surprises
from bert_tf.conversion.pretrained import Pretrained
from bert_tf.models.base import BertModel
from bert_tf.raw_text.preprocessor import TaskPreprocessor
from bert_tf.tasks import MODEL_KINDS, TASKS
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

__all__ = ["from_pretrained", "save_pretrained", "set_tokenizer"]


def kind_of(model_class: type) -> str:
    """Return the kind of a model's class, a key of `tasks.MODEL_KINDS`.

    Raises:
        ValueError: it is a class without a kind of its own.
    """
    for kind in MODEL_KINDS.values():
        if kind.model_class() is model_class:
            return kind.kind
    raise ValueError(f"`{model_class.__name__}` must be one of the models of `bert_tf`, for one task each")


def from_pretrained(
    model_class: type,
    path: Any,
    *,
    classes: Sequence[str] | None = None,
    max_length: int | None = None,
    dtype: Any = "float32",
    **settings: Any,
) -> BertModel:
    """Return a model with the weights and the tokenizer of `path`. Arguments as in `BertModel.from_pretrained`."""
    kind = kind_of(model_class)
    check_task(kind)
    has_classes = MODEL_KINDS[kind].has_classes
    if classes is not None and not has_classes:
        raise ValueError(f"`classes` must be left out for {model_class.__name__}. Received: {classes!r:.100}")
    labels = None if classes is None else _names(classes)
    pretrained = read_pretrained(path, kind)
    tokenizer = pretrained.tokenizer()
    labels = _labels(pretrained, kind, labels) if has_classes else ()
    if "pooling" not in settings and MODEL_KINDS[kind].has_pooling:
        settings["pooling"] = pretrained.pooling
    if kind == "retrieval" and pretrained.sentences is not None:
        settings = {"pooling": pretrained.sentences.pooling, "normalize": pretrained.sentences.normalize} | settings
    if kind == "reranking":
        settings = {"activation": pretrained.activation} | settings
    if kind not in TASKS and settings:
        raise ValueError(f"`{next(iter(settings))}` is no setting of {model_class.__name__}")
    limit = pretrained.max_seq_length
    preprocessor = TaskPreprocessor.of_task(
        kind,
        pretrained.config,
        tokenizer,
        labels=labels,
        settings=settings,
        max_length=min(limit, 128) if max_length is None and limit is not None and kind in TASKS else max_length,
    )
    if preprocessor.task is not None:
        model: Any = preprocessor.task.make_model(pretrained.config, labels, dtype)
    else:
        model = model_class(pretrained.config, dtype=dtype)
    pretrained.assign_to(model, kind, allow_random_heads=kind in TASKS)
    warn_of_surprises(pretrained)
    model.preprocessor = preprocessor
    return model


def set_tokenizer(
    model: Any, tokenizer: WordPieceTokenizer, *, classes: Sequence[str] | None, max_length: int | None, **settings: Any
) -> None:
    """Give a model its tokenizer. Arguments are those of `BertModel.set_tokenizer`."""
    if not isinstance(tokenizer, WordPieceTokenizer):
        raise ValueError(f"`tokenizer` must be a WordPieceTokenizer. Received: {tokenizer!r:.100}")
    kind = kind_of(type(model))
    labels: tuple[str, ...] = ()
    if MODEL_KINDS[kind].has_classes:
        labels = tuple(map(str, range(model.num_classes))) if classes is None else _names(classes)
        if len(labels) != model.num_classes:
            raise ValueError(f"`classes` must be the model's {model.num_classes} classes. Received: {list(labels)}")
    elif classes is not None:
        raise ValueError(f"`classes` must be left out for {type(model).__name__}. Received: {classes!r:.100}")
    for name in ("pooling", "normalize", "dropout_rate"):
        if kind in TASKS and hasattr(model, name) and hasattr(TASKS[kind].config_class, name):
            settings.setdefault(name, getattr(model, name))
    if kind == "retrieval":
        settings.setdefault("num_negatives", model.texts_per_row - 2)
    model.preprocessor = TaskPreprocessor.of_task(
        kind, model.config, tokenizer, labels=labels, settings=settings, max_length=max_length
    )


def _names(classes: Sequence[str]) -> tuple[str, ...]:
    if isinstance(classes, str | bytes) or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"`classes` must be a list of names. Received: {classes!r:.100}")
    return tuple(classes)


def _labels(pretrained: Pretrained, kind: str, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the classes of the model. A head of other classes is left out, so that a new one is trained."""
    head = MODEL_KINDS[kind].heads[-1]
    bias = pretrained.weights.get(f"{head}/dense/bias")
    if wanted is None:
        if bias is None:
            raise ValueError(
                f"`classes` must be given, because {pretrained.source} has no head for {kind}. Received: None"
            )
        return tuple(pretrained.labels) or tuple(map(str, range(len(bias))))
    if bias is not None and tuple(pretrained.labels) != wanted and (len(bias) != len(wanted) or pretrained.labels):
        for name in [name for name in pretrained.weights if name.startswith(f"{head}/")]:
            del pretrained.weights[name]
            for tensor in pretrained.report.loaded.pop(name, ()):
                pretrained.report.ignored[tensor] = "a head of other classes"
    return wanted
