"""Warnings about records that lose text or teach little, with the setting that helps."""

from data_pipelines.records.manifest import PreparationConfig, Statistics

LEAST_USED_SHARE = 0.9
MOST_RANDOM_NEXT_SHARE = 0.75
MOST_UNKNOWN_SHARE = 0.05
PUBLISHED_POSITIONS = 512
"""The largest length of rows of the published models."""


def advice(statistics: Statistics, config: PreparationConfig) -> list[str]:
    """Return a sentence for each number that is out of its usual range; arguments are named in backticks.

    Args:
        statistics: the counts over the records.
        config: how they were made.
    """
    found = []
    if statistics.used_share is not None and statistics.used_share < LEAST_USED_SHARE:
        found.append(
            f"only {statistics.used_share:.1%} of the text's tokens are in a row: pairs of sentences that are longer "
            f"than a row are truncated. A `max_seq_length` above {config.max_seq_length} loses less, and `objective` "
            "mlm loses nothing"
        )
    if config.objective == "nsp" and statistics.examples:
        if statistics.random_next_share > MOST_RANDOM_NEXT_SHARE:
            found.append(
                f"{statistics.random_next_share:.1%} of the next sentences are random, where half is usual, because "
                "most documents have one sentence, or fit into one segment. `sentences` split makes sentences of "
                "paragraphs, `objective` mlm needs no pairs, and blank lines should separate only documents"
            )
        elif not statistics.random_next_share:
            found.append("no next sentence is random, because no two documents of a shard have text")
    if config.objective == "sop" and statistics.examples and not statistics.random_next_share:
        found.append(
            "no segments are swapped, because hardly a document has two sentences. `sentences` split makes sentences "
            "of paragraphs"
        )
    if statistics.unknown_share > MOST_UNKNOWN_SHARE:
        found.append(
            f"{statistics.unknown_share:.1%} of the text's tokens are [UNK]: `vocab_file` must be of the language of "
            "the text, and `do_lower_case` of the casing of the vocabulary. `bert-tf create-vocab` learns a vocabulary "
            "from this text"
        )
    if config.max_seq_length > PUBLISHED_POSITIONS:
        found.append(
            f"published models have {PUBLISHED_POSITIONS} positions: rows of `max_seq_length` {config.max_seq_length} "
            "need a model with as many (`model.max_position_embeddings`)"
        )
    return found
