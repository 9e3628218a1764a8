"""Schemes are found in the tags, and give the spans of conlleval and, strictly, those of seqeval."""

import pytest

from bert_tf.configs.tag_schemes import TAG_SCHEMES, tag_scheme_named
from bert_tf.scoring.tag_schemes import scheme_of, unreadable_tags

PENN = ["NN", "VB", "PRP$", "``", "-LRB-", ".", "IN", "O"]
UNIVERSAL = ["ADJ", "ADP", "NOUN", "PROPN", "PUNCT", "SYM", "X"]


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ("B-x I-y", "iob"),
        ("B_x I_y", "iob"),
        ("B-x", "iob"),
        ("I-x I-y", "io"),
        ("I-x E-x", "ioe"),
        ("E-x", "ioe"),
        ("B-x E-x S-x", "iobes"),
        ("B-x I-x E-x", "iobes"),
        ("S-x", "iobes"),
        ("B-x I-x L-x U-x", "bilou"),
        ("U_x", "bilou"),
        ("B-x M-x E-x S-x", "bmes"),
        ("M-x S-x", "bmes"),
        ("B-x M-x E-x W-x", "bmewo"),
        ("B I", "iob"),
        ("B M E S", "bmes"),
        ("B I L U", "bilou"),
        ("x-B x-I", "iob"),
        ("x_B x_M x_E x_S", "bmes"),
        ("B-S I-S", "iob"),  # the letter comes first where both notations are possible
        ("P-B P-I", "iob"),
        ("U L", "none"),  # letters alone need a B or an I
        ("NOUN_S VERB_S", "none"),  # and so do letters behind
        ("B-x I-x L-x S-x", "none"),
        ("B-x I-x X", "none"),
        ("b-x i-x", "none"),
        (" ".join(PENN), "none"),
        (" ".join(UNIVERSAL), "none"),
        ("IN B", "none"),
    ],
)
def test_the_scheme_is_found_in_the_tags(tags, name):
    for outside in ([], ["O"]):
        scheme = scheme_of([*tags.split(), *outside])
        assert (scheme.name, scheme.marks_spans) == (name, name != "none")
        assert scheme.types == sorted({type_ for letter, type_ in scheme.meanings.values() if letter != "O"})


def test_types_are_named_in_order():
    assert scheme_of(["B-b", "I-b", "U-a", "L-c-d", "O"]).types == ["a", "b", "c-d"]


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        (["B-PER", "I-PER", "O", "B-LOC"], [("PER", 0, 2), ("LOC", 3, 4)]),
        (["I-PER", "I-PER", "B-PER", "O"], [("PER", 0, 2), ("PER", 2, 3)]),  # IOB1
        (["S-LOC", "B-ORG", "I-ORG", "E-ORG", "S-LOC"], [("LOC", 0, 1), ("ORG", 1, 4), ("LOC", 4, 5)]),
        (["B-PER", "I-LOC", "I-LOC"], [("PER", 0, 1), ("LOC", 1, 3)]),  # allowed by no scheme
        (["O", "I-PER", "O"], [("PER", 1, 2)]),
        (["E-PER", "E-PER"], [("PER", 0, 1), ("PER", 1, 2)]),
        (["S-PER", "I-PER"], [("PER", 0, 1), ("PER", 1, 2)]),
        (["B-a-b", "I-a-b"], [("a-b", 0, 2)]),
        (["I-PER", "I-PER", "B-LOC", "I-LOC", "I-LOC"], [("PER", 0, 2), ("LOC", 2, 5)]),  # IOB1 and IOB2 mixed
        (["B-PER", "I-PER", "I-PER", "E-PER", "E-PER"], [("PER", 0, 4), ("PER", 4, 5)]),  # IOBES with one end too many
        (["B-PER", "B-PER", "E-PER"], [("PER", 0, 1), ("PER", 1, 3)]),
        (["I-PER", "E-PER", "I-PER"], [("PER", 0, 2), ("PER", 2, 3)]),
        (["S-PER", "E-PER", "O"], [("PER", 0, 1), ("PER", 1, 2)]),
        (["B-PER", "S-PER", "I-PER"], [("PER", 0, 1), ("PER", 1, 2), ("PER", 2, 3)]),
        (["B-PER", "E-LOC"], [("PER", 0, 1), ("LOC", 1, 2)]),
        (["B-per-son", "I-per-son", "I-per"], [("per-son", 0, 2), ("per", 2, 3)]),  # the first separator counts
        (["B_per-son", "I_per-son"], [("per-son", 0, 2)]),
        (["B-per_son", "I-per_son", "B-O"], [("per_son", 0, 2), ("O", 2, 3)]),
        (["PER-B", "PER-I", "O", "LOC_B"], [("PER", 0, 2), ("LOC", 3, 4)]),
        (["U-X", "U-X", "B-X", "L-X"], [("X", 0, 1), ("X", 1, 2), ("X", 2, 4)]),
        (["B-X", "M-X", "M-X", "E-X", "S-X", "S-X"], [("X", 0, 4), ("X", 4, 5), ("X", 5, 6)]),
        (["W-X", "W-X", "B-X", "E-X"], [("X", 0, 1), ("X", 1, 2), ("X", 2, 4)]),
        (["I-X", "I-X", "I-Y", "O", "I-Y"], [("X", 0, 2), ("Y", 2, 3), ("Y", 4, 5)]),
        (["I-X", "E-X", "I-X", "O"], [("X", 0, 2), ("X", 2, 3)]),  # IOE1
        (["B", "M", "E", "S", "O"], [("", 0, 3), ("", 3, 4)]),  # segmentation into words
        ([], []),
    ],
)
def test_spans_of_a_sequence_of_tags(tags, spans):
    assert scheme_of(tags).spans(tags) == spans


@pytest.mark.parametrize(
    ("name", "tags", "spans"),
    [
        ("iob1", "B-X I-Y I-Y B-X B-Y I-Y I-X I-Y", [("Y", 1, 3), ("Y", 5, 6), ("X", 6, 7), ("Y", 7, 8)]),
        ("iob1", "O B-Y I-X I-Y I-X I-X I-X I-Y", [("X", 2, 3), ("Y", 3, 4), ("X", 4, 7), ("Y", 7, 8)]),
        ("iob1", "I-Y I-Y I-X I-Y B-X B-Y O B-Y", [("Y", 0, 2), ("X", 2, 3), ("Y", 3, 4)]),
        ("iob2", "I-Y B-X B-Y I-Y I-Y I-Y O B-X", [("X", 1, 2), ("Y", 2, 6), ("X", 7, 8)]),
        ("iob2", "O I-Y I-Y O B-X I-X B-Y I-Y", [("X", 4, 6), ("Y", 6, 8)]),
        ("ioe2", "E-Y I-Y E-X I-X I-Y E-X I-Y E-Y", [("Y", 0, 1), ("X", 2, 3), ("X", 5, 6), ("Y", 6, 8)]),
        ("ioe2", "I-Y E-Y I-Y O E-X E-Y I-Y O", [("Y", 0, 2), ("X", 4, 5), ("Y", 5, 6)]),
        ("iobes", "I-Y S-Y I-X I-Y I-X E-X B-Y E-Y", [("Y", 1, 2), ("Y", 6, 8)]),
        ("iobes", "B-X B-X E-X E-X I-X S-X B-Y B-X", [("X", 1, 3), ("X", 5, 6)]),
        ("bilou", "U-Y L-Y B-X L-X U-Y B-X O U-X", [("Y", 0, 1), ("X", 2, 4), ("Y", 4, 5), ("X", 7, 8)]),
        ("bilou", "L-Y U-Y U-X B-Y L-Y B-Y B-Y B-X", [("Y", 1, 2), ("X", 2, 3), ("Y", 3, 5)]),
        # by hand: seqeval does not know these, and says of its IOE1 that it is not finished
        (
            "ioe1",
            "I-X E-X I-X O I-X E-X O E-X E-X I-X",
            [("X", 0, 2), ("X", 2, 3), ("X", 7, 8), ("X", 8, 9), ("X", 9, 10)],
        ),
        ("bmes", "B-X M-X E-X S-X S-X B-X M-X O M-X E-X", [("X", 0, 3), ("X", 3, 4), ("X", 4, 5)]),
        ("bmewo", "W-X W-X B-X E-Y B-Y E-Y", [("X", 0, 1), ("X", 1, 2), ("Y", 4, 6)]),
        ("io", "I-X I-X I-Y O I-Y", [("X", 0, 2), ("Y", 2, 3), ("Y", 4, 5)]),
    ],
)
def test_strict_spans_are_those_of_seqeval(name, tags, spans):
    """The results are those of seqeval 1.2.2, `mode="strict"`, for random tags."""
    scheme = scheme_of([f"{letter}-{type_}" for letter in TAG_SCHEMES[name] for type_ in "XY"] + ["O"], name)
    assert scheme.strict_spans(tags.split(), scheme.form([tags.split()])) == spans


@pytest.mark.parametrize(
    ("sentences", "form"),
    [
        (["B-x I-x O", "B-x"], "iob2"),
        (["I-x B-x O", "I-x"], "iob1"),
        (["I-x I-x B-y"], "iob2"),  # IOB1 would have I-y
        (["I-x B-x", "O I-x", "O B-x"], "iob2"),  # one sentence is enough
        (["O O"], "iob2"),
        (["I-x E-x O"], "ioe2"),
        (["E-x I-x", "I-x I-x"], "ioe1"),
        (["E-x", "I-x"], "ioe2"),  # sentences do not touch
    ],
)
def test_the_true_sentences_decide_between_the_two_forms(sentences, form):
    tags = ["B-x", "B-y", "I-x", "I-y", "O"] if "b" in form else ["E-x", "I-x", "O"]
    assert scheme_of(tags).form([sentence.split() for sentence in sentences]) == form
    assert scheme_of(tags, form).form([["O"]]) == form, "a scheme set by hand stays"


def test_a_scheme_has_its_letters_in_any_order():
    names = ["IOB", "bio", "BIO2", "bioes", "BIESO", "BIOUL", "biluo", "BMES", "bmeso", "bmewo", "OI", "ioe2"]
    expected = ["iob", "iob", "iob2", "iobes", "iobes", "bilou", "bilou", "bmes", "bmes", "bmewo", "io", "ioe2"]
    assert list(map(tag_scheme_named, names)) == expected
    assert [tag_scheme_named(name) for name in ("auto", "none", "crf", "", "o", "iobb")] == [None] * 6
    assert [tag_scheme_named(name) for name in TAG_SCHEMES] == list(TAG_SCHEMES)


def test_a_scheme_set_by_hand_must_fit():
    tags = ["B-x", "I-x", "O"]
    assert [scheme_of(tags, name).name for name in ("iob", "BIO2", "bioes", "bilou", "none")] == [
        "iob",
        "iob2",
        "iobes",
        "bilou",
        "none",
    ]
    with pytest.raises(ValueError, match=r"`task\.scheme` must fit the tags: .* bmes .*B, M, E, S.*'bmes'.* tags I-x$"):
        scheme_of(tags, "bmes")
    with pytest.raises(ValueError, match=r"Received: 'io', and the tags NN, VB"):
        scheme_of(["NN", "VB", "O"], "io")
    assert scheme_of(["E", "S", "O"], "iobes").spans(["E", "S"]) == [("", 0, 1), ("", 1, 2)]


@pytest.mark.parametrize(
    ("tags", "odd"),
    [
        ("B-x I-x X O", ["X"]),
        ("B-x I-x OTHER", ["OTHER"]),
        ("B-x I-x L-x S-x O", ["L-x"]),
        ("b-x i-x o", ["b-x", "i-x", "o"]),
        ("B:x I:x O", ["B:x", "I:x"]),
        ("x-B x-I X O", ["X"]),
        ("x-S y-S O", ["x-S", "y-S"]),
        ("B-x I-x O", []),
        (" ".join(PENN), []),
        (" ".join(UNIVERSAL), []),
        ("NN-TL NP-HL BEDZ-HL AT", []),  # the Brown corpus
        ("X", []),
    ],
)
def test_tags_that_seem_to_mark_spans_but_fit_nothing_are_named(tags, odd):
    assert unreadable_tags(tags.split()) == odd
