"""Re-rank n-best lists of a speech recognizer by a masked language model, and print the error rates.

```bash
bert-tf rescore --model_dir run --nbest hypotheses.jsonl --output rescored.jsonl
```

The winner of a list has the largest score + weight * log-likelihood + length weight * tokens. `auto` finds the weights
with the fewest errors on a part of the lists (--tune_share) or on lists of their own (--tune_nbest). The model is a
pre-trained one, or a regressor that was trained on its log-likelihoods and needs one pass a text (experiment
sentence_score).
"""

import os
from collections.abc import Sequence

from absl import flags

from bert_tf.utils import files, json_text, launching
from bert_tf.utils.arguments import renamed


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("model_dir", None, "A pre-trained run, a regressor, or published weights.", required=True)
    flags.DEFINE_string(
        "nbest", None, "The n-best lists: a file of JSON lines, or a folder of Kaldi or ESPnet.", required=True
    )
    flags.DEFINE_string("references", None, "A text file with lines UTTERANCE WORDS, if the lists have no references.")
    flags.DEFINE_string("output", None, "The file to write: one JSON object a list, the best first.", required=True)
    flags.DEFINE_string("weight", "auto", "The weight of the log-likelihood, or auto.")
    flags.DEFINE_string("length_weight", "auto", "The weight of the number of tokens, or auto.")
    flags.DEFINE_string("tune_nbest", None, "Other n-best lists with references, on which `auto` finds the weights.")
    flags.DEFINE_float(
        "tune_share", 0.5, "Without --tune_nbest, the share of the lists for `auto`.", lower_bound=0.0, upper_bound=1.0
    )
    flags.DEFINE_enum("metric", "wer", ["wer", "cer"], "The errors that `auto` reduces: those of words or characters.")
    flags.DEFINE_enum(
        "mask",
        "token",
        ["token", "word_l2r", "whole_word"],
        "What is masked while a token is scored: the token, the rest of its word too, or its whole word.",
    )
    flags.DEFINE_integer("batch_size", 128, "The number of rows to compute at a time.", lower_bound=1)


def main(_: Sequence[str]) -> None:
    """Read the flags and the lists, re-rank them, and print the table of error rates."""
    from bert_tf.serving.predictor import load
    from bert_tf.serving.rescoring import Settings, rescore
    from data_pipelines.nbest_lists import read_nbest_lists

    values = flags.FLAGS
    settings = Settings.parse(values.weight, values.length_weight, values.tune_share, values.metric, values.mask)
    with renamed(folder="output"):
        files.require_writable_folder(os.path.dirname(values.output) or ".")
    with renamed(path="nbest"):
        lists = read_nbest_lists(values.nbest, values.references)
    tuning = None
    if values.tune_nbest is not None:
        with renamed(path="tune_nbest"):
            tuning = read_nbest_lists(values.tune_nbest)
    settings.check(lists, tuning)
    with renamed(path="model_dir"):
        predictor = load(values.model_dir, batch_size=values.batch_size)
    rescored = rescore(predictor, lists, settings, tuning=tuning)
    files.write_text(values.output, "".join(json_text.dumps(line) + "\n" for line in rescored.lines))
    print(f"{values.output}: " + "\n".join(rescored.describe()))


if __name__ == "__main__":
    launching.run(main, define_flags)
