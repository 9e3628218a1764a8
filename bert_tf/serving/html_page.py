"""The frame of all pages that a command writes: one HTML file that needs no network, and whose texts are never markup.

The file of a page holds its own style and its own script. The frame gives them the data, `element` and `main`.
"""

import html
import importlib.resources
import re
from collections.abc import Mapping, Sequence
from typing import Any

from bert_tf.utils import json_text


def filled(page: str, title: str, data: Mapping[str, Any], *, scripts: Sequence[str] = ()) -> str:
    """Return a page.

    Args:
        page: the file of the page beside this module, such as `explanation_page.html`.
        title: the title of the page.
        data: what the script of the page shows, as JSON has it. `about` is a sentence below the title.
        scripts: files with functions that the page's script calls.
    """
    own = text_of(page)
    slots = {
        "TITLE": html.escape(title),
        "STYLE": _inside(own, "style"),
        "ELEMENTS": text_of("page_elements.js"),
        "SCRIPT": "".join([*map(text_of, scripts), _inside(own, "script")]),
        # "</script>" or "<!--" in a text must not end the element that holds the data.
        "DATA": json_text.dumps(data).replace("<", "\\u003c"),
    }
    return re.sub(f"__({'|'.join(slots)})__", lambda slot: slots[slot[1]], text_of("page_frame.html"))


def text_of(name: str) -> str:
    """Return the text of a file beside this module."""
    return importlib.resources.files("bert_tf.serving").joinpath(name).read_text("utf-8")


def _inside(text: str, tag: str) -> str:
    return text.partition(f"<{tag}>\n")[2].partition(f"</{tag}>")[0]
