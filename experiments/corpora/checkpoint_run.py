"""The stages from packages to a pre-trained checkpoint, of which each is skipped when it is complete.

folder/
  corpus/          train.txt, heldout.txt (`assembly.py`, or your own text, divided by `documents.is_held_out`)
  vocab.txt        learnt from train.txt
  records/         records of train.txt, packed or not; a killed preparation is continued
  heldout/         records of heldout.txt
  run/             the run of pre-training; it is continued from its newest checkpoint
  settings.json    what decides the files above; a later call must agree with it
"""

import os
from collections.abc import Sequence
from typing import Any

from bert_tf.configs import PretrainingConfig
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed, renamed_items
from data_pipelines.corpora.documents import is_held_out, write_documents
from data_pipelines.corpora.readers import read_documents
from data_pipelines.create_pretraining_data import create_pretraining_data
from data_pipelines.records.manifest import MANIFEST_FILE, PreparationConfig
from data_pipelines.records.packing import DEFAULT_SEQUENCES_PER_ROW
from data_pipelines.vocabulary import create_vocab
from experiments.corpora import assembly, package_texts
from experiments.corpora.packages import Source
from experiments.corpora.staged_run import StagedRun

HOLDOUT = 0.02


class CheckpointRun(StagedRun):
    """The stages of `make checkpoint` in one local folder.

    Args:
        output_dir: the folder.
        config: the experiment of pre-training; the vocabulary has at most its `model.vocab_size` tokens.
        sources: the packages whose documentation is the corpus.
        corpus: glob patterns of your own text files instead, one sentence on each line.
        max_seq_length: the number of tokens in a row of the records.
        pack: whether a row to train on holds several sequences. A held-out row holds one, so that runs compare.

    Raises:
        FileNotFoundError: `corpus` matches no file.
        ValueError: `max_seq_length` does not fit the model, or the folder was begun with other settings.
    """

    def __init__(
        self,
        output_dir: str,
        config: PretrainingConfig,
        *,
        sources: Sequence[Source] = (),
        corpus: str | None = None,
        max_seq_length: int = 128,
        pack: bool = True,
    ) -> None:
        config.model.check_fits(config.model.vocab_size, max_seq_length)
        self.config = config
        self._sources = sources
        self._corpus = corpus
        self._length = max_seq_length
        self._pack = pack
        if corpus is not None:
            with renamed(patterns="corpus"):
                read_documents(corpus)
        settings = {"corpus": corpus, "vocab_size": config.model.vocab_size, "max_seq_length": max_seq_length}
        super().__init__(output_dir, settings | {"pack": pack}, unnamed={"pack": False})
        self.stages = {
            "corpus": (self.path("corpus", assembly.HELD_OUT_FILE), self.write_corpus),
            "vocabulary": (self.path("vocab.txt"), self.write_vocabulary),
            "records": (
                self.path("records", MANIFEST_FILE),
                lambda: self.write_records("records", assembly.TRAIN_FILE, pack=self._pack),
            ),
            "held-out records": (
                self.path("heldout", MANIFEST_FILE),
                lambda: self.write_records("heldout", assembly.HELD_OUT_FILE, pack=False),
            ),
        }

    def plan(self) -> list[str]:
        """Return a line for each stage that says whether its files are complete."""
        return [*super().plan(), f"pre-training: {self.config.train.num_steps} steps in {self.path('run')}"]

    def run(self) -> dict[str, Any]:
        """Run the stages that are not complete, then pre-train, and return the metrics of the held-out documents.

        Raises:
            ValueError: the text is too small, or as `pretrain`.
            OSError: a file cannot be written.
        """
        self.run_stages()
        print("\n== pre-training", flush=True)
        return self.pretrain()

    def write_corpus(self) -> None:
        """Write train.txt, then heldout.txt, from packages or from the files of `corpus`."""
        folder = self.path("corpus")
        if self._corpus is None:
            print(assembly.table(assembly.assemble(self._sources, folder, package_texts.english, holdout=HOLDOUT)))
            return
        files.make_folder(folder)
        for name, wanted in ((assembly.TRAIN_FILE, False), (assembly.HELD_OUT_FILE, True)):
            documents = renamed_items(read_documents(self._corpus), patterns="corpus")
            chosen = (document for document in documents if is_held_out(document, HOLDOUT) == wanted)
            print(f"{name}: {write_documents(chosen, os.path.join(folder, name))}")

    def write_vocabulary(self) -> None:
        """Learn the vocabulary from the training text."""
        size = self.config.model.vocab_size
        create_vocab(self._documents(assembly.TRAIN_FILE), size, output=self.path("vocab.txt"))

    def write_records(self, folder: str, text: str, *, pack: bool) -> None:
        """Write the records of one of the corpus's files."""
        from bert_tf.tokenization.wordpiece import WordPieceTokenizer

        manifest = create_pretraining_data(
            self._documents(text),
            WordPieceTokenizer(self.path("vocab.txt")),
            self.path(folder),
            config=PreparationConfig(
                max_seq_length=self._length,
                max_sequences_per_row=DEFAULT_SEQUENCES_PER_ROW if pack else 1,
                seed=self.config.train.seed,
            ),
            num_workers=0,
        )
        print(manifest.statistics)

    def pretrain(self) -> dict[str, Any]:
        """Pre-train, or continue to, and return the metrics of the held-out documents."""
        from bert_tf.training.choose_engine import make_engine
        from bert_tf.training.pretraining import pretrain
        from experiments.pretraining import open_records

        train, held_out = open_records([self.path("records")], [self.path("heldout")])
        return pretrain(
            self.config, train, held_out, run_dir=self.path("run"), engine=make_engine(strategy="one_device")
        )

    def _documents(self, name: str) -> Any:
        documents: Any = read_documents(self.path("corpus", name))
        return documents
