"""Assemble a corpus of Chinese prose from the documentation that packages hold.

    python -m experiments.corpora.chinese --output_dir corpora/chinese

The packages are those of chinese_sources.tsv, which names their licences. The texts belong to their authors, and are
not part of this project. Debian's need apt-get and dpkg-deb (after apt-get update); nothing is installed. Run the same
command again after an interruption: downloads and finished packages are kept. README.md in this folder has the sizes.
"""

import os
from collections.abc import Sequence

from absl import flags

from bert_tf.utils import launching
from experiments.corpora import assembly, corpus_flags, package_texts, packages

SOURCES = os.path.join(os.path.dirname(__file__), "chinese_sources.tsv")


def define_flags() -> None:
    """Define the flags of this command."""
    corpus_flags.define()


def main(_: Sequence[str]) -> None:
    """Read the flags, assemble the corpus, and print its sources."""
    rows = assembly.assemble(
        packages.read_sources(flags.FLAGS.sources or SOURCES),
        extract=package_texts.chinese,
        **corpus_flags.arguments(flags.FLAGS),
    )
    print(assembly.table(rows))
    corpus = os.path.join(flags.FLAGS.output_dir, assembly.TRAIN_FILE)
    launching.suggest(f"bert-tf create-vocab --input {corpus} --vocab_size 16000 --output vocab.txt")


if __name__ == "__main__":
    launching.run(main, define_flags)
