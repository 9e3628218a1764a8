"""Write how likely each text of a file is to a masked language model, and print the perplexity of all.

```bash
bert-tf likelihood --model_dir run --input texts.txt --output likelihoods.jsonl
```
"""

import math
from collections.abc import Sequence
from typing import Any

from absl import flags

from bert_tf.utils import files, json_text, launching
from bert_tf.utils.arguments import renamed


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string(
        "model_dir", None, "A pre-trained run, or published weights with a masked-LM head.", required=True
    )
    flags.DEFINE_string("input", None, "A text file with one text a line (.txt), or a table.", required=True)
    flags.DEFINE_string("output", None, "The file to write: one JSON object a line.", required=True)
    flags.DEFINE_string("text_column", None, "The column of the texts in a table; text by default.")
    flags.DEFINE_enum(
        "mask",
        "token",
        ["token", "word_l2r", "whole_word"],
        "What is masked while a token is scored: the token, the rest of its word too, or its whole word.",
    )
    flags.DEFINE_bool("tokens", False, "Whether to write the log-likelihood of each token too.")
    flags.DEFINE_integer("batch_size", 128, "The number of rows to compute at a time.", lower_bound=1)


def main(_: Sequence[str]) -> None:
    """Read the flags and the texts, and write their log-likelihoods."""
    from bert_tf.serving.methods.likelihood import log_likelihoods
    from bert_tf.serving.predictor import load
    from experiments.prediction_inputs import check_paths, read_inputs

    values = flags.FLAGS
    check_paths(values.input, values.output)
    with renamed(path="model_dir"):
        predictor = load(values.model_dir, batch_size=values.batch_size)
    predictor.log_likelihood([])  # a wrong model is refused before the file is read
    columns = {"text_column": values.text_column} if values.text_column else {}
    texts = [example.text for example in read_inputs(values.input, predictor, columns)]
    answers = list(log_likelihoods(predictor, texts, mask=values.mask, tokens=values.tokens))
    lines = (json_text.dumps(_line(text, answer)) + "\n" for text, answer in zip(texts, answers, strict=True))
    files.write_text(values.output, "".join(lines))
    total, num_tokens = (sum(answer[name] for answer in answers) for name in ("log_likelihood", "num_tokens"))
    perplexity = f", perplexity {math.exp(-total / num_tokens):.3f}" if num_tokens else ""
    print(f"{values.output}: {len(texts)} texts, {num_tokens} tokens{perplexity}")


def _line(text: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Return what is written for a text: the answer, and the mean that the experiment `sentence_score` learns."""
    mean = answer["log_likelihood"] / max(1, answer["num_tokens"])
    return {"text": text, "mean_log_likelihood": mean} | answer


if __name__ == "__main__":
    launching.run(main, define_flags)
