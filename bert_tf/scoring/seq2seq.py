"""Metrics of generated texts against their references: ROUGE, BLEU, chrF, exact match and distinct n-grams.

ROUGE is computed by the package rouge-score, BLEU and chrF by sacrebleu (`pip install 'bert_tf[generation]'`). Each has
the scale of its package: ROUGE from 0 to 1, BLEU and chrF from 0 to 100.
"""

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

from absl import logging

from bert_tf.configs.generation_metrics import GENERATION_METRICS
from bert_tf.tokenization.basic import BasicTokenizer
from bert_tf.utils.ideographs import is_ideograph

_OF_PACKAGES = ("rouge", "bleu", "chrf")
_PACKAGES = ("rouge_score", "sacrebleu")


def check_packages(metrics: Sequence[str]) -> None:
    """Check that the packages that compute the metrics are installed, without importing them.

    Raises:
        ValueError: one is not.
    """
    missing = [package for package in _PACKAGES if importlib.util.find_spec(package) is None]
    for metric in metrics:
        if missing and metric.startswith(_OF_PACKAGES):
            raise ValueError(
                f"`metrics` must be metrics whose packages are installed; {metric} needs "
                f"{' and '.join(missing)} (pip install 'bert_tf[generation]'). Received: {', '.join(metrics)}"
            )


def generation_scores(
    references: Sequence[Sequence[str]],
    generated: Sequence[str],
    metrics: Sequence[str] = GENERATION_METRICS,
    *,
    tokenizer: str = "13a",
    lower_case: bool = False,
) -> dict[str, float]:
    """Return metrics of generated texts.

    - `rouge1`, `rouge2`, `rougeL` (Lin 2004): the mean F-measure of words, pairs of words and the longest common
      subsequence, of the reference with the best one. With the tokenizer `13a`, words are those of rouge-score, in
      lower case and stemmed, as in published summaries.
    - `bleu` (Papineni et al. 2002) and `chrf` (Popović 2015) of all texts together, in any number of references.
    - `exact_match`: the share of texts that are equal to a reference, except for white space.
    - `distinct_1`, `distinct_2` (Li et al. 2016): the number of different words, or pairs of words, in all texts,
      divided by the number of words. Low values show texts that repeat each other. They read no references.

    Args:
        references: the references of each text, at least one; they need not be equally many.
        generated: the texts.
        metrics: the names of the metrics.
        tokenizer: what BLEU and ROUGE count as words, one of `METRIC_TOKENIZERS`. The words of Chinese are its
            characters (`zh`).
        lower_case: whether BLEU, chrF and the exact match ignore case.

    Raises:
        ValueError: the numbers of texts and of references differ, a text has no reference, there is no text, a metric
            is unknown, or its package is not installed.
    """
    if not generated or len(generated) != len(references) or not all(references):
        numbers = f"{len(references)} and {len(generated)}"
        raise ValueError(
            "`references` must hold at least one reference for each of `generated`, of which there must be one. "
            f"Received: {numbers} items, {sum(not texts for texts in references)} without a reference"
        )
    unknown = [metric for metric in metrics if metric not in GENERATION_METRICS]
    if unknown:
        raise ValueError(f"`metrics` must be among {', '.join(GENERATION_METRICS)}. Received: {unknown[0]!r}")
    check_packages(metrics)
    _warn_of_chinese(references, metrics, tokenizer)
    scores = _rouge(references, generated, [name for name in metrics if name.startswith("rouge")], tokenizer)
    for name in metrics:
        if name in ("bleu", "chrf"):
            scores[name] = _of_corpus(name, references, generated, tokenizer, lower_case)
        elif name == "exact_match":
            scores[name] = _exact_match(references, generated, lower_case)
        elif name.startswith("distinct"):
            scores[name] = _distinct(generated, int(name[-1]))
    return {name: scores[name] for name in metrics}


def _warn_of_chinese(references: Sequence[Sequence[str]], metrics: Sequence[str], tokenizer: str) -> None:
    by_words = [name for name in metrics if name.startswith(("rouge", "bleu"))]
    text = "".join(texts[0] for texts in references)
    if by_words and tokenizer not in ("zh", "char") and 2 * sum(map(is_ideograph, text)) > len(text):
        logging.warning(
            "Most characters of the references are ideographs, whose words %s do not find by the tokenizer %s: "
            "task.metric_tokenizer=zh does",
            ", ".join(by_words),
            tokenizer,
        )


def _rouge(
    references: Sequence[Sequence[str]], generated: Sequence[str], metrics: Sequence[str], tokenizer: str
) -> dict[str, float]:
    if not metrics:
        return {}
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import DefaultTokenizer

    words = DefaultTokenizer(use_stemmer=True) if tokenizer == "13a" else _Words(tokenizer)
    scorer = RougeScorer(list(metrics), tokenizer=words)
    found = [scorer.score_multi(texts, text) for texts, text in zip(references, generated, strict=True)]
    return {name: sum(float(one[name].fmeasure) for one in found) / len(found) for name in metrics}


class _Words:
    """The words that a tokenizer of sacrebleu finds, in lower case and without punctuation, as ROUGE wants them."""

    def __init__(self, tokenizer: str) -> None:
        from sacrebleu.metrics import BLEU

        self._split: Callable[[str], str] = BLEU(tokenize=tokenizer).tokenizer

    def tokenize(self, text: str) -> list[str]:
        """Return the words of a text."""
        return [word for word in self._split(text.lower()).split() if any(map(str.isalnum, word))]


def _of_corpus(
    name: str, references: Sequence[Sequence[str]], generated: Sequence[str], tokenizer: str, lower_case: bool
) -> float:
    from sacrebleu.metrics import BLEU, CHRF

    # A text is as its author wrote it: sacrebleu warns of final full stops after a space, unless it is forced.
    metric = (
        BLEU(tokenize=tokenizer, lowercase=lower_case, force=True) if name == "bleu" else CHRF(lowercase=lower_case)
    )
    most = max(map(len, references))
    streams: list[list[Any]] = [[texts[i] if i < len(texts) else None for texts in references] for i in range(most)]
    return float(metric.corpus_score(list(generated), streams).score)


def _exact_match(references: Sequence[Sequence[str]], generated: Sequence[str], lower_case: bool) -> float:
    def plain(text: str) -> str:
        return " ".join((text.lower() if lower_case else text).split())

    pairs = zip(references, generated, strict=True)
    return sum(plain(text) in map(plain, texts) for texts, text in pairs) / len(generated)


def _distinct(generated: Sequence[str], size: int) -> float:
    """Return the number of different n-grams of all texts, divided by the number of words."""
    split = BasicTokenizer(do_lower_case=False).words
    words = [split(text) for text in generated]
    grams = {tuple(text[start : start + size]) for text in words for start in range(len(text) - size + 1)}
    return len(grams) / max(1, sum(map(len, words)))
