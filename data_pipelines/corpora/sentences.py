"""The splitting of paragraphs into sentences."""

import sentencex


def split_sentences(text: str, language: str = "en") -> list[str]:
    """Return the sentences of a paragraph, without white space at their ends.

    Args:
        text: running text in any script.
        language: the ISO 639 code of the language whose abbreviations end no sentence. For unknown languages, the full
            stops of all scripts end sentences.

    >>> split_sentences("See tf.Tensor, e.g. here. Then 他来了。我走了。")
    ['See tf.Tensor, e.g. here.', 'Then 他来了。', '我走了。']
    """
    sentences: list[str] = []
    joined = False
    for segment in sentencex.segment(language, text):
        if joined:
            sentences[-1] += segment
        else:
            sentences.append(segment)
        # sentencex also splits between a full stop and a capital with no space between, as in `tf.Tensor`.
        joined = segment.endswith((".", "!", "?"))
    stripped = (sentence.strip() for sentence in sentences)
    return [sentence for sentence in stripped if sentence]
