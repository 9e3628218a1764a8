"""`bert-tf mine-negatives`, `rerank` and `search --reranker`: what the library gives, and bad input."""

import json

import pytest
from launch_many import launch_many
from small_model import write_run

from bert_tf.configs.tasks import RerankingConfig, RetrievalConfig
from bert_tf.serving.predictor import load
from data_pipelines import trec
from data_pipelines.finetuning.labelled import read_examples

TEXTS = {"d1": "the old miller", "d2": "a young sailor near the river", "d3": "the letter in the boat", "d4": "a road"}
QUERIES = {"q1": "a sailor", "q2": "the letter"}
RUN = "q1 Q0 d1 1 3 bm25\nq1 Q0 d3 2 2 bm25\nq1 Q0 d2 3 1 bm25\nq2 Q0 d4 1 0.5 bm25\nq2 Q0 d3 2 0.25 bm25\n"
QRELS = "q1 0 d2 1\nq2 0 d3 2\nq2 0 d4 0\n"
TREC = ["--queries=queries.tsv", "--collection=collection.tsv", "--qrels=qrels"]
RERANK = ["experiments.rerank", "--model_dir=reranker", *TREC[:2]]
MINE = ["experiments.mine_negatives"]
SEARCH = [
    "experiments.search",
    "--model_dir=retriever",
    "--index_dir=index",
    "--queries=asked.tsv",
    "--text_column=query",
]
COMMANDS = {
    "rerank": [*RERANK, "--run=run", "--qrels=qrels", "--output=reranked.trec", "--depth=2", "--tag=mine"],
    "mine run": [*MINE, "--run=run", *TREC, "--output=from_run.jsonl", "--num_negatives=1"],
    "mine": [*MINE, "--data=pairs.tsv", "--model_dir=retriever", "--output=mined.jsonl"],
    "search": [*SEARCH, "--output=found.jsonl", "--reranker=reranker", "--top_k=2", "--candidates=3"],
    "search run": [*SEARCH, "--output=found.trec", "--top_k=3"],
    "no ids": [*SEARCH, "--output=other.trec", "--id_column=name"],
    "unknown document": [*RERANK, "--run=unknown", "--output=other.trec"],
    "no reranker": [*SEARCH, "--output=other.jsonl", "--reranker=retriever"],
    "half a run": [*MINE, "--run=run", "--output=other.jsonl"],
    "no run": [*RERANK, "--run=nothing", "--output=other.trec"],
}
WRONG = {
    "no ids": "error: asked.tsv, line 2: must have a column 'name'",
    "unknown document": "error: unknown, line 1: the id must be one of 'collection.tsv'. Received: 'd9'",
    "no reranker": "error: `rerank` needs a model for reranking. Received: retriever, a model for encoder",
    "half a run": "error: --data and --model_dir must be given, or --run, --queries, --collection and --qrels. ",
    "no run": "error: --run: no such file: 'nothing'",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands")
    write_run(folder / "retriever", "retrieval")
    write_run(folder / "reranker", "reranking")
    passages = [{"text": text, "id": name} for name, text in TEXTS.items()]
    load(str(folder / "retriever")).index(passages).save(str(folder / "index"))
    files = {
        "collection.tsv": "".join(f"{name}\t{text}\n" for name, text in TEXTS.items()),
        "queries.tsv": "".join(f"{name}\t{text}\n" for name, text in QUERIES.items()),
        "asked.tsv": "id\tquery\n" + "".join(f"{name}\t{text}\n" for name, text in QUERIES.items()),
        "pairs.tsv": "query\tpassage\na sailor\ta young sailor near the river\nthe letter\tthe letter in the boat\n",
        "run": RUN,
        "qrels": QRELS,
        "unknown": "q1 Q0 d9 1 3 bm25\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def results(folder):
    return dict(zip(COMMANDS, launch_many(list(COMMANDS.values()), folder), strict=True))


def test_the_first_documents_of_a_run_are_ordered_anew(results, folder):
    assert results["rerank"].returncode == 0, results["rerank"].stderr
    reranker = load(str(folder / "reranker"))
    first, second = trec.iterate_run(str(folder / "reranked.trec"))
    names = ["d1", "d3"]
    expected = reranker.rerank(QUERIES["q1"], [TEXTS[name] for name in names])
    assert first.documents == [*(names[each["index"]] for each in expected), "d2"], "the third stays the third"
    assert first.scores[:2] == pytest.approx([each["score"] for each in expected], abs=1e-6)
    assert first.scores[2] < first.scores[1]
    assert second.query == "q2"
    assert (folder / "reranked.trec").read_text().endswith(" mine\n")
    lines = {line.split()[0]: line.split()[1:] for line in results["rerank"].stdout.splitlines()[1:] if line.strip()}
    assert lines["mrr_at_10"][0] == f"{(1 / 3 + 1 / 2) / 2:.4f}"


def test_negatives_are_mined_from_a_run_and_by_a_model(results, folder):
    for name in ("mine run", "mine"):
        assert results[name].returncode == 0, results[name].stderr
    rows = [json.loads(line) for line in (folder / "from_run.jsonl").read_text().splitlines()]
    assert rows == [
        {"query": "a sailor", "passage": TEXTS["d2"], "negatives": [TEXTS["d1"]]},
        {"query": "the letter", "passage": TEXTS["d3"], "negatives": [TEXTS["d4"]]},
    ]
    mined = str(folder / "mined.jsonl")
    pairs = read_examples(mined, RetrievalConfig(num_negatives=1)).examples
    assert [(pair.query, len(pair.negatives)) for pair in pairs] == [("a sailor", 1), ("the letter", 1)]
    groups = read_examples(mined, RerankingConfig()).examples
    assert [group.relevances for group in groups] == [(1.0, 0.0)] * 2


def test_a_search_is_ordered_by_a_reranker_or_written_as_a_run(results, folder):
    for name in ("search", "search run"):
        assert results[name].returncode == 0, results[name].stderr
    retriever, reranker = (load(str(folder / name)) for name in ("retriever", "reranker"))
    index = retriever.load_index(str(folder / "index"))
    queries = list(QUERIES.values())
    found = [json.loads(line)["passages"] for line in (folder / "found.jsonl").read_text().splitlines()]
    nearest = index.search(queries, 3)
    for query, passages, near in zip(queries, found, nearest, strict=True):
        expected = reranker.rerank(query, [each["passage"] for each in near], 2)
        assert [each["passage"] for each in passages] == [each["passage"] for each in expected]
        assert [each["score"] for each in passages] == pytest.approx([each["score"] for each in expected], abs=1e-6)
        assert all(TEXTS[each["id"]] == each["passage"] for each in passages)
    run = list(trec.iterate_run(str(folder / "found.trec")))
    assert [each.documents for each in run] == [[one["id"] for one in near] for near in nearest]
    with pytest.raises(ValueError, match=r"`candidates` must be at least `top_k`, 5\. Received: 3"):
        index.search(queries, 5, reranker=reranker, candidates=3)


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_reported_in_one_line(results, folder, name):
    assert results[name].returncode == 2
    assert results[name].stderr.splitlines()[-1].startswith(WRONG[name])
    assert not {"other.trec", "other.jsonl"} & {path.name for path in folder.iterdir()}
