"""Write pairs of English messages and their translations, from the catalogues of packages.

    python -m experiments.corpora.translations --output_dir pairs/zh
    bert-tf finetune --config translation --train_file pairs/zh/train.jsonl ...

The packages are those of translation_sources.tsv, which names their licences. The texts belong to their authors, and
are not part of this project. Debian's need apt-get and dpkg-deb (after apt-get update); nothing is installed.
Catalogues are `.po` and `.mo` files in the folders of the languages; they need polib (`pip install
'bert_tf[generation]'`). Pairs are split by package. README.md in this folder has the numbers.
"""

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import flags

from bert_tf.utils import json_text, launching
from bert_tf.utils.progress import progress_bar
from data_pipelines.finetuning.catalogues import read_catalogue
from experiments.corpora import packages, pairs
from experiments.corpora.pairs import Pair

SOURCES = os.path.join(os.path.dirname(__file__), "translation_sources.tsv")
_WORDS = range(3, 61)
# The letter of a menu's key: `_File`, `&File`, and behind the text where no letter of it is the key.
_KEY = re.compile(r"\((?:_|&)\w\)|(?<!\w)[_&](?=\w)|(?<=\w)[&](?=\w)")


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("output_dir", None, "The local folder for downloads and the pairs.", required=True)
    flags.DEFINE_string("sources", None, "A table of packages to take instead of the command's own.")
    flags.DEFINE_list("languages", ["zh_CN", "zh_Hans"], "The names of the language's folders.")
    flags.DEFINE_float("holdout", 0.05, "The share of pairs for each of eval.jsonl and test.jsonl.", 0.0, 0.4)


def catalogues(folder: Path, languages: Sequence[str]) -> list[Path]:
    """Return the catalogues of the languages below a folder, sorted by path."""
    found = [path for suffix in ("po", "mo") for path in folder.rglob(f"*.{suffix}") if path.is_file()]
    return sorted(path for path in found if {path.stem, *path.relative_to(folder).parts} & set(languages))


def pairs_of(package: str, folder: Path, languages: Sequence[str]) -> Iterator[Pair]:
    """Yield the pairs of the catalogues below a folder that are phrases or sentences."""
    for path in catalogues(folder, languages):
        for example in read_catalogue(str(path)):
            source, target = (_KEY.sub("", text or "").strip() for text in (example.text, example.target))
            if len(source.split()) in _WORDS and target and target != source:
                yield Pair(package, source, target)


def main(_: Sequence[str]) -> None:
    """Read the flags, fetch and read the packages, write the pairs, and print their numbers."""
    values = flags.FLAGS
    found: list[Pair] = []
    for source in progress_bar(packages.read_sources(values.sources or SOURCES), label="Reading", unit="package"):
        package = packages.fetch(source, Path(values.output_dir, "downloads"))
        with tempfile.TemporaryDirectory() as folder:
            packages.unpack(package, Path(folder))
            found += pairs_of(source.name, Path(folder), values.languages)
    print(json_text.dumps(pairs.write(found, values.output_dir, values.holdout), indent=2))


if __name__ == "__main__":
    launching.run(main, define_flags)
