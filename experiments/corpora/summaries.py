"""Write pairs of a description and its summary, from the docstrings of the installed packages.

    python -m experiments.corpora.summaries --output_dir pairs/summaries
    bert-tf finetune --config summarization --train_file pairs/summaries/train.jsonl ...

The summary is the first paragraph of a docstring, where that is one sentence; the description is the rest of its prose.
Source files are parsed, never run. Pairs are split by package. README.md in this folder has the numbers.
"""

from collections.abc import Iterator, Sequence

from absl import flags

from bert_tf.utils import json_text, launching
from data_pipelines.corpora import docstring_prose
from data_pipelines.corpora.documentation import installed_docstrings
from experiments.corpora import pairs
from experiments.corpora.pairs import Pair

_SUMMARY_WORDS = range(4, 31)
_SOURCE_WORDS = range(20, 401)


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("output_dir", None, "The folder of train.jsonl, eval.jsonl and test.jsonl.", required=True)
    flags.DEFINE_list("packages", [], "The packages to read; by default all that are installed, and python.")
    flags.DEFINE_float("holdout", 0.05, "The share of pairs for each of eval.jsonl and test.jsonl.", 0.0, 0.4)


def pair_of(package: str, docstring: str) -> Iterator[Pair]:
    """Yield the pair of a docstring, if it has one."""
    summary, *rest = docstring_prose.paragraphs(docstring) or [[]]
    # The first prose of a docstring is no summary where something else precedes it.
    is_first = bool(summary) and summary[0].split()[:1] == docstring.split(None, 1)[:1]
    text = " ".join(sentence for paragraph in rest for sentence in paragraph)
    if (
        is_first
        and len(summary) == 1
        and len(summary[0].split()) in _SUMMARY_WORDS
        and len(text.split()) in _SOURCE_WORDS
    ):
        yield Pair(package, text, summary[0])


def main(_: Sequence[str]) -> None:
    """Read the flags and the docstrings, write the pairs, and print their numbers."""
    values = flags.FLAGS
    docstrings = installed_docstrings(values.packages or None)
    found = (pair for package, docstring in docstrings for pair in pair_of(package, docstring))
    print(json_text.dumps(pairs.write(found, values.output_dir, values.holdout), indent=2))


if __name__ == "__main__":
    launching.run(main, define_flags)
