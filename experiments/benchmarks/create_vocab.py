"""The training of a vocabulary beside Hugging Face's `BertWordPieceTokenizer.train`, on the same text and one core.

    python -m experiments.benchmarks.create_vocab --work_dir /tmp/vocabulary --output create_vocab.json

Without --input the text is the documentation of the installed Python packages. What came out: README.md in this folder.
"""

import json
import os
import statistics
import sys
from collections.abc import Sequence

from absl import flags

from bert_tf.utils import files
from bert_tf.utils.launching import run
from data_pipelines.corpora.documentation import python_documentation
from data_pipelines.corpora.documents import write_documents
from experiments.benchmarks import preparation_race

WORK_DIR = flags.DEFINE_string("work_dir", None, "Local folder for text and vocabularies.", required=True)
INPUT = flags.DEFINE_string("input", None, "Text, one sentence a line, blank lines between documents.")
MEGABYTES = flags.DEFINE_float("megabytes", 20.0, "How much text each learns from.", lower_bound=0.01)
VOCAB_SIZE = flags.DEFINE_integer("vocab_size", 30522, "Tokens at most.", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 3, "How often each has its turn.", lower_bound=1)
REPETITIONS = flags.DEFINE_integer("repetitions", 5, "Memory is measured with the same text so often.", lower_bound=2)
OUTPUT = flags.DEFINE_string("output", None, "JSON file for all figures.")

# Its own lower-casing and cutting into words, its defaults, and the size and minimum frequency that this project has.
_PEER = """
import sys
from tokenizers import BertWordPieceTokenizer
text, output, vocab_size = sys.argv[1:]
tokenizer = BertWordPieceTokenizer(lowercase=True)
tokenizer.train([text], vocab_size=int(vocab_size), min_frequency=2, show_progress=False)
tokens = tokenizer.get_vocab()
with open(output, "w", encoding="utf-8") as file:
    file.writelines(token + "\\n" for token in sorted(tokens, key=tokens.get))
"""


def _our_command(text: str, vocab_file: str) -> list[str]:
    module = [sys.executable, "-P", "-m", "data_pipelines.create_vocab", "--num_workers=1"]
    return [*module, f"--input={text}", f"--output={vocab_file}", f"--vocab_size={VOCAB_SIZE.value}"]


def _peer_command(text: str, vocab_file: str) -> list[str]:
    return [sys.executable, "-c", _PEER, text, vocab_file, str(VOCAB_SIZE.value)]


def main(_: Sequence[str]) -> None:
    """Let both learn from the same text in turns, then this project from the same text several times over."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core, for the processes started here as well
    corpus = INPUT.value
    if corpus is None:
        corpus = os.path.join(WORK_DIR.value, "corpus.txt")
        if not files.exists(corpus):
            write_documents([module.document for module in python_documentation()], corpus)
    text = os.path.join(WORK_DIR.value, "text.txt")
    preparation_race.write_text(corpus, text, MEGABYTES.value)
    commands = {"ours": _our_command, "hugging_face": _peer_command}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    contents: dict[str, set[str]] = {name: set() for name in commands}
    for _round in range(ROUNDS.value):
        for name, command in commands.items():
            vocab_file = os.path.join(WORK_DIR.value, f"{name}.txt")
            runs[name].append(preparation_race.measure(command(text, vocab_file)))
            contents[name].add(files.read_text(vocab_file))
    figures: dict[str, object] = {"megabytes": os.path.getsize(text) / 1e6, "rounds": ROUNDS.value}
    for name, found in runs.items():
        medians = {key: statistics.median(taken[key] for taken in found) for key in found[0]}
        figures[name] = medians | {"different_vocabularies": len(contents[name])}
    # The flag takes a file several times only under several names.
    names = [os.path.join(WORK_DIR.value, f"copy{number}.txt") for number in range(REPETITIONS.value)]
    for copy in names:
        files.write_text(copy, files.read_text(text))
    repeated = preparation_race.measure(_our_command(",".join(names), os.path.join(WORK_DIR.value, "ours.txt")))
    figures["ours_repeated"] = {"repetitions": REPETITIONS.value} | repeated
    print(json.dumps(figures, indent=2))
    if OUTPUT.value:
        files.write_json(OUTPUT.value, figures)


if __name__ == "__main__":
    run(main)
