"""The configuration of this project's models, which the workers of both engines train."""

from typing import TYPE_CHECKING

from protocol import Case

if TYPE_CHECKING:
    from bert_tf.configs import BertConfig


def config_of(case: Case) -> "BertConfig":
    """Return the sizes and the dropout of a case. The project must be on the path."""
    from bert_tf.configs import BertConfig

    return BertConfig(
        vocab_size=case.vocab_size,
        hidden_size=case.hidden_size,
        num_layers=case.num_layers,
        num_heads=case.num_heads,
        intermediate_size=4 * case.hidden_size,
        dropout_rate=case.dropout_rate,
        attention_dropout_rate=case.dropout_rate,
    )
