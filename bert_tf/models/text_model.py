"""The methods on texts that all models share: `from_pretrained`, `fit`, `evaluate`, `predict`, and those of the task.

The work is done in `bert_tf.raw_text`, which knows tokenizers and tasks. People look for these methods on the model, so
they are declared here and import what they need when they are called; no other module calls a higher room.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import keras
import numpy as np

from bert_tf.features import Tensor

if TYPE_CHECKING:
    from bert_tf.serving.index import PassageIndex


class TextModel(keras.Model):
    """A Keras model that also takes texts, once it has a preprocessor.

    Attributes:
        preprocessor: the `raw_text.preprocessor.TaskPreprocessor` of the model; None for a model that takes arrays
            alone.
    """

    preprocessor: Any = None

    @classmethod
    def from_pretrained(
        cls,
        path: Any,
        *,
        classes: Sequence[str] | None = None,
        max_length: int | None = None,
        dtype: Any = "float32",
        **settings: Any,
    ) -> Self:
        """Return a model with published weights, or those of a run, and their tokenizer.

        >>> model = BertClassifier.from_pretrained("bert-base-uncased", classes=["neg", "pos"])  # doctest: +SKIP

        Args:
            path: a folder, checkpoint, preset or name, as in `bert_tf.load_pretrained`.
            classes: the names of the classes, for a model that has classes; None for those of the head in `path`. A
                head of other classes is replaced by a new one, from random numbers.
            max_length: the largest number of tokens in a row; None for 128, or 384 for questions, at most those of the
                model.
            dtype: Keras dtype policy, such as `mixed_bfloat16`; the variables stay float32.
            **settings: other settings of the task's configuration (`bert_tf.configs.tasks`) than its defaults.

        Raises:
            FileNotFoundError: nothing has this name.
            ValueError: files are damaged, weights are missing, the model is not a BERT, `classes` are needed and not
                given, or a setting is unknown.
        """
        from bert_tf.raw_text.pretrained import from_pretrained

        return from_pretrained(cls, path, classes=classes, max_length=max_length, dtype=dtype, **settings)

    def set_tokenizer(
        self, tokenizer: Any, *, classes: Sequence[str] | None = None, max_length: int | None = None, **settings: Any
    ) -> None:
        """Give the model a tokenizer, so that it takes texts. `from_pretrained` does it by itself.

        Args:
            tokenizer: the `WordPieceTokenizer` of the model's vocabulary.
            classes: the names of the classes, for a model that has classes; None for their numbers.
            max_length: as in `from_pretrained`.
            **settings: as in `from_pretrained`.

        Raises:
            ValueError: the vocabulary, the classes or the rows do not fit the model, or a setting is unknown.
        """
        from bert_tf.raw_text.pretrained import set_tokenizer

        set_tokenizer(self, tokenizer, classes=classes, max_length=max_length, **settings)

    def compile(self, optimizer: Any = "adamw", loss: Any = None, **kwargs: Any) -> None:
        """Set the optimizer, the loss and the metrics, as `keras.Model.compile` does.

        Args:
            optimizer: as in Keras; by default AdamW with a learning rate of 5e-5 and a weight decay of 0.01.
            loss: as in Keras. None for the task's own loss, of fitting on texts, or on batches with their labels.
            **kwargs: as in Keras. `jit_compile="auto"` compiles by XLA on JAX alone: texts have many lengths, and each
                would be compiled anew.
        """
        if optimizer == "adamw":
            optimizer = keras.optimizers.AdamW(5e-5, weight_decay=0.01)
            optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        if kwargs.get("jit_compile", "auto") == "auto":
            kwargs["jit_compile"] = keras.backend.backend() != "tensorflow"
        super().compile(optimizer=optimizer, loss=loss, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile the model as it was when Keras saved it."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        """Return the loss of a batch: the compiled one, or without one the task's own (`objectives.losses`)."""
        if self._compile_loss is None and self.preprocessor is not None and isinstance(x, Mapping):
            task = self.preprocessor.task
            if task is not None and task.target_weights in x:
                (total, weight), *others = task.objective(training or task.joins_texts).losses(y_pred, x).values()
                assert not others, "a task has one loss"
                return total / keras.ops.maximum(weight, 1e-6)
        return super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)

    def fit(self, x: Any = None, y: Any = None, batch_size: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """Train the model, as `keras.Model.fit` does, on arrays or on texts.

        Args:
            x: arrays as in Keras; or the task's inputs: texts, a tuple `(texts, pairs)`, lists of words, a tuple
                `(questions, contexts)`, or `(queries, passages)`, in lists, arrays, columns of tables or, for texts, a
                `tf.data.Dataset`.
            y: with texts: classes or labels by name or number, numbers, lists of tags, or answers as SQuAD has them;
                None for retrieval; for reranking, a list of its passages' relevances for each query.
            batch_size: B; None for 32.
            *args: as in Keras.
            **kwargs: as in Keras. `class_weight` may name the classes.

        Returns:
            Keras's history.

        Raises:
            ValueError: the model has no tokenizer, or an item of the data has another form; the message names it.
        """
        from bert_tf.raw_text.fitting import fit_arguments, takes_texts

        given = _by_name(keras.Model.fit, x, y, batch_size, *args, **kwargs)
        return super().fit(**(fit_arguments(self, given) if takes_texts(self, x) else given))

    def evaluate(self, x: Any = None, y: Any = None, batch_size: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """Return the loss and the metrics, as `keras.Model.evaluate` does; arguments and errors as in `fit`."""
        from bert_tf.raw_text.fitting import evaluate_arguments, takes_texts

        given = _by_name(keras.Model.evaluate, x, y, batch_size, *args, **kwargs)
        return super().evaluate(**(evaluate_arguments(self, given) if takes_texts(self, x) else given))

    def predict(self, x: Any, batch_size: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """Return the model's outputs, as `keras.Model.predict` does, for arrays or texts.

        Args:
            x: as in `fit`.
            batch_size: B; None for 32.
            *args: as in Keras.
            **kwargs: as in Keras.

        Returns:
            Arrays, a row for each item of `x` in the caller's order; a sentence or a context that is longer than a row
            has several. The task's method (`classify`, `score`, `tag`, `answer`) returns answers instead.

        Raises:
            ValueError: as in `fit`.
        """
        from bert_tf.raw_text.fitting import predictions, takes_texts

        given = _by_name(keras.Model.predict, x, batch_size, *args, **kwargs)
        return predictions(self, given, super().predict) if takes_texts(self, x) else super().predict(**given)

    def classify(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return the class and the probabilities of each text or pair (`serving.methods.text.TextMethods.classify`)."""
        return self._answer("classify", texts, text_pairs)

    def score(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> list[float]:
        """Return the number that a regressor predicts for each text or pair (`TextMethods.score`)."""
        return self._answer("score", texts, text_pairs)

    def tag(self, texts: Sequence[str | Sequence[str]]) -> list[dict[str, Any]]:
        """Return the tags of each text's words, and the spans (`serving.methods.tagging.TaggingMethods.tag`)."""
        return self._answer("tag", texts)

    def answer(self, questions: Sequence[str], contexts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the answer to each question (`serving.methods.question_answering.QuestionAnsweringMethods.answer`)."""
        return self._answer("answer", questions, contexts)

    def choose(
        self,
        contexts: str | Sequence[str],
        choices: Sequence[str] | Sequence[Sequence[str]],
        questions: str | Sequence[str] | None = None,
    ) -> Any:
        """Return the likeliest choice for a context, or for each of several (`MultipleChoiceMethods.choose`)."""
        return self._answer("choose", contexts, choices, questions)

    def rerank(self, query: str | Sequence[str], passages: Sequence[Any], top_k: int | None = None) -> list[Any]:
        """Return the passages of a query, or of each of several, best first (`serving.methods.reranking`)."""
        return self._answer("rerank", query, passages, top_k)

    def generate(self, texts: Sequence[str], **options: Any) -> list[dict[str, Any]]:
        """Return the text that a model for sequence to sequence generates from each text (`GenerationMethods`)."""
        return self._answer("generate", texts, **options)

    def stream(self, text: str, **options: Any) -> Iterator[str]:
        """Return the parts of the text that is generated from a text, as they come (`GenerationMethods.stream`)."""
        return self._answer("stream", text, **options)

    def embed(self, texts: Sequence[str], **options: Any) -> np.ndarray:
        """Return a vector for each text (`serving.methods.embedding.EmbeddingMethods.embed`)."""
        return self._answer("embed", texts, **options)

    def search(
        self, queries: Sequence[str], passages: Sequence[str], top_k: int = 10, **options: Any
    ) -> list[list[dict[str, Any]]]:
        """Return the passages that are nearest to each query (`EmbeddingMethods.search`)."""
        return self._answer("search", queries, passages, top_k, **options)

    def index(self, passages: Iterable[str | Mapping[str, Any]], **options: Any) -> "PassageIndex":
        """Return an index of passages for any number of searches (`EmbeddingMethods.index`)."""
        return self._answer("index", passages, **options)

    def load_index(self, path: str, **options: Any) -> "PassageIndex":
        """Return an index that this model made and saved (`EmbeddingMethods.load_index`)."""
        return self._answer("load_index", path, **options)

    def fill_mask(self, texts: Sequence[str], top_k: int = 5) -> list[list[list[tuple[str, float]]]]:
        """Return the likeliest tokens at each `[MASK]` (`serving.methods.masked_lm.MaskedLMMethods.fill_mask`)."""
        return self._answer("fill_mask", texts, top_k)

    def log_likelihood(self, texts: Sequence[str], **options: Any) -> list[dict[str, Any]]:
        """Return the pseudo-log-likelihood of each text (`serving.methods.likelihood.LikelihoodMethods`)."""
        return self._answer("log_likelihood", texts, **options)

    def perplexity(self, texts: Sequence[str], **options: Any) -> float:
        """Return the pseudo-perplexity of all texts together (`LikelihoodMethods.perplexity`)."""
        return self._answer("perplexity", texts, **options)

    def complete(self, texts: Sequence[str], **options: Any) -> list[dict[str, Any]]:
        """Return each text with its spans of masks filled (`serving.methods.completion.CompletionMethods`)."""
        return self._answer("complete", texts, **options)

    def explain(
        self, texts: Sequence[str], text_pairs: Sequence[str] | None = None, **options: Any
    ) -> list[dict[str, Any]]:
        """Return the part of each token in the answers (`serving.methods.explanation.ExplanationMethods.explain`)."""
        return self._answer("explain", texts, text_pairs, **options)

    def attention(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return the attention probabilities of all layers and heads (`ExplanationMethods.attention`)."""
        return self._answer("attention", texts, text_pairs)

    def export_for_serving(self, export_dir: str, options: Any = None, **kwargs: Any) -> str:
        """Write a SavedModel that takes raw strings, with the tokenizer inside (`serving.export.export_saved_model`).

        `export` writes the forward pass alone, as Keras does.

        Args:
            export_dir: the folder of the versions.
            options: `serving.options.ExportOptions`; None for the defaults.
            **kwargs: as for `export_saved_model`.

        Returns:
            The folder of the new version.

        Raises:
            ValueError: the model has no tokenizer, or an option does not fit it.
            ImportError: TensorFlow Text is not installed.
        """
        from bert_tf.raw_text.answering import export

        return export(self, export_dir, options, **kwargs)

    def save_pretrained(self, output_dir: str, output_format: str = "huggingface") -> None:
        """Write the weights and the tokenizer for other libraries (`bert_tf.save_pretrained`).

        Args:
            output_dir: a new or an empty folder; appears whole or not at all.
            output_format: `huggingface`, `google` or `keras_hub`.

        Raises:
            ValueError: the format does not support such a model.
            OSError: the folder cannot be written.
        """
        from bert_tf.raw_text.pretrained import save_pretrained

        save_pretrained(self, output_dir, output_format)

    def _answer(self, method: str, /, *args: Any, **options: Any) -> Any:
        from bert_tf.raw_text.answering import predictor_of

        return getattr(predictor_of(self, method), method)(*args, **options)

    def get_config(self) -> dict[str, Any]:
        """Return the preprocessor's configuration, the vocabulary included, if the model has one."""
        return {} if self.preprocessor is None else {"preprocessor": self.preprocessor.get_config()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> Self:
        """Make the model whose `get_config` returned `config`, with its preprocessor."""
        from bert_tf.raw_text.preprocessor import TaskPreprocessor

        arguments = dict(config)
        preprocessor = arguments.pop("preprocessor", None)
        model = super().from_config(arguments, custom_objects=custom_objects)
        if preprocessor is not None:
            model.preprocessor = TaskPreprocessor.from_config(preprocessor)
        return model


def _by_name(method: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return the arguments of a method of Keras by their names, without those that are left out."""
    arguments = inspect.signature(method).bind_partial(None, *args, **kwargs).arguments
    return {name: value for name, value in arguments.items() if name not in ("self", "kwargs")}
