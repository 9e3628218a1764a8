"""The encoder of a model with a head, which several models may share."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from bert_tf.configs import BertConfig
from bert_tf.models.encoder import BertEncoder

_SHARED: ContextVar[BertEncoder | None] = ContextVar("shared_encoder", default=None)


def make_encoder(config: BertConfig, dtype: Any) -> BertEncoder:
    """Return a new encoder named `encoder`; or, within `sharing_encoder`, the shared one.

    Every model with a head makes its encoder by this function, so that it can be a member of a `BertMultiTask`.

    Args:
        config: the sizes and options of the encoder.
        dtype: Keras dtype policy.

    Raises:
        ValueError: the shared encoder has another configuration.
    """
    shared = _SHARED.get()
    if shared is None:
        return BertEncoder(config, dtype=dtype, name="encoder")
    if shared.config != config:
        raise ValueError(f"`config` must be that of the shared encoder, {shared.config}. Received: {config}")
    return shared


@contextmanager
def sharing_encoder(encoder: BertEncoder) -> Iterator[None]:
    """Let all models that are made within the block have this encoder."""
    token = _SHARED.set(encoder)
    try:
        yield
    finally:
        _SHARED.reset(token)
