"""The page at `/`, on which a person asks the models of a server: one HTML file that needs no network beside it."""

import importlib.resources
import json
from collections.abc import Sequence

HEADERS = {
    # Nothing is loaded from elsewhere, and the page asks only its own server.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
"""The headers of the page."""

_MODELS = "__MODELS__"


def page(names: Sequence[str]) -> str:
    """Return the page for models of these names."""
    template = importlib.resources.files("bert_tf.server").joinpath("page.html").read_text("utf-8")
    # "</script>" in a name must not end the element that holds the names.
    return template.replace(_MODELS, json.dumps(list(names)).replace("<", "\\u003c"), 1)
