"""The training of a vocabulary, compared with Hugging Face's `BertWordPieceTokenizer.train` on one core.

    python -m experiments.benchmarks.create_vocab --work_dir /tmp/vocabulary --output create_vocab.json

Without --input, the text is the documentation of the installed Python packages. README.md in this folder gives the
results.
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

# It uses its own lower-casing and cutting into words and its defaults, but this project's size and minimum frequency.
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
    return [*module, f"--input={text}", f"--output={vocab_file}", f"--vocab_size={flags.FLAGS.vocab_size}"]


def _peer_command(text: str, vocab_file: str) -> list[str]:
    return [sys.executable, "-c", _PEER, text, vocab_file, str(flags.FLAGS.vocab_size)]


def define_flags() -> None:
    """Define the flags of the benchmark."""
    flags.DEFINE_string("work_dir", None, "The local folder for text and vocabularies.", required=True)
    flags.DEFINE_string("input", None, "The text, one sentence on each line, with blank lines between documents.")
    flags.DEFINE_float("megabytes", 20.0, "The megabytes of text that each learns from.", lower_bound=0.01)
    flags.DEFINE_integer("vocab_size", 30522, "Tokens at most.", lower_bound=1)
    flags.DEFINE_integer("rounds", 3, "The number of turns of each implementation.", lower_bound=1)
    flags.DEFINE_integer(
        "repetitions", 5, "The number of copies of the text with which memory is measured.", lower_bound=2
    )
    flags.DEFINE_string("output", None, "The JSON file for all measurements.")


def main(_: Sequence[str]) -> None:
    """Let both learn from the same text in turns, then this project from several copies of the text."""
    values = flags.FLAGS
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # child processes use the same core
    corpus = values.input
    if corpus is None:
        corpus = os.path.join(values.work_dir, "corpus.txt")
        if not files.exists(corpus):
            write_documents([module.document for module in python_documentation()], corpus)
    text = os.path.join(values.work_dir, "text.txt")
    preparation_race.write_text(corpus, text, values.megabytes)
    commands = {"ours": _our_command, "hugging_face": _peer_command}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    contents: dict[str, set[str]] = {name: set() for name in commands}
    for _round in range(values.rounds):
        for name, command in commands.items():
            vocab_file = os.path.join(values.work_dir, f"{name}.txt")
            runs[name].append(preparation_race.measure(command(text, vocab_file)))
            contents[name].add(files.read_text(vocab_file))
    results: dict[str, object] = {"megabytes": os.path.getsize(text) / 1e6, "rounds": values.rounds}
    for name, found in runs.items():
        medians = {key: statistics.median(taken[key] for taken in found) for key in found[0]}
        results[name] = medians | {"different_vocabularies": len(contents[name])}
    # The flag takes the same file several times only under different names.
    names = [os.path.join(values.work_dir, f"copy{number}.txt") for number in range(values.repetitions)]
    for copy in names:
        files.write_text(copy, files.read_text(text))
    repeated = preparation_race.measure(_our_command(",".join(names), os.path.join(values.work_dir, "ours.txt")))
    results["ours_repeated"] = {"repetitions": values.repetitions} | repeated
    print(json.dumps(results, indent=2))
    if values.output:
        files.write_json(values.output, results)


if __name__ == "__main__":
    run(main, define_flags)
