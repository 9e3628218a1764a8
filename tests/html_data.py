"""Reads the pages that commands write (`bert_tf.serving.html_page`)."""

import json
from html.parser import HTMLParser


class _Script(HTMLParser):
    """Collects the data of a page."""

    def __init__(self):
        super().__init__()
        self.inside, self.data, self.tags = False, "", []

    def handle_starttag(self, tag, attrs):
        self.inside = dict(attrs).get("id") == "data"
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.data += data if self.inside else ""


def page_of(text):
    """Return the data of a page, and its tags with their attributes."""
    script = _Script()
    script.feed(text)
    return json.loads(script.data), script.tags
