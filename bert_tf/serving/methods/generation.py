"""The methods of models for sequence to sequence, which generate texts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from bert_tf.configs.decoding import DecodingOptions
from bert_tf.examples import Seq2SeqExample
from bert_tf.features import ID_NAMES
from bert_tf.serving.decoding import Hypothesis, check_room, decoding_options
from bert_tf.serving.exported import ExportedModel
from bert_tf.serving.methods.base import BasePredictor, items_of, texts_of
from bert_tf.tasks.seq2seq import Seq2Seq
from bert_tf.tokenization.detokenization import finished_text
from bert_tf.tokenization.generated import generated_text, generated_tokens

_MOST_COMPILED = 8
"""The number of sets of options whose compiled functions are kept."""


class GenerationMethods(BasePredictor):
    """The methods of models for sequence to sequence."""

    def generate(
        self,
        texts: Sequence[str],
        *,
        max_length: int | None = None,
        beams: int | None = None,
        length_penalty: float | None = None,
        no_repeat_ngram: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        num_return: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return the text that the model generates from each text: by beam search, or by sampling.

        The special tokens, `[UNK]` and `[unusedN]` are never generated. A text ends where the model generates `[SEP]`,
        or after `max_length` tokens. What is generated from a text does not depend on the other texts.

        The options of an export are fixed, but for `seed`. They may be left out.

        Args:
            texts: any number of source texts. Those that exceed the model's sources are cut, with a warning.
            max_length: largest number of tokens of a generated text, with `[SEP]`; None for `task.max_target_length`.
            beams: number of hypotheses of beam search, 1 for the likeliest token at each step; None for 4.
            length_penalty: exponent of the normalisation by length (Wu et al. 2016); 0 for none, None for 0.6.
            no_repeat_ngram: n-grams of so many tokens occur once at most in a text; 0 for no such rule, None for 3.
            temperature: divisor of the logits. This, `top_k`, `top_p` or `seed` makes the method sample.
            top_k: sampling chooses from so many likeliest tokens.
            top_p: sampling chooses from the likeliest tokens whose probabilities sum to this (Holtzman et al. 2020).
            seed: random seed of sampling, which together with a text fixes what is generated from it.
            num_return: number of texts for each source: the best of the beams, or so many samples; None for 1.

        Returns:
            For each source, `generated`, its `score` (the log-probability normalised by length, by which beams are
            ranked) and `log_probability` (the sum of the model's own, of each token and `[SEP]`). With `num_return`
            above 1, also `alternatives`: a list of such dictionaries, the best first.

        Raises:
            ValueError: the model is not one of sequence to sequence, an item is not a string or has no token, or an
                option is out of range or not that of an export.
        """
        self._require("generate")
        options = self._options(
            max_length=max_length,
            beams=beams,
            length_penalty=length_penalty,
            no_repeat_ngram=no_repeat_ngram,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            num_return=num_return,
        )
        examples = _examples("texts", texts)
        return [_answer(found, self.tokenizer.tokens) for found in self.hypotheses(examples, options)]

    def stream(
        self,
        text: str,
        *,
        max_length: int | None = None,
        no_repeat_ngram: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> Iterator[str]:
        """Yield the text that the model generates from a text, word by word, as soon as each is known.

        The parts together are the text of `generate(beams=1)` with the same options. A word is known when the next one
        begins.

        Args:
            text: the source text.
            max_length: see `generate`, as for all others.
            no_repeat_ngram: see there.
            temperature: see there.
            top_k: see there.
            top_p: see there.
            seed: see there.

        Raises:
            ValueError: as in `generate`; or the model is an export, which answers with whole texts alone.
        """
        self._require("stream")
        if isinstance(self.model, ExportedModel):
            raise ValueError(f"`stream` needs a run or published weights. Received: the export {self.source}")
        options = self._options(
            max_length=max_length,
            beams=1,
            no_repeat_ngram=no_repeat_ngram,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
        )
        check_room(self.description, options)
        [(_, inputs)] = self._sources(_examples("text", [text]), options)
        return self._parts(inputs, options)

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
        check_room(self.description, options)
        found: list[list[Hypothesis]] = [[] for _ in examples]
        for indices, inputs in self._sources(examples, options):
            outputs = {name: np.asarray(output) for name, output in self._generation(options)(inputs).items()}
            for index, *targets in zip(indices, *(outputs[name] for name in _OUTPUTS), strict=True):
                found[index] = [
                    Hypothesis(tuple(tokens[:length].tolist()), float(total), float(score))
                    for tokens, length, total, score in zip(*targets, strict=True)
                    if np.isfinite(score)
                ]
        return found

    def _options(self, **given: Any) -> DecodingOptions:
        fixed = self.description.decoding
        if fixed is None:
            return decoding_options(self.description, given)
        for name, value in given.items():
            own = getattr(fixed, name)
            if value is not None and value != own and not (name == "seed" and fixed.sampled):
                raise ValueError(f"`{name}` must be that of the export, {own}, or left out. Received: {value!r}")
        return fixed.replace(seed=given["seed"])

    def _sources(
        self, examples: Sequence[Seq2SeqExample], options: DecodingOptions
    ) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yield the indices of each batch's sources, and the inputs of `Generation` for them."""
        assert isinstance(self.task, Seq2Seq)
        rows = self.task.encode([example.without_label() for example in examples], (), self.tokenizer)
        seed = int(np.random.SeedSequence().generate_state(1)[0] >> 1) if options.seed is None else options.seed
        for indices, batch in rows.batches(self.batch_size, fill=False):
            inputs = {name: np.ascontiguousarray(batch[name]) for name in _INPUTS}
            if options.sampled:
                inputs["seeds"] = np.full((len(indices), 1), seed, np.int32)
            yield indices, inputs

    def _generation(self, options: DecodingOptions) -> Callable[[dict[str, np.ndarray]], Mapping[str, Any]]:
        """Return the compiled function of `models.generation.Generation`."""
        if isinstance(self.model, ExportedModel):
            return self.model.generate
        return self._compiled_generation(options).whole

    def _compiled_generation(self, options: DecodingOptions) -> "_Compiled":
        """Return the compiled functions for these options, which are kept for the options that came last."""
        from bert_tf.models.generation import Generation
        from bert_tf.serving.compiled import compiled_function

        key = options.replace(seed=None)
        compiled = self._compiled_generations.get(key)
        if compiled is None:
            allowed = generated_tokens(self.tokenizer, self.description.model.vocab_size)
            generation = Generation(self.model, options, allowed, self.tokenizer.sep_id)
            whole = compiled_function(self.model, generation, [*_INPUTS, *(["seeds"] if options.sampled else [])])
            steps = (compiled_function(self.model, function) for function in (generation.start, generation.step))
            compiled = _Compiled(generation, whole, *steps)
            self._compiled_generations[key] = compiled
            # Callers with new options for every text must not fill the memory. The oldest functions are dropped.
            for other in list(self._compiled_generations)[:-_MOST_COMPILED]:
                self._compiled_generations.pop(other, None)
        return compiled

    @cached_property
    def _compiled_generations(self) -> dict[DecodingOptions, "_Compiled"]:
        return {}

    def _parts(self, inputs: dict[str, np.ndarray], options: DecodingOptions) -> Iterator[str]:
        compiled, tokens, given = self._compiled_generation(options), self.tokenizer.tokens, ""
        seeds, sources, state = compiled.start(inputs)
        while compiled.generation.goes_on(state):
            ids = np.asarray(state["tokens"])[0, 0, : int(state["number"])]
            known = finished_text(tokens[index] for index in ids)
            if known != given:
                yield known[len(given) :]
            given = known
            state = compiled.step(sources, inputs["input_mask"], seeds, state)
        results = compiled.generation.results(state)
        ids = np.asarray(results["tokens"])[0, 0, : int(results["lengths"][0, 0])]
        if (text := generated_text(tokens, ids)) != given:
            yield text[len(given) :]


class _Compiled(NamedTuple):
    """A generation, and its compiled functions."""

    generation: Any
    whole: Callable[..., Any]
    start: Callable[..., Any]
    step: Callable[..., Any]


_INPUTS = (*ID_NAMES, "position_ids")
_OUTPUTS = ("tokens", "lengths", "log_probabilities", "scores")


def _examples(name: str, texts: Sequence[str]) -> list[Seq2SeqExample]:
    return [Seq2SeqExample(text, source=f"`{name}[{number}]`") for number, text in enumerate(texts_of(name, texts))]


def _answer(hypotheses: Sequence[Hypothesis], tokens: Sequence[str]) -> dict[str, Any]:
    answers = [
        {
            "generated": generated_text(tokens, hypothesis.tokens),
            "score": hypothesis.score,
            "log_probability": hypothesis.log_probability,
        }
        for hypothesis in hypotheses
    ]
    return answers[0] if len(answers) == 1 else answers[0] | {"alternatives": answers}
