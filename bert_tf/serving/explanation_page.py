"""The page of explanations: one HTML file that needs no network, with coloured texts and attention."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_tf.serving import html_page


def explanation_page(
    explanations: Sequence[dict[str, Any]],
    texts: Sequence[Sequence[str]],
    *,
    attention: Sequence[dict[str, Any]] | None = None,
    about: str = "",
) -> str:
    """Return a page with each text on the colours of its attributions, and with attention as a matrix and as lines.

    Args:
        explanations: what `Predictor.explain` returned.
        texts: the text, or both texts of a pair, of each explanation.
        attention: what `Predictor.attention` returned for the same texts; None to leave it out. The page keeps 8 bits
            of each weight.
        about: a sentence about model and method.
    """
    data = {"about": about, **explanation_data(explanations, texts, attention=attention)}
    return html_page.filled("explanation_page.html", "Explanations", data, scripts=["explanation_figures.js"])


def explanation_data(
    explanations: Sequence[dict[str, Any]],
    texts: Sequence[Sequence[str]],
    *,
    attention: Sequence[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return the values of JSON that the page's figures show. Arguments as in `explanation_page`."""
    items = []
    for number, (explanation, both) in enumerate(zip(explanations, texts, strict=True)):
        item = {**explanation, "texts": list(both)}
        if attention is not None:
            weights = np.asarray(attention[number]["weights"])
            quantized = np.round(weights * 255.0).astype(np.uint8).tobytes()
            item["attention"] = {"shape": list(weights.shape), "weights": base64.b64encode(quantized).decode("ascii")}
        items.append(item)
    return {"explanations": items}


def figures() -> str:
    """Return the functions of JavaScript that draw coloured texts and attention, for a page's own script."""
    return html_page.text_of("page_elements.js") + html_page.text_of("explanation_figures.js")
