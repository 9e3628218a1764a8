"""The digest by which a run knows its examples again."""

import dataclasses

import pytest

from bert_tf.examples import (
    ChoiceExample,
    Examples,
    QuestionExample,
    RerankingExample,
    RetrievalExample,
    Seq2SeqExample,
    TaggedExample,
    TextExample,
)

EXAMPLES = {
    "text": TextExample("river", "boat", "ja", "g"),
    "tagged": TaggedExample("a river", ((0, 1), (2, 7)), ("O", "B-LOC"), "g"),
    "question": QuestionExample("who?", "the miller", "1", (("miller", 4),), True, "g"),
    "retrieval": RetrievalExample("river", "a boat", ("a mill",), "g"),
    "reranking": RerankingExample("river", ("a boat", "a mill"), (1.0, 0.0), "g"),
    "seq2seq": Seq2SeqExample("river", "a boat", "g", ("one boat",)),
    "choice": ChoiceExample("river", ("a boat", "a mill"), 1, "where?", "g"),
}
OTHER_VALUES = {
    "label": 1.5,
    "word_offsets": ((0, 1), (2, 6)),
    "tags": ("O", "O"),
    "answers": (("miller", 5),),
    "labelled": False,
    "negatives": (),
    "choices": ("a boat", "the mill"),
    "passages": ("a boat", "a road"),
    "relevances": (1.0, 2.0),
    "other_targets": (),
}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_every_field_but_the_source_changes_the_digest(example):
    digest = Examples([example], "a.tsv").digest()
    for field in dataclasses.fields(example):
        changed = dataclasses.replace(example, **{field.name: OTHER_VALUES.get(field.name, "other")})
        assert (Examples([changed], "a.tsv").digest() == digest) == (field.name == "source"), field.name


def test_the_order_counts_and_the_path_does_not():
    one, two = TextExample("river", label="a"), TextExample("boat", label="b")
    assert Examples([one, two], "a.tsv").digest() == Examples([one, two], "b.tsv.gz").digest()
    assert Examples([one, two], "a.tsv").digest() != Examples([two, one], "a.tsv").digest()
    swapped = [dataclasses.replace(one, label="b"), dataclasses.replace(two, label="a")]
    assert Examples([one, two], "a.tsv").digest() != Examples(swapped, "a.tsv").digest()
