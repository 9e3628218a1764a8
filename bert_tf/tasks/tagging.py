"""Tagging: a tag for each word, learnt and predicted at the word's first token (Devlin et al. 2018, section 5.3)."""

import collections
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bert_tf.configs import BertConfig
from bert_tf.configs.tag_schemes import TAG_SCHEMES
from bert_tf.configs.tasks import TaggingConfig
from bert_tf.examples import TaggedExample
from bert_tf.scoring.tag_schemes import TagScheme, scheme_of, unreadable_tags
from bert_tf.scoring.tagging import tagging_scores
from bert_tf.tasks import natural_inputs, natural_targets
from bert_tf.tasks.base import Task
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.tasks.labels import class_weights, ordered_labels
from bert_tf.tasks.model_kinds import Architectures
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

if TYPE_CHECKING:
    import keras

    from bert_tf.models.token_classifier import BertTokenClassifier
    from bert_tf.objectives.distillation import Imitation
    from bert_tf.objectives.objective import Objective

OUTSIDE = "O"


class Tagging(Task[TaggedExample]):
    """The task of tagging: a tag for each word.

    A sentence that is longer than a row is cut between two words, so that every word gets a tag. A word without tokens
    (of control characters only) is in no row, and counts as outside every span.
    """

    kind = "tagging"
    heads = ("token_classification",)
    has_classes = True
    methods = ("tag",)
    output = "logits"
    token_outputs = ("logits",)
    pipeline_tag = "token-classification"
    architectures: ClassVar[Architectures] = {"BertForTokenClassification": heads}
    config_class = TaggingConfig
    example_class = TaggedExample
    target = "tag_ids"
    target_weights = "tag_weights"
    config: TaggingConfig

    @classmethod
    def model_class(cls) -> "type[BertTokenClassifier]":
        """Return `BertTokenClassifier`."""
        from bert_tf.models.token_classifier import BertTokenClassifier

        return BertTokenClassifier

    def label_names(self, examples: Sequence[TaggedExample]) -> tuple[str, ...]:
        """Return the listed tags, or those that occur.

        Raises:
            ValueError: fewer than two tags occur, or they do not fit the configured scheme.
        """
        labels = ordered_labels(self.config.labels, self.occurring_labels(examples), examples, kind="tags")
        self.scheme(labels)
        return labels

    def occurring_labels(self, examples: Sequence[TaggedExample]) -> set[str]:
        """Return the tags of the examples."""
        return {tag for example in examples for tag in example.tags or ()}

    def scheme(self, labels: Sequence[str]) -> TagScheme:
        """Return the scheme of the labels, by which scores, answers and exports find spans.

        Raises:
            ValueError: the labels do not fit the configured scheme.
        """
        return scheme_of(labels, self.config.scheme)

    def describe_labels(self, labels: Sequence[str], examples: Sequence[TaggedExample]) -> str:
        """Return the scheme that the examples follow, and the types of their spans."""
        scheme = self.scheme(labels)
        if not scheme.marks_spans:
            return f"tags: {len(labels)}, which mark no spans (scheme none)"
        name = scheme.name if scheme.name not in ("iob", "ioe") else scheme.form(_readable(examples, scheme)[1])
        return f"tags: scheme {name}, with spans of {', '.join(filter(None, scheme.types)) or 'one type'}"

    def label_warnings(self, labels: Sequence[str], examples: Sequence[TaggedExample] = ()) -> list[str]:
        """Warn of tags that seem to mark spans but fit no scheme, and of spans that the scheme does not allow."""
        if self.config.scheme == "auto" and (odd := unreadable_tags(labels)):
            return [
                f"most tags look as if they marked spans, but {_listed(odd)} fit no scheme, so that single tags are "
                "scored and answers have no spans. Rename these tags (O is outside of spans), or set `task.scheme` to "
                f"none if they mark no spans. The schemes are {', '.join(TAG_SCHEMES)}"
            ]
        scheme = self.scheme(labels)
        if not scheme.marks_spans:
            return []
        sources, sentences = _readable(examples, scheme)
        form, count, invalid = scheme.form(sentences), 0, []
        for source, tags in zip(sources, sentences, strict=True):
            spans = scheme.spans(tags)
            count += len(spans)
            invalid += [source] * len(set(spans) - set(scheme.strict_spans(tags, form)))
        if not invalid:
            return []
        return [
            f"{len(invalid)} of {count} spans are not as {form} allows, the first in {invalid[0]}: strict scores leave "
            "them out"
        ]

    def examples_of(
        self, x: Any, y: Any = None, *, labels: Sequence[str], tokenizer: WordPieceTokenizer
    ) -> list[TaggedExample]:
        """Return the examples of lists of words, and of their tags."""
        return natural_targets.with_tags(natural_inputs.tagged_examples(x, tokenizer.word_offsets), y, labels)

    def encode(
        self,
        examples: Sequence[TaggedExample],
        labels: Sequence[str],
        tokenizer: WordPieceTokenizer,
        *,
        training: bool = False,
    ) -> EncodedExamples:
        """Encode the examples for `features.tagging_batch`. A source is (example, [(word, first token's position)]).

        In training, a word has the weight of its tag.
        """
        ids = {label: number for number, label in enumerate(labels)}
        weight_of = self._tag_weights(examples, labels) if training else dict.fromkeys(labels, 1.0)
        room = self.config.max_seq_length - 2
        rows: list[list[int]] = []
        sources: list[tuple[int, list[tuple[int, int]]]] = []
        tag_ids: list[list[int]] = []
        tag_weights: list[list[float]] = []

        def close(number: int, tokens: list[int], words: list[tuple[int, int]]) -> None:
            length = len(tokens) + 2
            row_ids, row_weights = [0] * length, [0.0] * length
            tags = examples[number].tags
            if tags is not None:
                for word, position in words:
                    row_ids[position], row_weights[position] = ids[tags[word]], weight_of[tags[word]]
            rows.append([tokenizer.cls_id, *tokens, tokenizer.sep_id])
            sources.append((number, words))
            tag_ids.append(row_ids)
            tag_weights.append(row_weights)

        for number, example in enumerate(examples):
            unknown = next((tag for tag in example.tags or () if tag not in ids), None)
            if unknown is not None:
                raise ValueError(
                    f"{example.source}: must have tags among the labels ({', '.join(labels)}). Received: {unknown!r}"
                )
            tokens: list[int] = []
            words: list[tuple[int, int]] = []
            for word, text in enumerate(example.words):
                word_tokens = tokenizer.encode(text)[:room]
                if not word_tokens:
                    continue
                if len(tokens) + len(word_tokens) > room:
                    close(number, tokens, words)
                    tokens, words = [], []
                words.append((word, len(tokens) + 1))
                tokens += word_tokens
            close(number, tokens, words)
        return EncodedExamples.from_lists(
            rows,
            [[0] * len(row) for row in rows],
            pad_id=tokenizer.pad_id,
            max_seq_length=self.config.max_seq_length,
            bucket_lengths=self.config.bucket_lengths,
            token_features={"tag_ids": (tag_ids, "int32"), "tag_weights": (tag_weights, "float32")},
            sources=sources,
        )

    def _tag_weights(self, examples: Sequence[TaggedExample], labels: Sequence[str]) -> dict[str, float]:
        """Return the weight of each tag in training."""
        counts = collections.Counter(tag for example in examples for tag in example.tags or ())
        weights = class_weights(self.config, labels, np.array([counts[label] for label in labels]))
        return dict(zip(labels, weights.tolist(), strict=True))

    def make_model(self, encoder: BertConfig, labels: Sequence[str], dtype: str = "float32") -> "keras.Model":
        """Return a `BertTokenClassifier`."""
        return self.model_class()(encoder, len(labels), dropout_rate=self.config.dropout_rate, dtype=dtype)

    def objective(self, training: bool) -> "Objective":
        """Return the cross-entropy of the words' first tokens, focal in training only."""
        from bert_tf.objectives.objective import tagging_objective

        return tagging_objective(self.config.focal_gamma if training else 0.0)

    def imitation(self) -> "Imitation":
        """Return the divergence of the tags of the words' first tokens."""
        from bert_tf.objectives.distillation import class_imitation

        return class_imitation

    def answers(
        self, examples: Sequence[TaggedExample], rows: EncodedExamples, outputs: Sequence[Any], *, labels: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Return `words`, `tags` and, with a scheme, `spans` (`label`, `text`, `start`, `end`) of each text."""
        outside = OUTSIDE if OUTSIDE in labels else labels[0]
        tags = [[outside] * len(example.word_offsets) for example in examples]
        for (number, words), logits in zip(rows.sources, outputs, strict=True):
            best = np.argmax(logits, axis=-1)
            for word, position in words:
                tags[number][word] = labels[int(best[position])]
        scheme = self.scheme(labels)
        answers = []
        for example, found in zip(examples, tags, strict=True):
            answer: dict[str, Any] = {"words": example.words, "tags": found}
            if scheme.marks_spans:
                answer["spans"] = [_span(example, *span) for span in scheme.spans(found)]
            answers.append(answer)
        return answers

    def scores(
        self, examples: Sequence[TaggedExample], answers: Sequence[dict[str, Any]], labels: Sequence[str]
    ) -> dict[str, Any]:
        """Return `scoring.tagging.tagging_scores`."""
        truth = [example.tags or () for example in examples]
        return tagging_scores(truth, [answer["tags"] for answer in answers], self.scheme(labels))

    def main_score(self, labels: Sequence[str]) -> str:
        """Return `f1` for spans, or `accuracy` for tags that form no spans."""
        return "f1" if self.scheme(labels).marks_spans else "accuracy"


def _readable(examples: Sequence[TaggedExample], scheme: TagScheme) -> tuple[list[str], list[Sequence[str]]]:
    """Return sources and tags of the examples that have no unknown tag, which `Tagging.encode` refuses."""
    known = [(each.source, each.tags) for each in examples if each.tags and scheme.meanings.keys() >= set(each.tags)]
    return [source for source, _ in known], [tags for _, tags in known]


def _listed(tags: Sequence[str]) -> str:
    return ", ".join(tags[:5]) + (f" and {len(tags) - 5} more" if len(tags) > 5 else "")


def _span(example: TaggedExample, label: str, first: int, behind_last: int) -> dict[str, Any]:
    start, end = example.word_offsets[first][0], example.word_offsets[behind_last - 1][1]
    return {"label": label, "text": example.text[start:end], "start": start, "end": end}
