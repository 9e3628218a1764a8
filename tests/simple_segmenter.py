"""A segmenter for tests: the longest word of a small dictionary, else a character or a run of Latin letters."""

import re

from data_pipelines.records.segmentation import Segmenter

DICTIONARY = ("北京大学", "北京", "大学", "好吃", "外卖", "服务员", "很", "快")
_WORD = re.compile("|".join([*DICTIONARY, "[A-Za-z]+", r"\S"]))


def words(text: str) -> list[str]:
    """Return the words of a text, without spaces."""
    return _WORD.findall(text)


SEGMENTER = Segmenter("simple", "1.0", words)
