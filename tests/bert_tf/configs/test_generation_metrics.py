"""The metrics of generated texts that a fine-tuning computes."""

import pytest

from bert_tf.configs import ConfigError, FinetuningConfig
from bert_tf.configs.tasks import Seq2SeqConfig


def test_a_metric_of_generated_texts_is_computed_where_it_is_asked_for():
    config = FinetuningConfig(task=Seq2SeqConfig(generation_metrics=("bleu",)), metric="rougeL")
    assert config.generation_metrics == ("bleu", "rougeL")
    assert config.replace(metric="bleu").generation_metrics == ("bleu",)
    assert config.replace(metric="perplexity").generation_metrics == ("bleu",)
    assert FinetuningConfig(metric="exact_match").generation_metrics == ()
    with pytest.raises(ConfigError, match=r"`generation_metrics` must be one of rouge1, .*Received: 'rouge'"):
        Seq2SeqConfig(generation_metrics=("rouge",))
    with pytest.raises(ConfigError, match=r"`metric_tokenizer` must be one of 13a, .*Received: 'flores200'"):
        Seq2SeqConfig(metric_tokenizer="flores200")
