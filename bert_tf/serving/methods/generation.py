"""The method of models for sequence to sequence, which generates texts.

Shapes: B sources, G hypotheses of each, S length of the sources, V vocabulary.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from bert_tf.examples import Seq2SeqExample
from bert_tf.serving.decoding import DecodingOptions, Hypothesis, Search
from bert_tf.serving.methods.base import BasePredictor, items_of, texts_of
from bert_tf.tasks.seq2seq import Seq2Seq
from bert_tf.tokenization.detokenization import detokenized

_UNUSED = re.compile(r"\[unused\d+\]")


class GenerationMethods(BasePredictor):
    """The method of models for sequence to sequence."""

    def generate(
        self,
        texts: Sequence[str],
        *,
        max_length: int | None = None,
        beams: int | None = None,
        length_penalty: float = 0.6,
        no_repeat_ngram: int | None = 3,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        num_return: int = 1,
    ) -> list[dict[str, Any]]:
        """Return the text that the model generates from each text: by beam search, or by sampling.

        The special tokens, `[UNK]` and `[unusedN]` are never generated. A text ends where the model generates `[SEP]`,
        or after `max_length` tokens.

        Args:
            texts: any number of source texts. Those that exceed the model's sources are cut, with a warning.
            max_length: largest number of tokens of a generated text, with `[SEP]`; None for `task.max_target_length`.
            beams: number of hypotheses of beam search, 1 for the likeliest token at each step; None for 4.
            length_penalty: exponent of the normalisation by length (Wu et al. 2016); 0 for none.
            no_repeat_ngram: n-grams of so many tokens occur once at most in a text; None or 0 for no such rule.
            temperature: divisor of the logits. This, `top_k`, `top_p` or `seed` makes the method sample.
            top_k: sampling chooses from so many likeliest tokens.
            top_p: sampling chooses from the likeliest tokens whose probabilities sum to this (Holtzman et al. 2020).
            seed: random seed of sampling, which fixes the result of a call with the same texts.
            num_return: number of texts for each source: the best of the beams, or so many samples.

        Returns:
            For each source, `generated`, its `score` (the log-probability normalised by length, by which beams are
            ranked) and `log_probability` (the sum of the model's own, of each token and `[SEP]`). With `num_return`
            above 1, also `alternatives`: a list of such dictionaries, the best first.

        Raises:
            ValueError: the model is not one of sequence to sequence, an item is not a string or has no token, or an
                option is out of range.
        """
        self._require("generate")
        sampled = any(option is not None for option in (temperature, top_k, top_p, seed))
        if sampled and beams not in (None, 1):
            raise ValueError(f"`beams` must be left out for sampling (`num_return` samples). Received: {beams}")
        task = self.task
        assert isinstance(task, Seq2Seq)
        options = DecodingOptions(
            max_length=task.config.max_target_length if max_length is None else max_length,
            beams=num_return if sampled else 4 if beams is None else beams,
            num_return=num_return,
            length_penalty=length_penalty,
            no_repeat_ngram=no_repeat_ngram or 0,
            sampled=sampled,
            temperature=1.0 if temperature is None else temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
        )
        examples = [
            Seq2SeqExample(text, source=f"`texts[{number}]`") for number, text in enumerate(texts_of("texts", texts))
        ]
        return [_answer(found, self.tokenizer.tokens) for found in self.hypotheses(examples, options)]

    def predict(self, examples: Sequence[Any]) -> list[dict[str, Any]]:
        """Return the answers of a fine-tuned model; a model for sequence to sequence generates (`BasePredictor`)."""
        if not isinstance(self.task, Seq2Seq):
            return super().predict(examples)
        given = items_of("examples", examples)
        for number, example in enumerate(given):
            self._check(number, example)
        return self.generate([example.text for example in given])

    def hypotheses(self, examples: Sequence[Seq2SeqExample], options: DecodingOptions) -> list[list[Hypothesis]]:
        """Return the best hypotheses of each example's text. Errors are those of `generate`.

        Args:
            examples: any number of examples, whose targets are not read.
            options: the options.
        """
        task = self.task
        assert isinstance(task, Seq2Seq)
        positions = self.description.model.max_position_embeddings
        if task.config.max_source_length + options.max_length > positions:
            raise ValueError(
                f"`max_length` must be at most {positions - task.config.max_source_length}, the model's {positions} "
                f"positions without {task.config.max_source_length} of the source. Received: {options.max_length}"
            )
        rows = task.encode([example.without_label() for example in examples], (), self.tokenizer)
        found: list[list[Hypothesis]] = [[] for _ in examples]
        together = max(1, self.batch_size // options.beams)
        seeds = np.random.SeedSequence(options.seed)
        of_text = seeds.spawn(len(examples)) if options.sampled else []
        for indices, batch in rows.batches(together, fill=False):
            searches = [
                Search(
                    options,
                    self.tokenizer.sep_id,
                    self._generated,
                    random=[np.random.default_rng(one) for one in of_text[index].spawn(options.beams)]
                    if options.sampled
                    else (),
                )
                for index in indices
            ]
            self._search(batch, searches, options)
            for index, search in zip(indices, searches, strict=True):
                found[index] = search.results()
        return found

    def _search(self, batch: dict[str, np.ndarray], searches: list[Search], options: DecodingOptions) -> None:
        """Run the searches of a batch of sources to their ends."""
        start, targets_of, go_on = self._decoder
        names = ("input_ids", "input_mask", "segment_ids", "position_ids")
        inputs = {name: np.ascontiguousarray(batch[name]) for name in names}
        first, sources = start(inputs)
        log_probabilities = np.repeat(np.asarray(first)[:, None], options.beams, axis=1)  # [B, G, V]
        targets = targets_of(len(searches) * options.beams, options.max_length)
        for number in range(options.max_length):
            for search, values in zip(searches, log_probabilities, strict=True):
                search.step(values)
            if all(search.done for search in searches):
                return
            parents = [row * options.beams + parent for row, search in enumerate(searches) for parent in search.parents]
            tokens = [tokens[-1] for search in searches for tokens in search.tokens]
            step = {
                "parents": np.array(parents, np.int32),
                "tokens": np.array(tokens, np.int32),
                "number": np.int32(number),
            }
            following, targets = go_on(sources, inputs["input_mask"], targets, step)
            log_probabilities = np.asarray(following).reshape(log_probabilities.shape)

    @cached_property
    def _decoder(self) -> tuple[Any, Any, Any]:
        """The compiled functions `read_sources` and `read_token` of the model, with `empty_targets` between them."""
        from bert_tf.models import incremental
        from bert_tf.serving.compiled import compiled_function

        model = self.model
        return (
            compiled_function(model, lambda inputs: incremental.read_sources(model, inputs)),
            lambda hypotheses, length: incremental.empty_targets(model.encoder, hypotheses, length),
            compiled_function(model, lambda *arguments: incremental.read_token(model, *arguments)),
        )

    @cached_property
    def _generated(self) -> np.ndarray:
        """The mask of the tokens that may be generated, bool [V]."""
        tokenizer = self.tokenizer
        allowed = np.zeros(self.description.model.vocab_size, bool)
        allowed[: len(tokenizer)] = [bool(token) and not _UNUSED.fullmatch(token) for token in tokenizer.tokens]
        allowed[[tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.mask_id]] = False
        return allowed


def _answer(hypotheses: Sequence[Hypothesis], tokens: Sequence[str]) -> dict[str, Any]:
    answers = [
        {
            "generated": detokenized(tokens[index] for index in hypothesis.tokens if tokens[index] != "[SEP]"),
            "score": hypothesis.score,
            "log_probability": hypothesis.log_probability,
        }
        for hypothesis in hypotheses
    ]
    return answers[0] if len(answers) == 1 else answers[0] | {"alternatives": answers}
