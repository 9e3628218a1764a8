"""The page at `/`, on which a person asks the models of a server: one HTML file that needs no network beside it."""

import importlib.resources
import json
from collections.abc import Mapping
from typing import Any

from bert_tf.server.models import ServedModel
from bert_tf.serving.explanation_page import figures

HEADERS = {
    # Nothing is loaded from elsewhere, and the page asks only its own server.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
"""The headers of the page."""

_MODELS, _FIGURES = "__MODELS__", "__FIGURES__"


def page(models: Mapping[str, ServedModel | None]) -> str:
    """Return the page.

    Args:
        models: the models by their names; what the run beside one can do, the page offers.
    """
    abilities: dict[str, dict[str, Any]] = {}
    for name, model in models.items():
        run = None if model is None else model.run
        abilities[name] = {"stream": bool(run and run.generates), "explain": bool(run and run.explains)}
        if run and run.tasks:
            abilities[name]["tasks"] = {
                task: {"stream": each.generates, "explain": each.explains} for task, each in run.tasks.items()
            }
    template = importlib.resources.files("bert_tf.server").joinpath("page.html").read_text("utf-8")
    # "</script>" in a name must not end the element that holds the names.
    data = json.dumps(abilities).replace("<", "\\u003c")
    return template.replace(_FIGURES, figures(), 1).replace(_MODELS, data, 1)
