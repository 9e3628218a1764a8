"""The Python inference API: `load` and `Predictor`."""

from bert_tf.serving.loading import read_model
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


def load(path: str, task: str | None = None, *, batch_size: int = BATCH_SIZE) -> Predictor:
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
            that do not say what their head is for. `encoder` leaves their head out. None for the task found at `path`.
        batch_size: number of rows computed at a time.

    Raises:
        FileNotFoundError: nothing has this name, or there is no complete checkpoint.
        ValueError: files are damaged, weights are missing, the model is not a BERT, it is for another task than `task`,
            or `task` is None and published weights do not say what their head is for.
        ImportError: what the path needs is not installed: `ai-edge-litert` for a `.tflite` file, `onnxruntime` for a
            `.onnx` file, TensorFlow for all else, and TensorFlow Text for an export.
    """
    return Predictor(*read_model(path, task), batch_size=batch_size, source=str(path))
