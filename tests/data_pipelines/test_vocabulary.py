import collections
import os
import random
import re
import subprocess
import sys

import pytest

from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from data_pipelines import vocabulary, word_counts
from data_pipelines.corpora.documents import is_held_out, write_documents
from data_pipelines.vocabulary import create_vocab, learn_vocab
from data_pipelines.word_counts import count_words


def _documents(count=60, seed=0):
    """Return documents of made-up words, some in other scripts."""
    generator = random.Random(seed)
    syllables = ["ka", "to", "mi", "ren", "sul", "é", "中", "한", "Ω", "-", ".", "12"]
    words = ["".join(generator.choices(syllables, k=generator.randint(1, 4))) for _ in range(200)]
    return [[" ".join(generator.choices(words, k=12)) for _ in range(generator.randint(1, 9))] for _ in range(count)]


def _silent(_):
    pass


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_the_words_of_the_tokenizer_are_counted(do_lower_case):
    documents = _documents()
    tokenizer = WordPieceTokenizer.from_tokens(SPECIAL_TOKENS, do_lower_case)
    expected = collections.Counter(
        word for document in documents for sentence in document for word in tokenizer.words(sentence)
    )
    counts = count_words(documents, do_lower_case=do_lower_case)
    assert counts.words == expected
    assert (counts.documents, counts.held_out_documents) == (60, 0)
    sample = [word for document in documents[::20] for sentence in document for word in tokenizer.words(sentence)]
    assert counts.sample_words == collections.Counter(sample)


def test_counts_exclude_held_out_documents():
    documents = _documents()
    held_out = [document for document in documents if is_held_out(document, 0.3)]
    assert 0 < len(held_out) < len(documents)
    counts = count_words(documents, holdout=0.3)
    kept = count_words([document for document in documents if document not in held_out])
    assert counts.words == kept.words
    assert counts.sample_words == count_words(held_out).words
    assert counts.held_out_documents == len(held_out)


def test_counts_do_not_depend_on_groups_or_workers(monkeypatch):
    documents = _documents()
    expected = count_words(documents)
    monkeypatch.setattr(word_counts, "_GROUP_CHARACTERS", 500)
    monkeypatch.setattr(word_counts, "_MAX_DISTINCT_STRINGS", 10)
    assert count_words(documents) == expected
    assert count_words(documents, num_workers=2) == expected


def test_the_vocabulary_is_the_same_in_every_process_and_order(tmp_path):
    documents = _documents(200)
    text = tmp_path / "text.txt"
    write_documents(documents, str(text))
    expected = create_vocab(documents, 300, report=_silent)
    assert 100 < len(expected) <= 300
    assert create_vocab(documents[::-1], 300, report=_silent) == expected
    for number, threads in enumerate(("1", "2")):
        output = tmp_path / f"vocab{number}.txt"
        done = subprocess.run(
            [sys.executable, "-m", "data_pipelines.create_vocab", f"--input={text}", "--vocab_size=300",
             f"--output={output}", f"--num_workers={threads}"],
            env={**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": str(number)},
            capture_output=True, check=True, encoding="utf-8",
        )  # fmt: skip
        assert output.read_text("utf-8").splitlines() == expected
        assert "tokens per word" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.txt", "vocab0.txt", "vocab1.txt"]


def test_a_full_alphabet_leaves_nothing_unknown():
    lines = []
    tokens = create_vocab(_documents(), 300, report=lines.append)
    tokenizer = WordPieceTokenizer.from_tokens(tokens)
    for document in _documents():
        for sentence in document:
            assert tokenizer.unk_id not in tokenizer.encode(sentence)
    assert len(lines) == 2
    assert "0.000% [UNK]" in lines[1]


def test_statistics_of_given_words():
    tokens = [*SPECIAL_TOKENS, "ab", "##c"]
    statistics = vocabulary.vocabulary_statistics(tokens, {"ab": 6, "abc": 3, "x": 1})
    assert statistics.words == 10
    assert statistics.tokens_per_word == pytest.approx((6 + 3 * 2 + 1) / 10)
    assert statistics.unknown_share == pytest.approx(0.1)


def test_frequent_pairs_are_joined_and_the_order_is_as_documented():
    counts = {"low": 50, "lower": 20, "new": 30, "!": 5, "中": 4}
    tokens = learn_vocab(counts, 1000, num_unused=2, user_tokens=["[ENTITY]", "zebra", "##ish"])
    assert tokens[:10] == [
        "[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[ENTITY]", "zebra", "##ish",
    ]  # fmt: skip
    alphabet = list("!elnorw中")
    assert tokens[10 : 10 + len(alphabet)] == alphabet
    assert {"low", "lower", "new"} <= set(tokens)
    assert {"##e", "##l"} <= set(tokens)
    assert not {"##!", "##中"} & set(tokens)  # these are always words of their own
    assert len(set(tokens)) == len(tokens)
    assert WordPieceTokenizer.from_tokens(tokens).tokenize("lower zebraish") == ["lower", "zebra", "##ish"]


def test_special_tokens_can_have_their_published_ids():
    tokens = learn_vocab({"word": 3}, 1000, num_unused=99)
    assert [tokens.index(token) for token in SPECIAL_TOKENS] == [0, 100, 101, 102, 103]


def test_pairs_below_the_minimum_frequency_are_not_joined():
    counts = {"low": 5, "new": 2}
    assert "new" in learn_vocab(counts, 100, min_frequency=2)
    assert "new" not in learn_vocab(counts, 100, min_frequency=3)
    assert "low" in learn_vocab(counts, 100, min_frequency=3)


def test_nothing_is_learnt_from_words_with_rare_characters():
    # Without q, "aqb" must not give a token "ab" of letters that were never together.
    tokens = learn_vocab({"aqb": 5, "ac": 50, "bc": 50}, 100, limit_alphabet=3)
    assert "q" not in tokens
    assert "ab" not in tokens
    assert {"ac", "bc"} <= set(tokens)


def test_very_large_counts_are_scaled_down(monkeypatch):
    counts = count_words(_documents()).words
    expected = learn_vocab(counts, 300, min_frequency=2)
    learnt_from = sum(count for word, count in counts.items() if len(word) > 1)
    monkeypatch.setattr(vocabulary, "_MAX_OCCURRENCES", learnt_from)
    fed = []
    repeated = vocabulary._repeated
    monkeypatch.setattr(vocabulary, "_repeated", lambda counts: fed.append(sum(counts.values())) or repeated(counts))
    sevenfold = {word: 7 * count for word, count in counts.items()}
    assert learn_vocab(sevenfold, 300, min_frequency=8) == expected
    assert fed == [learnt_from]


def test_vocab_size_is_not_exceeded():
    counts = count_words(_documents()).words
    assert len(learn_vocab(counts, 80)) == 80
    with pytest.raises(ValueError, match=r"vocab_size.*at least \d+.*Received: 20"):
        learn_vocab(counts, 20)


@pytest.mark.parametrize("name", ["min_frequency", "limit_alphabet", "num_unused"])
def test_arguments_out_of_range_are_errors(name):
    with pytest.raises(ValueError, match=rf"{name}.*-1"):
        learn_vocab({"a": 1}, 100, **{name: -1})


@pytest.mark.parametrize("token", ["two words", "C++", "Upper", "", "[open"])
def test_user_tokens_that_no_text_yields_are_errors(token):
    with pytest.raises(ValueError, match="user_tokens"):
        learn_vocab({"a": 1}, 100, user_tokens=[token])


def test_documents_without_words_and_numbers_out_of_range_are_errors():
    with pytest.raises(ValueError, match=r"`documents` must hold at least one word.*2 documents"):
        create_vocab([["\u0301"], ["\u0323 "]], 100, report=_silent)
    with pytest.raises(ValueError, match=r"holdout.*1\.0"):
        create_vocab(_documents(), 100, holdout=1.0, report=_silent)
    with pytest.raises(ValueError, match=r"num_workers.*-1"):
        create_vocab(_documents(), 100, num_workers=-1, report=_silent)


def test_a_failed_run_leaves_no_file(tmp_path):
    output = tmp_path / "vocab.txt"
    with pytest.raises(ValueError, match="vocab_size"):
        create_vocab(_documents(), 10, output=str(output), report=_silent)
    assert not list(tmp_path.iterdir())


def test_the_command_reports_bad_input_in_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "data_pipelines.create_vocab", f"--input={tmp_path}/*.txt",
         f"--output={tmp_path}/vocab.txt"],
        capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 2
    assert "error: --input: no file matches" in done.stderr
    assert "Traceback" not in done.stderr


def _ideographs(count: int, times: int = 1) -> dict[str, int]:
    """Return the counts of words of one ideograph, by Zipf's law."""
    return {chr(0x4E00 + number): max(1, times * 20_000 // (number + 1)) for number in range(count)}


def _characters(tokens: list[str]) -> set[str]:
    return {token for token in tokens if len(token) == 1}


def test_ideographs_fill_the_vocabulary_before_rare_words_do():
    counts = _ideographs(4000) | {f"kb{number}": 2 for number in range(3000)}
    tokens = learn_vocab(counts, 6000)
    assert len(tokens) == 6000
    statistics = vocabulary.vocabulary_statistics(tokens, counts)
    assert statistics.unknown_share < 0.001
    assert len(_characters(learn_vocab(counts, 6000, limit_alphabet=1000))) == 1000
    # Where the words leave room, rarer characters take it.
    assert len(_characters(learn_vocab(counts, 30_000))) > len(_characters(tokens))


@pytest.mark.parametrize("do_lower_case", [True, False])
@pytest.mark.parametrize(
    "words",
    [
        {chr(0xAC00 + 7 * n) + chr(0xAC00 + 5 * n): 1 + 4000 // (n + 1) for n in range(1000)},  # Korean
        {chr(0x3041 + n % 80) + chr(0x30A1 + n % 70): 1 + 4000 // (n + 1) for n in range(900)} | _ideographs(2000),
        {"".join(chr(0x0E01 + (n * k) % 46) for k in range(1, 60)): 3 for n in range(400)},  # Thai, without spaces
        {"".join(chr(0x0905 + (n * k) % 53) for k in range(1, 5)): 5 for n in range(900)},  # Hindi
    ],
    ids=["ko", "ja", "th", "hi"],
)
def test_other_scripts_fit_and_are_known(words, do_lower_case):
    basic = vocabulary.BasicTokenizer(do_lower_case)
    counts = vocabulary.collections.Counter()
    for text, count in words.items():
        for word in basic.words(text):
            counts[word] += count
    tokens = learn_vocab(counts, 6000, do_lower_case=do_lower_case)
    assert vocabulary.vocabulary_statistics(tokens, counts, do_lower_case).unknown_share < 0.005
    assert any(len(token.removeprefix("##")) > 1 and "[" not in token for token in tokens)  # words are joined


def test_rare_characters_of_other_scripts_take_no_more_than_half_of_a_small_vocabulary():
    counts = dict.fromkeys(("low", "lower", "new", "newer", "wide"), 200_000) | _ideographs(600, times=0)
    tokens = learn_vocab(counts, 200)
    assert {"low", "new", "wide"} <= set(tokens)
    assert len(_characters(tokens)) < 100


def test_a_size_that_holds_too_few_characters_is_an_error():
    with pytest.raises(ValueError, match=r"`vocab_size` must be at least \d+, for 5 reserved.*90% .*Received: 100"):
        learn_vocab(_ideographs(4000), 100)
    smaller = learn_vocab(_ideographs(4000), 2500)
    assert 0.85 * 2500 < len(_characters(smaller)) <= 2500


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        ({"vocab_size": 6000}, [r"only [\d,]+ tokens of a `vocab_size` of 6,000.*occurs 2 times.*`min_frequency`"]),
        (
            {"vocab_size": 800, "limit_alphabet": 500},
            [r"of the words become \[UNK\].*characters that are no tokens, such as .*`limit_alphabet`", "only"],
        ),
        ({"vocab_size": 1440}, [r"words become \[UNK\].*a larger `vocab_size` keeps more"]),
    ],
)
def test_vocabularies_that_fit_badly_are_told_with_the_reason(options, messages):
    sentence = "".join(character * min(count, 40) for character, count in _ideographs(1500).items())
    told = []
    create_vocab([[sentence]], report=_silent, warn=told.append, **options)
    assert len(told) == len(messages)
    for message, line in zip(messages, told, strict=True):
        assert re.search(message, line)


def test_words_that_are_too_long_are_told():
    told = []
    documents = [["ab " * 100 + "ก" * 201 + " " + "ข" * 300]] * 3
    create_vocab(documents, 100, report=_silent, warn=told.append)
    assert re.search(r"become \[UNK\].*2 of them are longer than a word may be", told[0])


def test_a_vocabulary_that_fits_is_no_reason_to_warn():
    told = []
    assert len(create_vocab(_documents(), 80, report=_silent, warn=told.append)) == 80
    assert told == []
