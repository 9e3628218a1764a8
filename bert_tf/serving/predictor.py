"""The Python inference API: `load` and `Predictor`."""

import functools
from collections.abc import Callable
from typing import Any

from bert_tf.runs.descriptions import ModelDescription
from bert_tf.serving.loading import read_model
from bert_tf.serving.members import members_of, served_member
from bert_tf.serving.methods.base import BATCH_SIZE
from bert_tf.serving.methods.completion import CompletionMethods
from bert_tf.serving.methods.embedding import EmbeddingMethods
from bert_tf.serving.methods.explanation import ExplanationMethods
from bert_tf.serving.methods.generation import GenerationMethods
from bert_tf.serving.methods.likelihood import LikelihoodMethods
from bert_tf.serving.methods.masked_lm import MaskedLMMethods
from bert_tf.serving.methods.multiple_choice import MultipleChoiceMethods
from bert_tf.serving.methods.question_answering import QuestionAnsweringMethods
from bert_tf.serving.methods.reranking import RerankingMethods
from bert_tf.serving.methods.tagging import TaggingMethods
from bert_tf.serving.methods.text import TextMethods
from bert_tf.tasks import MODEL_KINDS, TASKS
from bert_tf.tokenization.wordpiece import WordPieceTokenizer


class Predictor(
    GenerationMethods,
    TextMethods,
    TaggingMethods,
    QuestionAnsweringMethods,
    MultipleChoiceMethods,
    RerankingMethods,
    EmbeddingMethods,
    MaskedLMMethods,
    LikelihoodMethods,
    ExplanationMethods,
    CompletionMethods,
):
    """A trained model with its tokenizer and labels, and the methods of its task.

    Each method takes any number of texts, computes them in batches of similar length, and returns the answers in the
    caller's order.

    Args:
        model: a `BertEncoder`, a `BertPretrainer` or a fine-tuned model; or a `SavedModel` or an `ArrayModel` of one.
        description: the description of the run that trained it.
        tokenizer: the tokenizer of its vocabulary.
        batch_size: number of rows computed at a time.
        source: the model's path or name, for messages.

    Raises:
        ValueError: `batch_size` is below 1.
    """

    def predictor_with(self, method: str) -> "Predictor":
        """Return the predictor of one task that has a method: this one.

        Args:
            method: the name of the method.
        """
        return self


class MultiTaskPredictor(Predictor):
    """A trained model for several tasks, which answers by the methods of all of them.

    A method is that of the only task that has it: `tag` is that of the tagger. If several have it, name the task:
    `predictors["sst2"].classify(texts)`, or `load(path, task="sst2")`. `embed` and `search` use the shared encoder.

    Args:
        model: a `BertMultiTask`, or a SavedModel of one.
        description: the description of the run that trained it.
        tokenizer: the tokenizer of its vocabulary.
        batch_size: number of rows computed at a time.
        source: the model's path or name, for messages.

    Attributes:
        predictors: the predictor of each task by its name.

    Raises:
        ValueError: `batch_size` is below 1.
    """

    def __init__(
        self,
        model: Any,
        description: ModelDescription,
        tokenizer: WordPieceTokenizer,
        *,
        batch_size: int = BATCH_SIZE,
        source: str = "the model",
    ) -> None:
        super().__init__(model, description, tokenizer, batch_size=batch_size, source=source)
        self.predictors = {
            member.name: Predictor(
                *served_member(model, description, member),
                tokenizer,
                batch_size=batch_size,
                source=f"{member.name} of {source}",
            )
            for member in members_of(description)
        }

    def predictor_with(self, method: str) -> Predictor:
        """Return the predictor of the only task that has a method.

        Raises:
            ValueError: none of the tasks has it, or several have.
        """
        of_any = method not in _TASK_METHODS
        kinds = {name: MODEL_KINDS[predictor.description.task] for name, predictor in self.predictors.items()}
        able = [name for name, kind in kinds.items() if of_any or method in kind.methods]
        if len(able) == 1:
            return self.predictors[able[0]]
        tasks = ", ".join(f"{name} ({kind.kind})" for name, kind in kinds.items())
        if able:
            raise ValueError(
                f"`{method}` needs the name of a task, as in `load(path, task={able[0]!r})` or "
                f"`predictors[{able[0]!r}]`, because {' and '.join(able)} have it. "
                f"Received: {self.source}, with {tasks}"
            )
        raise ValueError(f"`{method}` needs a model with a task that has it. Received: {self.source}, with {tasks}")

    def _require(self, method: str) -> None:
        self.predictor_with(method)


_TASK_METHODS = {method for kind in TASKS.values() for method in kind.methods}


def _of_only_task(name: str) -> Callable[..., Any]:
    """Return the method of `MultiTaskPredictor` that asks the only task that has it."""
    original = getattr(Predictor, name)

    @functools.wraps(original)
    def method(self: MultiTaskPredictor, *args: Any, **kwargs: Any) -> Any:
        return original(self.predictor_with(name), *args, **kwargs)

    return method


for _name in sorted(_TASK_METHODS | {"predict", "explain"}):
    setattr(MultiTaskPredictor, _name, _of_only_task(_name))


def load(path: str, task: str | None = None, *, batch_size: int = BATCH_SIZE, dtype: str = "float32") -> Predictor:
    """Return the predictor of a run's folder, of an export, or of published weights.

    >>> load("runs/classifier").classify(["a text"])  # doctest: +SKIP
    [{'label': 'positive', 'probabilities': {'negative': 0.1, 'positive': 0.9}}]

    The task decides which methods it has: `classify`, `score`, `tag`, `answer`, `choose`, `rerank`, `generate`,
    `stream`, `fill_mask`, `complete`, `log_likelihood`, `perplexity`, `embed` and `search` (`tasks.ModelKind.methods`).
    A fine-tuned model embeds and searches by its encoder, unless it is an export. `explain` and `attention` show why a
    model answered so.

    Args:
        path: a run's folder (the weights of the best evaluation if they were kept, else of the newest complete
            checkpoint); a SavedModel of `export_saved_model` or the folder of its versions; a `.tflite` or `.onnx` file
            in it; or published weights: a folder or a name of Hugging Face, a folder of Sentence Transformers, a
            checkpoint of Google, or a preset of KerasHub.
        task: the task of the model, a key of `tasks.MODEL_KINDS` such as `tagging`. It is needed for published weights
            that do not say what their head is for. `encoder` leaves their head out. For a model for several tasks it is
            the name of one, whose predictor is returned. None for what is found at `path`: for several tasks a
            `MultiTaskPredictor`.
        batch_size: number of rows computed at a time; of `generate`, the number of sources.
        dtype: the Keras dtype policy of a run or of published weights: `float32`, `mixed_bfloat16` or `mixed_float16`,
            for devices that compute in these. An export computes as it was made.

    Raises:
        FileNotFoundError: nothing has this name, or there is no complete checkpoint.
        ValueError: files are damaged, weights are missing, the model is not a BERT, it is for another task than `task`,
            `task` is None and published weights do not say what their head is for, or `dtype` is not one of these.
        ImportError: what the path needs is not installed: `ai-edge-litert` for a `.tflite` file, `onnxruntime` for a
            `.onnx` file, TensorFlow for all else, and TensorFlow Text for an export.
    """
    model, description, tokenizer = read_model(path, task, dtype)
    kind = MultiTaskPredictor if members_of(description) else Predictor
    return kind(model, description, tokenizer, batch_size=batch_size, source=str(path))
