"""`bert-tf index` and `bert-tf search`: the answers of the predictor, and bad input that ends them before the model."""

import json

import pytest
from launch_many import launch_many
from small_model import write_run

from bert_tf.serving.predictor import load

PASSAGES = ["the old miller", "a young sailor near the river", "the letter in the boat"]
QUERIES = ["a sailor", "the letter"]
INDEX = ["experiments.index", "--model_dir=run", "--output_dir=made"]
SEARCH = ["experiments.search", "--model_dir=run", "--queries=queries.tsv", "--text_column=query"]
COMMANDS = {
    "index": [*INDEX, "--passages=passages.jsonl", "--text_column=body"],
    "search": [*SEARCH, "--index_dir=made", "--output=found.jsonl", "--top_k=2"],
    "index again": [*INDEX, "--passages=passages.txt"],
    "index over it": [*INDEX, "--passages=passages.txt", "--overwrite", "--dtype=float16"],
    "no passages": ["experiments.index", "--model_dir=run", "--output_dir=other", "--passages=nothing.txt"],
    "no such field": ["experiments.index", "--model_dir=run", "--output_dir=other", "--passages=passages.jsonl"],
    "not an index": [*SEARCH, "--index_dir=run", "--output=other.jsonl"],
}
WRONG = {
    "index again": "error: --output_dir holds an index, which --overwrite replaces. Received: 'made'",
    "no passages": "error: --passages: no such file: 'nothing.txt'",
    "no such field": "error: passages.jsonl, line 1: --text_column 'text' must be a text. Received: {'body': ",
    "not an index": "error: --index_dir must be the folder of an index, with index.json. Received: 'run'",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands")
    write_run(folder / "run", "retrieval")
    lines = [json.dumps({"body": text, "id": f"p{number}"}) + "\n" for number, text in enumerate(PASSAGES)]
    (folder / "passages.jsonl").write_text("".join(lines))
    (folder / "passages.txt").write_text("".join(f"{text}\n" for text in PASSAGES))
    (folder / "queries.tsv").write_text("query\n" + "".join(f"{text}\n" for text in QUERIES))
    return folder


@pytest.fixture(scope="module")
def results(folder):
    return dict(zip(COMMANDS, launch_many(list(COMMANDS.values()), folder), strict=True))


def test_a_file_is_indexed_and_searched(results, folder):
    for name in ("index", "search", "index over it"):
        assert results[name].returncode == 0, results[name].stderr
    predictor = load(str(folder / "run"))
    found = [json.loads(line) for line in (folder / "found.jsonl").read_text().splitlines()]
    assert [line["query"] for line in found] == QUERIES
    for line, nearest in zip(found, predictor.search(QUERIES, PASSAGES, 2), strict=True):
        expected = [
            answer | {"id": f"p{answer['index']}", "score": pytest.approx(answer["score"])} for answer in nearest
        ]
        assert line["passages"] == expected
    replaced = predictor.load_index(str(folder / "made"))
    assert (len(replaced), replaced.dtype) == (3, "float16")


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_reported_in_one_line(results, folder, name):
    assert results[name].returncode == 2
    assert results[name].stderr.splitlines()[-1].startswith(WRONG[name])
    assert not {"other", "other.jsonl"} & {path.name for path in folder.iterdir()}
