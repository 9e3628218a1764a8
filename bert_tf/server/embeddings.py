"""The endpoint `/v1/embeddings`, in the form of OpenAI's API that servers of text embeddings have.

`{"model": "name", "input": ["a text", ...]}` gets `{"object": "list", "model": "name", "data": [{"object": "embedding",
"index": 0, "embedding": [...]}, ...]}`. With `"encoding_format": "base64"` an embedding is the base64 of its numbers,
float32 in little-endian order. Tokens are not counted: there is no `usage`.
"""

import asyncio
import base64
from typing import Any

import numpy as np

from bert_tf.server import json_tensors
from bert_tf.server.access_log import RequestRecord
from bert_tf.server.errors import invalid, shortened
from bert_tf.server.handling import Handling
from bert_tf.server.paths import ModelPath
from bert_tf.server.served_version import DEFAULT_SIGNATURE, ServedVersion, Signature
from bert_tf.utils import json_text

VERB = "embeddings"

_INPUT, _OUTPUT = "text", "embedding"


async def answer(handling: Handling, body: bytes, record: RequestRecord) -> bytes:
    """Return the body of the answer to a request.

    Args:
        handling: the models, and what runs them.
        body: the body of the request.
        record: what is known of the request; its model, version and number of texts are noted in it.

    Raises:
        RequestError: the request is not as it must be or too large, or there is no such model, or it does not embed.
    """
    record.verb = VERB
    name, texts, as_base64 = await asyncio.to_thread(_read, handling, body)
    version = handling.models.version(ModelPath(name, None, None, VERB))
    record.model, record.version, record.texts = name, version.number, len(texts)
    signature = embedding_signature(version)
    if signature is None:
        raise invalid(f"Model '{name}' does not embed: none of its signatures returns '{_OUTPUT}' for '{_INPUT}'.")
    vectors = (await handling.batcher.ask(version, signature, {_INPUT: texts}))[_OUTPUT]
    return await asyncio.to_thread(_written, name, vectors, as_base64)


def _read(handling: Handling, body: bytes) -> tuple[str, np.ndarray, bool]:
    """Return the name of the model, the texts, and whether embeddings are encoded in base64."""
    request = json_tensors.parse_object(body)
    names = list(handling.models.by_name)
    name = request.get("model", names[0] if len(names) == 1 else None)
    if not isinstance(name, str):
        raise invalid(f"'model' must be the name of a model. Received: {shortened(name)}")
    encoding = request.get("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise invalid(f"'encoding_format' must be float or base64. Received: {shortened(encoding)}")
    if request.get("dimensions") is not None:
        raise invalid(
            f"'dimensions' must be left out: vectors have one size. Received: {shortened(request['dimensions'])}"
        )
    given = request.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise invalid(f"'input' must be a text or a list of texts. Received: {shortened(given)}")
    array = json_tensors.dense(texts, "DT_STRING", "input")
    handling.check_number(array.size, "input")
    handling.check_text(max(map(len, array)), "input")
    return name, array, encoding == "base64"


def embedding_signature(version: ServedVersion) -> Signature | None:
    """Return the signature of a version that embeds texts, or None if it has none."""
    for name in (DEFAULT_SIGNATURE, "embedding"):
        found = version.signatures.get(name)
        if found is not None and _OUTPUT in found.outputs and found.inputs.keys() == {_INPUT}:
            return found
    return None


def _written(name: str, vectors: np.ndarray, as_base64: bool) -> bytes:
    rows = []
    for index, vector in enumerate(vectors.astype("<f4")):
        numbers: Any = f"[{', '.join(json_tensors.texts_of(vector))}]"
        if as_base64:
            numbers = f'"{base64.b64encode(vector.tobytes()).decode()}"'
        rows.append(f'{{"object": "embedding", "index": {index}, "embedding": {numbers}}}')
    return f'{{"object": "list", "model": {json_text.dumps(name)}, "data": [{", ".join(rows)}]}}'.encode()
