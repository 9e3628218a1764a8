import collections

import pytest
from launch_many import launch_many
from small_model import write_vocab

from bert_tf.tokenization.vocabulary import SPECIAL_TOKENS
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from data_pipelines.vocabulary_extension import extend_vocab, new_tokens, used_tokens, with_new_tokens

LETTERS = "abcdefghijklmnopqrstuvwxyz"
OLD = [
    *(SPECIAL_TOKENS[0], "[unused0]", "[unused1]", *SPECIAL_TOKENS[1:], ".", "the", "river", "near"),
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
]
COUNTS = collections.Counter({"the": 90, "enzyme": 50, "enzymes": 30, "kinase": 20, "near": 10, "river": 5, "zq": 1})
DOCUMENTS = [["the enzyme near the kinase.", "the enzymes."], ["enzymes near the enzyme."]] * 30


@pytest.fixture(scope="module")
def tokenizer():
    return WordPieceTokenizer.from_tokens(OLD)


def test_new_tokens_are_those_that_save_the_most(tokenizer):
    # "enzyme" saves 5 tokens each of 80 times, if "enzymes" is no token of its own; "kinase" saves 5 of 20.
    found = new_tokens(tokenizer, COUNTS, 2)
    assert found[0] == "enzyme"
    words = WordPieceTokenizer.from_tokens([*OLD, *found])
    before, after = (sum(len(one.encode(word)) * count for word, count in COUNTS.items()) for one in (tokenizer, words))
    assert before - after >= 5 * 80
    assert "zq" not in new_tokens(tokenizer, COUNTS, 50)  # it occurs once
    assert not set(new_tokens(tokenizer, COUNTS, 50)) & set(OLD)


def test_characters_that_were_unknown_become_tokens():
    cased = WordPieceTokenizer.from_tokens(OLD, do_lower_case=False)
    assert cased.encode("na\u00efve") == [cased.unk_id]
    found = new_tokens(cased, {"na\u00efve": 40, "\u00ef": 3}, 10)
    assert {"na\u00efve", "\u00ef"} <= set(found)


def test_new_tokens_take_unused_places_first():
    tokens = with_new_tokens(OLD, ["enzyme", "kinase", "##ase"])
    assert tokens[:3] == ["[PAD]", "enzyme", "kinase"]
    assert tokens[3 : len(OLD)] == OLD[3:]
    assert tokens[len(OLD) :] == ["##ase"]


def test_an_extended_vocabulary_keeps_the_ids_of_old_words(tokenizer, tmp_path):
    reports: list[str] = []
    output = tmp_path / "extended.txt"
    tokens = extend_vocab(DOCUMENTS, tokenizer, 4, output=str(output), report=reports.append)
    assert output.read_text().splitlines() == tokens
    new = WordPieceTokenizer(str(output))
    assert new.encode("the river near") == tokenizer.encode("the river near")
    assert len(new.encode("enzyme")) == 1 < len(tokenizer.encode("enzyme"))
    assert [line.split(":")[0] for line in reports[1:]] == [
        f"old vocabulary of {len(OLD)} tokens",
        f"new vocabulary of {len(tokens)} tokens",
    ]
    # The same bytes for any number of processes.
    assert extend_vocab(DOCUMENTS, tokenizer, 4, num_workers=2, report=reports.append) == tokens


def test_a_reduced_vocabulary_encodes_its_text_as_before(tokenizer):
    reports: list[str] = []
    tokens = extend_vocab(DOCUMENTS, tokenizer, 0, keep="used", report=reports.append)
    reduced = WordPieceTokenizer.from_tokens(tokens)
    assert len(tokens) < len(OLD)
    assert "river" not in tokens
    assert "[unused0]" not in tokens
    for sentence in ("the enzyme near the kinase.", "enzymes"):
        assert reduced.tokenize(sentence) == tokenizer.tokenize(sentence)
    assert [token for token in OLD if token in tokens] == tokens  # in the old order
    assert used_tokens(tokenizer, {"the": 1})[:6] == [*SPECIAL_TOKENS, "."]


def test_a_warning_says_that_the_text_has_too_few_words(tokenizer):
    warnings: list[str] = []
    extend_vocab(DOCUMENTS, tokenizer, 1000, report=lambda line: None, warn=warnings.append)
    assert warnings[0].startswith("`num_new` 1000 is more than the documents give")


@pytest.mark.parametrize(
    ("num_new", "keep", "message"),
    [
        (0, "all", r"`num_new` must be at least 1 for `keep` all\. Received: 0"),
        (-1, "used", r"`num_new` must be at least 0 for `keep` used\. Received: -1"),
        (1, "some", r"`keep` must be one of all, used\. Received: 'some'"),
    ],
)
def test_bad_arguments_are_refused(tokenizer, num_new, keep, message):
    with pytest.raises(ValueError, match=message):
        extend_vocab(DOCUMENTS, tokenizer, num_new, keep=keep)


def test_the_command_extends_and_names_wrong_flags(tmp_path):
    write_vocab(tmp_path / "vocab.txt")
    (tmp_path / "text.txt").write_text("The enzyme near the river.\nThe enzymes.\n\n" * 20)
    command = ["data_pipelines.create_vocab", "--input=text.txt", "--output=extended.txt"]
    good, lone, both, missing = launch_many(
        [
            [*command, "--extend=vocab.txt", "--num_new=1"],
            ["data_pipelines.create_vocab", "--input=text.txt", "--output=no.txt", "--num_new=5"],
            [*command[:2], "--output=no.txt", "--extend=vocab.txt", "--vocab_size=500"],
            [*command[:2], "--output=no.txt", "--extend=none.txt"],
        ],
        tmp_path,
    )
    assert good.returncode == 0, good.stderr
    old, new = ((tmp_path / name).read_text().splitlines() for name in ("vocab.txt", "extended.txt"))
    assert new == [*old, "enzyme"]
    assert "error: --num_new must be given together with --extend. Received: 5" in lone.stderr
    assert "error: --vocab_size must be left out with --extend. Received: 500" in both.stderr
    assert "error: --extend must be a vocabulary or a folder. Received: 'none.txt'" in missing.stderr
    assert not (tmp_path / "no.txt").exists()
