"""Sources and targets from tables and from parallel files of lines."""

import gzip
import json

import pytest

from bert_tf.configs.tasks import Seq2SeqConfig
from bert_tf.examples import Seq2SeqExample
from data_pipelines.finetuning.in_memory import examples_of, items_of
from data_pipelines.finetuning.labelled import read_examples

CONFIG = Seq2SeqConfig()
EXAMPLES = [Seq2SeqExample("ein Boot", "a boat"), Seq2SeqExample("der Fluss", "the river")]


def test_tables_and_parallel_files_hold_the_same_examples(tmp_path):
    rows = [{"source": example.text, "target": example.target} for example in EXAMPLES]
    (tmp_path / "a.tsv").write_text("source\ttarget\n" + "".join(f"{r['source']}\t{r['target']}\n" for r in rows))
    (tmp_path / "a.csv").write_text("source,target\n" + "".join(f"{r['source']},{r['target']}\n" for r in rows))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "a.de").write_text("".join(f"{r['source']}\n" for r in rows))
    (tmp_path / "a.en.gz").write_bytes(gzip.compress("".join(f"{r['target']}\n" for r in rows).encode()))
    names = [str(tmp_path / f"a.{suffix}") for suffix in ("tsv", "csv", "jsonl")]
    for path in [*names, f"{tmp_path}/a.de,{tmp_path}/a.en.gz"]:
        assert read_examples(path, CONFIG).examples == EXAMPLES, path
        unlabelled = [example.without_label() for example in EXAMPLES]
        assert read_examples(path, CONFIG, labelled=False).examples == unlabelled, path
    (tmp_path / "a.txt").write_text((tmp_path / "a.de").read_text())
    assert read_examples(str(tmp_path / "a.txt"), CONFIG, labelled=False).examples == unlabelled


def test_columns_and_groups_have_names(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("article\tsummary\tpage\na b\tc\tp1\n")
    config = CONFIG.replace(source_column="article", target_column="summary", group_column="page")
    [example] = read_examples(str(path), config).examples
    assert example == Seq2SeqExample("a b", "c", "p1")
    assert example.source == f"{path}, line 2"


def test_an_example_may_have_several_targets(tmp_path):
    expected = [
        Seq2SeqExample("ein Boot", "a boat", other_targets=("one boat",)),
        Seq2SeqExample("der Fluss", "the river", other_targets=("that river",)),
    ]
    lists = [{"source": example.text, "target": example.references} for example in expected]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lists))
    lines = [f"{example.text}\t{example.target}\t{example.other_targets[0]}\n" for example in expected]
    (tmp_path / "a.tsv").write_text("source\ttarget\tsecond\n" + "".join(lines))
    for number, name in enumerate(("a.de", "a.en", "b.en")):
        texts = [(example.text, *example.references)[number] for example in expected]
        (tmp_path / name).write_text("".join(f"{text}\n" for text in texts))
    with_column = CONFIG.replace(reference_columns=("second",))
    for path, config in {
        f"{tmp_path}/a.jsonl": CONFIG,
        f"{tmp_path}/a.tsv": with_column,
        f"{tmp_path}/a.de,{tmp_path}/a.en,{tmp_path}/b.en": CONFIG,
    }.items():
        assert read_examples(path, config).examples == expected, path
        alone = [example.without_label() for example in expected]
        assert read_examples(path, config, labelled=False).examples == alone, path
    assert examples_of(items_of("train", expected, CONFIG), CONFIG).examples == expected
    (tmp_path / "b.jsonl").write_text('{"source": "a", "target": ["b", "c"]}\n{"source": "d", "target": ["e"]}\n')
    assert [example.references for example in read_examples(f"{tmp_path}/b.jsonl", CONFIG).examples] == [
        ("b", "c"),
        ("e",),
    ]


def test_the_turns_of_a_dialogue_are_targets(tmp_path):
    config = CONFIG.replace(turns_column="turns")
    path = tmp_path / "a.jsonl"
    path.write_text('{"turns": ["Hi.", " Hello. ", "Bye."]}\n{"turns": ["a", "b"]}\n{"source": "c", "target": "d"}\n')
    assert read_examples(str(path), config).examples == [
        Seq2SeqExample("Hi.", "Hello.", "0"),
        Seq2SeqExample("Hi. [SEP] Hello.", "Bye.", "0"),
        Seq2SeqExample("a", "b", "1"),
        Seq2SeqExample("c", "d"),
    ]
    path.write_text('{"turns": ["Hi.", "Hello."], "page": "p"}\n{"turns": ["a"], "page": "q"}\n')
    unlabelled = read_examples(str(path), config.replace(group_column="page"), labelled=False).examples
    assert unlabelled == [Seq2SeqExample("Hi. [SEP] Hello.", group="p"), Seq2SeqExample("a", group="q")]
    for text, message in {
        '{"turns": ["a"]}': r"a.jsonl, line 1, column 'turns': must be a list of at least 2 turns",
        '{"turns": ["a", " "]}': r"a.jsonl, line 1, column 'turns': .* not empty",
        '{"turns": "a"}': r"a.jsonl, line 1, column 'turns': must be a list",
        '{"turn": ["a", "b"]}': r"a.jsonl, line 1: must have a column 'turns'",
    }.items():
        path.write_text(text + "\n")
        with pytest.raises(ValueError, match=message):
            read_examples(str(path), config)


def test_questions_are_targets_of_their_answer_and_context(tmp_path):
    answers = [{"text": "a boat ", "answer_start": 10}, {"text": "boat", "answer_start": 12}]
    questions = [
        {"id": "q1", "question": "What is it? ", "answers": answers},
        {"id": "q2", "question": "Why?", "answers": [], "is_impossible": True},
    ]
    squad = {"data": [{"title": "Boats", "paragraphs": [{"context": "He saw it a boat .", "qas": questions}]}]}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(squad))
    expected = Seq2SeqExample("a boat [SEP] He saw it a boat .", "What is it?", "Boats")
    assert read_examples(str(path), CONFIG).examples == [expected]
    assert read_examples(str(path), CONFIG, labelled=False).examples == [expected.without_label()]
    squad["data"][0]["paragraphs"][0]["qas"] = questions[1:]
    path.write_text(json.dumps(squad))
    with pytest.raises(ValueError, match=r"at least one example. Received: '.*a.json', which has none"):
        read_examples(str(path), CONFIG)


def test_bad_files_are_named(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    sources, short = write("s.txt", "a\nb\n"), write("t.txt", "c\n")
    empty, gap = write("e.txt", ""), write("g.txt", "a\n\n")
    for path, message in {
        write("a.tsv", "source\ttarget\na\t\n"): r"a.tsv, line 2, column 'target': must not be empty",
        write("b.tsv", "source\ttarget\n\tb\n"): r"b.tsv, line 2, column 'source': must not be empty",
        write("c.tsv", "source\tgoal\na\tb\n"): r"c.tsv, line 2.*'target'",
        write("d.tsv", "source\ttarget\n"): r"`path` must name a file with at least one example",
        f"{sources},{short}": r"files with as many lines. Received: numbers of lines 2 in .*s.txt, 1 in .*t.txt",
        f"{sources},{sources},{short}": r"as many lines. Received: numbers of lines 2 in .*, 2 in .*, 1 in",
        write("a.jsonl", '{"source": "a", "target": []}\n'): r"a.jsonl, line 1, column 'target': .* at least one text",
        write("b.jsonl", '{"source": "a", "target": ["b", " "]}\n'): r"b.jsonl, line 1, .* none of them empty",
        write("c.jsonl", '{"source": "a", "target": [1]}\n'): r"c.jsonl, line 1, column 'target': must be a text, or",
        f"{sources},{gap}": r"g.txt, line 2: must not be empty",
        f"{empty},{empty}": r"`path` must name a file with at least one example",
        sources: r"`path` must name two text files, SOURCES,TARGETS, or a table with columns 'source' and 'target'",
    }.items():
        with pytest.raises(ValueError, match=message):
            read_examples(path, CONFIG)
    path = write("f.tsv", "source\ttarget\tsecond\na\tb\tc\nd\te\t\n")
    with pytest.raises(ValueError, match=r"f.tsv, line 3, column 'second': must not be empty"):
        read_examples(path, CONFIG.replace(reference_columns=("second",)))
    with pytest.raises(FileNotFoundError, match=r"`path` must name files that exist.*without '.*none.txt'"):
        read_examples(f"{sources},{tmp_path}/none.txt", CONFIG)
