"""The generation benchmark: its texts, its table, and this project's sides of it."""

import pytest

from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from experiments.benchmarks import generate_race


def test_texts_have_the_length_of_the_sources():
    tokenizer = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, *(f"w{number}" for number in range(95))])
    texts = generate_race.source_texts(3, 100)
    assert len(set(texts)) == 3
    for text in texts:
        ids, _ = tokenizer.encode_pair(text)
        assert len(ids) == generate_race.SOURCE_LENGTH
        assert tokenizer.unk_id not in ids


def test_the_table_compares_with_the_peer():
    def row(name, seconds, speed):
        return {
            "batch_size": 1,
            "beams": 4,
            "implementation": name,
            "seconds": seconds,
            "processor_seconds": [2.0 * second for second in seconds],
            "tokens_per_second": speed,
            "versions": {},
        }

    table = generate_race.describe([row("predictor", [1.0, 2.0], 300.0), row("transformers", [4.0, 5.0], 100.0)])
    assert table.splitlines()[2:] == [
        "| 1 | 4 | predictor | 300 | 3.00 | 4.00 | 3.00 |",
        "| 1 | 4 | transformers | 100 |  |  |  |",
    ]


@pytest.mark.long  # makes and exports a model with a whole vocabulary
def test_both_own_sides_generate_all_tokens(tmp_path):
    folder = generate_race.prepare(str(tmp_path), "bert_tiny")
    rows = generate_race.race(folder, venvs="", implementations=generate_race.OURS, rounds=1, batches=(1, 2))
    assert len(rows) == 2 * len(generate_race.BEAMS) * len(generate_race.OURS)
    assert all(row["tokens_per_second"] > 0 for row in rows)
