"""The parts of the benchmark of re-scoring: its lists, the log-likelihoods of each side, and the error rates."""

import dataclasses
import functools
import os
import statistics
import time
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, NamedTuple

import numpy as np

from bert_tf.examples import NBestList
from bert_tf.runs.checkpoints import newest_checkpoint
from bert_tf.scoring.texts import regression_scores
from bert_tf.serving.predictor import Predictor, load
from bert_tf.serving.rescoring import Rescored, Settings, distinct_texts, rescore_by, text_likelihoods
from bert_tf.utils import files, json_text
from data_pipelines.nbest_lists import read_nbest_lists
from experiments.benchmarks.nbest_simulation import Confusions, plain_sentence, recognized_words, simulated_list
from experiments.benchmarks.ngram_model import EncodedText, TrigramModel
from experiments.benchmarks.rerank_race import launch
from experiments.corpora.staged_run import StagedRun

TRAIN, HELD_OUT, RUN = "corpus/train.txt", "corpus/heldout.txt", "run"
"""The files and the run of `make checkpoint` that the benchmark reads."""
SIDES = {
    "trigram": "trigram model",
    "token": "mask=token",
    "word_l2r": "mask=word_l2r",
    "scorer": "distilled scorer",
}
"""The sides that have a language model, and their names in the table."""
TUNE_SHARE, BATCH_SIZE = 0.5, 128
_TRAINING = {
    "train.batch_size": 32,
    "train.learning_rate": 3e-4,
    "train.precision": "float32",
    "num_epochs": 6,
}
_LOOP_TURNS = 3


class Likelihoods(NamedTuple):
    """The log-likelihoods of one side, with the numbers of tokens, and the seconds that they took."""

    of_text: dict[str, tuple[float, int]]
    seconds: float

    @property
    def texts_per_second(self) -> float:
        """The number of texts in a second."""
        return len(self.of_text) / self.seconds


class RescoringRun(StagedRun):
    """The stages of the benchmark in one folder.

    lists.jsonl          simulated n-best lists of held-out sentences
    scorer_texts.txt     training sentences, right and corrupted, for the distilled scorer
    SIDE.json            the log-likelihoods of all hypotheses and references by each of the `SIDES`
    scorer/              the run of the scorer
    loop.json            the seconds of one masked row at a time, and of batches

    Args:
        work_dir: the folder.
        checkpoint_dir: a folder of `make checkpoint`, with `TRAIN`, `HELD_OUT` and `RUN`.
        sentences: the number of lists.
        hypotheses: the number of hypotheses of a list.
        scorer_sentences: the number of training sentences from which the scorer learns.
        loop_texts: the number of texts whose rows are computed one at a time.
        least_count: the occurrences in the training text of a word that may be confused with others.
        seed: the seed.

    Raises:
        ValueError: the folder was begun with other settings, or with an earlier checkpoint.
    """

    def __init__(
        self,
        work_dir: str,
        checkpoint_dir: str,
        *,
        sentences: int,
        hypotheses: int,
        scorer_sentences: int,
        loop_texts: int,
        seed: int,
        least_count: int = 20,
    ) -> None:
        self._checkpoint = os.path.abspath(checkpoint_dir)
        self._sizes = {"sentences": sentences, "hypotheses": hypotheses, "scorer_sentences": scorer_sentences}
        self._sizes |= {"loop_texts": loop_texts, "seed": seed, "least_count": least_count}
        newest = newest_checkpoint(os.path.join(self._checkpoint, RUN))
        step = newest.step if newest is not None else None
        super().__init__(work_dir, {"checkpoint_dir": self._checkpoint, "checkpoint_step": step} | self._sizes)
        lists, texts = self.path("lists.jsonl"), self.path("scorer_texts.txt")
        self.stages["simulating lists"] = (lists, self._write_lists)
        self.stages["choosing texts for the scorer"] = (texts, self._write_scorer_texts)
        self.stages["trigram model"] = (self.path("trigram.json"), self._score_by_trigrams)
        for mask in ("token", "word_l2r"):
            self.stages[SIDES[mask]] = (self.path(f"{mask}.json"), functools.partial(self._score_by_mask, mask))
        self.stages["teaching the scorer"] = (self.path("scorer.json"), self._score_by_scorer)
        self.stages["one row at a time"] = (self.path("loop.json"), self._time_loop)

    @functools.cached_property
    def lists(self) -> list[NBestList]:
        """The lists, once they are written."""
        return read_nbest_lists(self.path("lists.jsonl"))

    @functools.cached_property
    def texts(self) -> list[str]:
        """All hypotheses and references, each text once."""
        return list(dict.fromkeys([*distinct_texts(self.lists), *(one.reference or "" for one in self.lists)]))

    @functools.cached_property
    def _training_text(self) -> "TrainingText":
        return TrainingText.read(os.path.join(self._checkpoint, TRAIN))

    @functools.cached_property
    def _confusions(self) -> Confusions:
        return Confusions(self._training_text.encoded.counts(), least_count=self._sizes["least_count"])

    def _write_lists(self) -> None:
        """Write the lists of sentences that the training text does not have."""
        held_out = plain_sentences(os.path.join(self._checkpoint, HELD_OUT))
        new = [sentence for sentence in held_out if sentence not in self._training_text.plain]
        if len(new) < self._sizes["sentences"]:
            raise ValueError(
                f"`sentences` must be at most {len(new)}, the suitable sentences of {HELD_OUT} that {TRAIN} does not "
                f"have. Received: {self._sizes['sentences']}"
            )
        chosen = Random(self._sizes["seed"]).sample(new, self._sizes["sentences"])
        lines = []
        for number, reference in enumerate(chosen):
            one = self._simulated(f"heldout-{number}", reference)
            hypotheses = [{"text": text, "score": score} for text, score in zip(one.texts, one.scores, strict=True)]
            lines.append(json_text.dumps({"id": one.id, "hypotheses": hypotheses, "reference": reference}) + "\n")
        files.write_text(self.path("lists.jsonl"), "".join(lines))

    def _write_scorer_texts(self) -> None:
        """Write training sentences, each followed by a hypothesis of its simulated list."""
        known, wanted = sorted(self._training_text.plain), self._sizes["scorer_sentences"]
        random = Random(self._sizes["seed"])
        if len(known) < wanted:
            raise ValueError(
                f"`scorer_sentences` must be at most {len(known)}, the suitable sentences of {TRAIN}. "
                f"Received: {wanted}"
            )
        texts: dict[str, None] = {}
        for number, sentence in enumerate(random.sample(known, wanted)):
            one = self._simulated(f"train-{number}", sentence)
            texts |= dict.fromkeys((sentence, random.choice(one.texts)))
        files.write_text(self.path("scorer_texts.txt"), "".join(f"{text}\n" for text in texts))

    def _simulated(self, name: str, sentence: str) -> NBestList:
        size, seed = self._sizes["hypotheses"], self._sizes["seed"]
        return simulated_list(name, sentence, self._confusions, size=size, seed=seed)

    def _score_by_trigrams(self) -> None:
        begin = time.monotonic()
        model = TrigramModel(self._training_text.encoded)
        print(f"counted in {time.monotonic() - begin:.0f} s", flush=True)

        def score(texts: list[str]) -> dict[str, tuple[float, int]]:
            sentences = [text.split() for text in texts]
            values = model.log_likelihoods(sentences).tolist()
            lengths = [len(words) for words in sentences]
            return dict(zip(texts, zip(values, lengths, strict=True), strict=True))

        self._write_likelihoods("trigram", score)

    def _score_by_mask(self, mask: str) -> None:
        self._score_by_predictor(mask, self._teacher(BATCH_SIZE), mask)

    def _score_by_scorer(self) -> None:
        """Write the teacher's means for the scorer's texts, train it, and write its log-likelihoods."""
        if not files.exists(self.path("scorer_train.jsonl")):
            texts = list(files.iterate_lines(self.path("scorer_texts.txt")))
            found = text_likelihoods(self._teacher(BATCH_SIZE), texts, "token")
            means = {text: value / max(1, size) for text, (value, size) in found.items()}
            rows = ({"text": text, "mean_log_likelihood": mean} for text, mean in means.items())
            lines = "".join(json_text.dumps(row) + "\n" for row in rows)
            files.write_text(self.path("scorer_train.jsonl"), lines)
        start = ["--config=sentence_score", "--train_file=scorer_train.jsonl", "--split=90/10"]
        start += [f"--init_checkpoint={os.path.join(self._checkpoint, RUN)}", "--model_dir=scorer"]
        options = _TRAINING | {"train.seed": self._sizes["seed"]}
        launch(self.output_dir, "finetune", *start, *(f"--set={name}={value}" for name, value in options.items()))
        self._score_by_predictor("scorer", load(self.path("scorer"), batch_size=BATCH_SIZE), "token")

    def _score_by_predictor(self, side: str, predictor: Predictor, mask: str) -> None:
        text_likelihoods(predictor, self.texts[:: max(1, len(self.texts) // 64)], mask)  # a warm-up, in several lengths
        self._write_likelihoods(side, lambda texts: text_likelihoods(predictor, texts, mask))

    def _write_likelihoods(self, side: str, score: Callable[[list[str]], dict[str, tuple[float, int]]]) -> None:
        begin = time.monotonic()
        found = score(self.texts)
        seconds = time.monotonic() - begin
        files.write_json(self.path(f"{side}.json"), {"seconds": seconds, "of_text": found})

    def _time_loop(self) -> None:
        """Write the seconds of one masked row at a time and of batches, for the same texts, in turns."""
        texts = Random(self._sizes["seed"]).sample(self.texts, min(self._sizes["loop_texts"], len(self.texts)))
        sides = {"loop": self._teacher(1), "batches": self._teacher(BATCH_SIZE)}
        values = {
            name: [answer["log_likelihood"] for answer in predictor.log_likelihood(texts)]  # a warm-up
            for name, predictor in sides.items()
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(_LOOP_TURNS):
            for name, predictor in sides.items():
                begin = time.monotonic()
                predictor.log_likelihood(texts)
                seconds[name].append(time.monotonic() - begin)
        difference = float(np.max(np.abs(np.subtract(values["loop"], values["batches"]))))
        files.write_json(
            self.path("loop.json"), {"texts": len(texts), "seconds": seconds, "largest_difference": difference}
        )

    def _teacher(self, batch_size: int) -> Predictor:
        return load(os.path.join(self._checkpoint, RUN), batch_size=batch_size)

    def likelihoods(self, side: str) -> Likelihoods:
        """Return the log-likelihoods of one of the `SIDES`, once they are written."""
        kept = files.read_json(self.path(f"{side}.json"))
        return Likelihoods({text: (value, size) for text, (value, size) in kept["of_text"].items()}, kept["seconds"])

    def results(self) -> dict[str, Any]:
        """Return all results: `settings`, `lists`, `sides`, `scorer` and `loop`."""
        references = [one.reference or "" for one in self.lists]
        of_side = {side: self.likelihoods(side) for side in SIDES}
        return {
            "settings": self._sizes,
            "lists": {
                "hypotheses": statistics.mean(len(one.texts) for one in self.lists),
                "with_reference": statistics.mean(one.reference in one.texts for one in self.lists),
                "words": statistics.mean(len(reference.split()) for reference in references),
            },
            "sides": side_rows(self.lists, of_side),
            "scorer": {
                name: agreement(of_side["token"].of_text, of_side["scorer"].of_text, texts)
                for name, texts in (("references", references), ("hypotheses", distinct_texts(self.lists)))
            },
            "loop": files.read_json(self.path("loop.json")),
        }


@dataclasses.dataclass(frozen=True)
class TrainingText:
    """A training text as a recognizer would write it.

    Attributes:
        encoded: all of its lines.
        plain: its sentences of 6 to 25 words, each once.
    """

    encoded: EncodedText
    plain: set[str]

    @classmethod
    def read(cls, path: str) -> "TrainingText":
        """Return the text of a file with one sentence on each line."""
        plain: set[str] = set()

        def sentences() -> Iterable[list[str]]:
            for line in files.iterate_lines(path):
                if words := recognized_words(line):
                    if (sentence := plain_sentence(line)) is not None:
                        plain.add(sentence)
                    yield words

        return cls(EncodedText.of(sentences()), plain)


def plain_sentences(path: str) -> list[str]:
    """Return the sentences of 6 to 25 words of a file, as a recognizer writes them, each once."""
    found = (plain_sentence(line) for line in files.iterate_lines(path))
    return list(dict.fromkeys(sentence for sentence in found if sentence is not None))


def side_rows(lists: list[NBestList], of_side: dict[str, Likelihoods]) -> list[dict[str, Any]]:
    """Return the error rates of the lists on which no weight was found: before, by each side, and of the oracle.

    Every side has the same halves of the lists, which their ids decide (`in_share`). After the trigram model, whose
    totals are then the scores of the first pass, the others re-score once more, with weights of their own.

    Returns:
        Dictionaries of `name`, `lists` (their number), `wer` and `cer`; those of a side also have its `weight` and
        `length_weight`, and, unless it follows the trigram model, `texts_per_second`.
    """
    rescored = {side: _rescored(lists, found) for side, found in of_side.items()}
    alone = [
        _row(SIDES[side], one) | {"texts_per_second": of_side[side].texts_per_second} for side, one in rescored.items()
    ]
    after = []
    if "trigram" in rescored:
        second = [_with_totals(given, line) for given, line in zip(lists, rescored["trigram"].lines, strict=True)]
        others = [side for side in of_side if side != "trigram"]
        after = [_row(f"{SIDES['trigram']}, {SIDES[side]}", _rescored(second, of_side[side])) for side in others]
    plain = {one.name: one for one in next(iter(rescored.values())).rates if one.part == "test"}
    first, oracle = (
        {"name": name, "lists": plain[name].num_lists, "wer": plain[name].wer, "cer": plain[name].cer}
        for name in ("first pass", "oracle")
    )
    return [first, *alone, *after, oracle]


def _rescored(lists: list[NBestList], found: Likelihoods) -> Rescored:
    return rescore_by(found.of_text, lists, Settings(None, None, TUNE_SHARE))


def _row(name: str, rescored: Rescored) -> dict[str, Any]:
    [rates] = [one for one in rescored.rates if (one.part, one.name) == ("test", "rescored")]
    weights = {"weight": rescored.weights.likelihood, "length_weight": rescored.weights.length}
    return {"name": name, "lists": rates.num_lists, "wer": rates.wer, "cer": rates.cer} | weights


def _with_totals(given: NBestList, line: dict[str, Any]) -> NBestList:
    """Return a list whose scores are the totals of its re-scored line."""
    totals = {one["text"]: one["total"] for one in line["hypotheses"]}
    return dataclasses.replace(given, scores=tuple(totals[text] for text in given.texts))


def agreement(
    teacher: dict[str, tuple[float, int]], scorer: dict[str, tuple[float, int]], texts: list[str]
) -> dict[str, float]:
    """Return how well a scorer's mean log-likelihood of a token agrees with its teacher's.

    Returns:
        `texts` (their number), `pearson`, `spearman`, `mae` (the mean absolute error), and `mae_of_mean`, that of the
        teacher's mean over all texts.
    """
    truth, found = (
        np.array([of_text[text][0] / max(1, of_text[text][1]) for text in texts]) for of_text in (teacher, scorer)
    )
    scores = regression_scores(truth.tolist(), found.tolist())
    return {
        "texts": len(texts),
        "pearson": scores["pearson"],
        "spearman": scores["spearman"],
        "mae": float(np.mean(np.abs(truth - found))),
        "mae_of_mean": float(np.mean(np.abs(truth - truth.mean()))),
    }


def describe(results: dict[str, Any]) -> str:
    """Return the results as tables in Markdown, and the ratio of the times of rows alone and of batches."""
    lines = ["| | WER, % | CER, % | weight | length weight | texts/s |", "| --- " * 6 + "|"]
    for row in results["sides"]:
        numbers = [f"{100.0 * row[name]:.2f}" for name in ("wer", "cer")]
        if "weight" in row:
            numbers += [f"{row['weight']:.3g}", f"{row['length_weight']:.3g}"]
            numbers += [f"{row['texts_per_second']:.0f}"] if "texts_per_second" in row else []
        lines.append(f"| {' | '.join([row['name'], *numbers, *[''] * (5 - len(numbers))])} |")
    lines += ["", "| scorer and teacher | texts | Pearson | Spearman | MAE | MAE of the mean |", "| --- " * 6 + "|"]
    for name, row in results["scorer"].items():
        numbers = [f"{row[key]:.3f}" for key in ("pearson", "spearman", "mae", "mae_of_mean")]
        lines.append(f"| {' | '.join([name, str(row['texts']), *numbers])} |")
    loop = results["loop"]
    alone, batches = (statistics.median(loop["seconds"][name]) for name in ("loop", "batches"))
    lists = results["lists"]
    return "\n".join(
        [
            f"{results['sides'][0]['lists']} test lists; of all, {100.0 * lists['with_reference']:.0f} % have their "
            f"reference among {lists['hypotheses']:.1f} hypotheses; {lists['words']:.1f} words a reference",
            *lines,
            "",
            f"mask=token, {loop['texts']} texts: {alone:.2f} s for one row at a time, {batches:.2f} s in batches, "
            f"{alone / batches:.2f} x",
        ]
    )
