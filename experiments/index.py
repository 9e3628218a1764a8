"""Compute the vectors of passages once, for searches by `bert-tf search` or `Predictor.load_index`.

```bash
bert-tf index --model_dir run --passages texts.txt --output_dir passages_index
```
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from bert_tf.utils import files, launching
from bert_tf.utils.arguments import renamed

_TOGETHER = 8192


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("model_dir", None, "A run, an export, or published weights.", required=True)
    flags.DEFINE_string("task", None, "The task of published weights, if they do not say it, such as tagging.")
    flags.DEFINE_string(
        "passages", None, "A text file with one passage a line (.txt), a table, or JSON lines.", required=True
    )
    flags.DEFINE_string("text_column", "text", "The column of the passages; JSON lines keep their other fields.")
    flags.DEFINE_string("output_dir", None, "The folder of the index, new or empty.", required=True)
    flags.DEFINE_bool("overwrite", False, "Replace the index that --output_dir holds.")
    flags.DEFINE_enum("long_texts", "cut", ["cut", "windows"], "Cut long texts, or use the mean of their windows.")
    flags.DEFINE_enum("dtype", "float32", ["float32", "float16"], "The type of the stored vectors.")
    flags.DEFINE_bool("approximate", False, "Find near passages by a graph, which needs faiss.")
    flags.DEFINE_integer("batch_size", 32, "The number of rows to compute at a time.", lower_bound=1)


def main(_: Sequence[str]) -> None:
    """Read the flags and the passages, and write the index."""
    from bert_tf.serving.index import checked_passages
    from bert_tf.serving.index_files import check_free
    from bert_tf.serving.predictor import load
    from bert_tf.tasks.long_texts import CutReports
    from bert_tf.utils.progress import progress_bar

    values = flags.FLAGS
    output = values.output_dir.rstrip("/")
    with renamed(path="output_dir"):
        check_free(output, overwrite=values.overwrite)
    with renamed(folder="output_dir"):
        files.require_writable_folder(os.path.dirname(output) or ".")
    if not files.exists(values.passages):
        raise FileNotFoundError(f"--passages: no such file: {values.passages!r}")
    with renamed(path="model_dir"):
        predictor = load(values.model_dir, values.task, batch_size=values.batch_size)
    passages = checked_passages(_read(values.passages, values.text_column, predictor))
    cut = CutReports()
    with progress_bar(label="indexing", unit="passage", total=len(passages)) as bar, cut.collecting():
        index = predictor.index(
            passages[:_TOGETHER],
            long_texts=values.long_texts,
            dtype=values.dtype,
            approximate=values.approximate,
        )
        bar.update(len(index))
        for start in range(_TOGETHER, len(passages), _TOGETHER):
            some = passages[start : start + _TOGETHER]
            index.add(some)
            bar.update(len(some))
    cut.report()
    with renamed(path="output_dir"):
        index.save(output, overwrite=values.overwrite)
    print(f"{output}: {len(index)} passages")
    launching.suggest(f"bert-tf search --model_dir {values.model_dir} --index_dir {output} --queries ... --output ...")


def _read(path: str, text_column: str, predictor: Any) -> list[str | Mapping[str, Any]]:
    from data_pipelines.finetuning.tables import suffix_of
    from experiments.prediction_inputs import read_inputs

    if suffix_of(path) != ".jsonl":
        columns = {} if suffix_of(path) == ".txt" else {"text_column": text_column}
        with renamed(input="passages"):
            return [example.text for example in read_inputs(path, predictor, columns, embed=True)]
    passages: list[str | Mapping[str, Any]] = []
    for source, values in files.iterate_json_objects(path):
        if not isinstance(values.get(text_column), str):
            raise ValueError(f"{source}: `text_column` {text_column!r} must be a text. Received: {values!r:.100}")
        others = {name: value for name, value in values.items() if name != text_column}
        if "text" in others:
            raise ValueError(f"{source}: must have no field 'text' beside `text_column`. Received: {text_column!r}")
        passages.append({"text": values[text_column]} | others)
    return passages


if __name__ == "__main__":
    launching.run(main, define_flags)
