"""The stages from published weights and a domain's text to a model of the domain; complete stages are skipped.

folder/
  corpus/          train.txt (with text of the replay), heldout.txt, and general.txt, held-out text of the replay
  vocab.txt        the vocabulary of the weights, extended by words of train.txt if that is wanted
  model/           the weights for the extended vocabulary, in the format of Hugging Face
  records/         records of train.txt
  run/             the run of continued pre-training
  report.json      the log-likelihood of a character, before and after
  settings.json    what decides the files above; a later call must agree with it
"""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bert_tf.configs import PretrainingConfig
from bert_tf.conversion.convert import convert_checkpoint
from bert_tf.conversion.loading import read_pretrained
from bert_tf.serving.predictor import Predictor, load
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed, renamed_items
from data_pipelines.corpora.documents import Document, document_bytes, is_held_out, write_documents
from data_pipelines.corpora.readers import read_documents
from data_pipelines.create_pretraining_data import create_pretraining_data
from data_pipelines.records.manifest import MANIFEST_FILE, PreparationConfig
from data_pipelines.vocabulary_extension import extend_vocab
from experiments.corpora.staged_run import StagedRun

HOLDOUT = 0.05
SENTENCES = 200
_CHARACTERS = range(20, 201)
_TRAIN, _HELD_OUT, _GENERAL = "train.txt", "heldout.txt", "general.txt"


class AdaptationRun(StagedRun):
    """The adaptation of a BERT to a domain, in one local folder.

    Args:
        output_dir: the folder.
        config: the experiment; its model is replaced by that of the weights.
        init_checkpoint: the weights, with their vocabulary and a masked-LM head.
        corpus: glob patterns of the domain's text files, one sentence on each line.
        replay: glob patterns of general text, which is mixed in against forgetting; None for none.
        replay_share: the share of general text in the training text.
        num_new: the number of words of the domain that become tokens; 0 keeps the vocabulary.
        max_seq_length: the number of tokens in a row of the records.

    Raises:
        FileNotFoundError: `corpus` or `replay` matches no file, or there are no such weights.
        ValueError: an argument is out of range, the weights lack a masked-LM head, rows are longer than the model's
            positions, or the folder was begun with other settings.
    """

    def __init__(
        self,
        output_dir: str,
        config: PretrainingConfig,
        init_checkpoint: str,
        corpus: str,
        *,
        replay: str | None = None,
        replay_share: float = 0.2,
        num_new: int = 0,
        max_seq_length: int = 128,
    ) -> None:
        if not 0.0 < replay_share < 1.0:
            raise ValueError(f"`replay_share` must be above 0 and below 1. Received: {replay_share}")
        for name, patterns in (("corpus", corpus), ("replay", replay)):
            if patterns is not None:
                with renamed(patterns=name):
                    read_documents(patterns)
        super().__init__(
            output_dir,
            {
                "init_checkpoint": init_checkpoint,
                "corpus": corpus,
                "replay": replay,
                "replay_share": replay_share if replay else None,
                "num_new": num_new,
                "max_seq_length": max_seq_length,
            },
        )
        with renamed(path="init_checkpoint"):
            pretrained = read_pretrained(init_checkpoint)
            pretrained.check_heads("pretraining", new=("encoder/pooler", "next_sentence"))
            self._tokenizer = pretrained.tokenizer()
        pretrained.config.check_fits(self._tokenizer.vocab_size, max_seq_length)
        self._config = config
        self._model = pretrained.config.replace(dropout_rate=config.model.dropout_rate)
        self._init, self._corpus, self._replay, self._share = init_checkpoint, corpus, replay, replay_share
        self._num_new, self._length = num_new, max_seq_length
        self.stages = {
            "corpus": (self.path("corpus", _HELD_OUT), self.write_corpus),
            "vocabulary": (self.path("vocab.txt"), self.write_vocabulary),
            **({"model": (self.path("model", "config.json"), self.write_model)} if num_new else {}),
            "records": (self.path("records", MANIFEST_FILE), self.write_records),
        }

    def run(self) -> dict[str, Any]:
        """Run the stages that are not complete, pre-train, and return the report, which is written too.

        Returns:
            For `domain` and, with replay, `general`: `before` and `after`, the mean log-likelihood of a character of
            held-out sentences (nats), and their number `sentences`; and the sizes of the vocabularies.

        Raises:
            ValueError: the text is too small, or as `pretrain`.
            OSError: a file cannot be written.
        """
        self.run_stages()
        print("\n== pre-training", flush=True)
        self.pretrain()
        print("\n== report", flush=True)
        report = self.report()
        files.write_json(self.path("report.json"), report)
        return report

    def write_corpus(self) -> None:
        """Write train.txt, with text of the replay, general.txt and heldout.txt."""
        files.make_folder(self.path("corpus"))
        training: Iterable[Document] = self._part(self._corpus, held_out=False)
        if self._replay is not None:
            print(f"{_GENERAL}: {self._write(_GENERAL, self._part(self._replay, held_out=True))}")
            training = _with_replay(training, self._part(self._replay, held_out=False), self._share)
        print(f"{_TRAIN}: {self._write(_TRAIN, training)}")
        print(f"{_HELD_OUT}: {self._write(_HELD_OUT, self._part(self._corpus, held_out=True))}")

    def write_vocabulary(self) -> None:
        """Write the vocabulary of the weights, extended if that is wanted."""
        if self._num_new:
            domain: Any = self._part(self._corpus, held_out=False)
            extend_vocab(domain, self._tokenizer, self._num_new, output=self.path("vocab.txt"))
        else:
            self._tokenizer.save(self.path("vocab.txt"))

    def write_model(self) -> None:
        """Write the weights for the extended vocabulary."""
        print(convert_checkpoint(self._init, self.path("model"), "huggingface", vocab_file=self.path("vocab.txt")))

    def write_records(self) -> None:
        """Write the records of train.txt: full sentences, without pairs."""
        manifest = create_pretraining_data(
            read_documents(self.path("corpus", _TRAIN)),
            self._adapted_tokenizer(),
            self.path("records"),
            config=PreparationConfig(max_seq_length=self._length, objective="mlm", seed=self._config.train.seed),
            num_workers=0,
        )
        print(manifest.statistics)

    def pretrain(self) -> None:
        """Pre-train, or continue to."""
        from bert_tf.training.choose_engine import make_engine
        from bert_tf.training.pretraining import pretrain
        from experiments.pretraining import open_records

        train, _ = open_records([self.path("records")], [])
        model = self._model.replace(vocab_size=self._vocab_size())
        pretrain(
            self._config.replace(model=model),
            train,
            None,
            run_dir=self.path("run"),
            engine=make_engine(strategy="one_device"),
            init_checkpoint=self.path("model") if self._num_new else self._init,
            allow_random_heads=True,
        )

    def report(self) -> dict[str, Any]:
        """Return the report of `run`."""
        texts = {"domain": _sentences(self.path("corpus", _HELD_OUT))}
        if self._replay is not None:
            texts["general"] = _sentences(self.path("corpus", _GENERAL))
        before, after = load(self._init, "pretraining", batch_size=128), load(self.path("run"), batch_size=128)
        found: dict[str, Any] = {
            name: {
                "before": log_likelihood_of_characters(before, some),
                "after": log_likelihood_of_characters(after, some),
                "sentences": len(some),
            }
            for name, some in texts.items()
        }
        return found | {"tokens": {"before": len(self._tokenizer), "after": len(after.tokenizer)}}

    def _part(self, patterns: str, *, held_out: bool) -> Iterator[Document]:
        """Yield the documents for training, or those that are held out."""
        documents = renamed_items(read_documents(patterns), patterns="corpus")
        return (document for document in documents if is_held_out(document, HOLDOUT) == held_out)

    def _write(self, name: str, documents: Iterable[Document]) -> Any:
        return write_documents(documents, self.path("corpus", name))

    def _adapted_tokenizer(self) -> Any:
        old = self._tokenizer
        return type(old)(self.path("vocab.txt"), old.do_lower_case, old.options)

    def _vocab_size(self) -> int:
        """Return the rows of the table of embeddings: those of the weights, or one a token of the new vocabulary."""
        return len(self._adapted_tokenizer()) if self._num_new else self._model.vocab_size


def log_likelihood_of_characters(predictor: Predictor, texts: Sequence[str]) -> float:
    """Return the pseudo-log-likelihood of all texts, whole words masked, divided by the number of their characters.

    Characters are the same for all vocabularies, and a masked word is predicted without its own parts, so that models
    with different vocabularies can be compared.
    """
    answers = predictor.log_likelihood(texts, mask="whole_word")
    return sum(answer["log_likelihood"] for answer in answers) / sum(map(len, texts))


def _with_replay(domain: Iterable[Document], general: Iterator[Document], share: float) -> Iterator[Document]:
    """Yield the domain's documents, and after each as many general ones as keep their share of the bytes."""
    of_domain = of_general = 0
    for document in domain:
        yield document
        of_domain += document_bytes(document)
        while of_general < of_domain * share / (1.0 - share):
            other = next(general, None)
            if other is None:
                break
            yield other
            of_general += document_bytes(other)


def _sentences(path: str) -> list[str]:
    """Return up to 200 sentences of 20 to 200 characters, from all parts of a corpus.

    Raises:
        ValueError: there is none.
    """
    found = [sentence for document in read_documents(path) for sentence in document if len(sentence) in _CHARACTERS]
    if not found:
        raise ValueError(
            f"`corpus` must have held-out sentences of {_CHARACTERS[0]} to {_CHARACTERS[-1]} characters. "
            f"Received: none in {os.path.basename(path)}"
        )
    step = max(1, len(found) // SENTENCES)
    return list(itertools.islice(found[::step], SENTENCES))
