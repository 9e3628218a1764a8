"""A Python tokenizer beside the graph tokenizer of the same vocabulary."""

import tensorflow as tf

from bert_tf.preprocessing.graph_tokenizer import GraphTokenizer


class Pair:
    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        graph = GraphTokenizer(tokenizer)
        signature = [tf.TensorSpec([None], tf.string)]
        self.tokens = tf.function(graph.tokenize_with_offsets, input_signature=signature)
        self.words = tf.function(graph.words_with_offsets, input_signature=signature)

    def differences(self, texts):
        """Return (text, expected, found) for each text whose tokens, words or offsets differ."""
        tensor = tf.constant([t if isinstance(t, bytes) else t.encode() for t in texts], tf.string, shape=[len(texts)])
        decoded = [t.decode(errors="ignore") if isinstance(t, bytes) else t for t in texts]
        tokens = self.tokens(tensor)
        words, offsets = self.words(tensor)
        columns = (tokens.ids, tokens.starts, tokens.ends, words, offsets.starts, offsets.ends)
        found = list(zip(*(column.to_list() for column in columns), strict=True))
        assert len(found) == len(texts)
        entries = zip(decoded, map(self.expected, decoded), found, strict=True)
        return [entry for entry in entries if entry[1] != entry[2]]

    def expected(self, text):
        ids, offsets = self.tokenizer.encode_with_offsets(text)
        words = self.tokenizer.word_offsets(text)
        return (
            ids,
            [start for start, _ in offsets],
            [end for _, end in offsets],
            [text[start:end].encode() for start, end in words],
            [start for start, _ in words],
            [end for _, end in words],
        )
