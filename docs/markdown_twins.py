"""An extension of Sphinx: the built site has each page as Markdown too, and `llms.txt`, a list for language models.

A page `data.html` has its twin `data.md` beside it, so that the links between pages hold among the twins as well. The
form of `llms.txt` is that of https://llmstxt.org.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reference_pages import expanded


def setup(app: Any) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.connect("build-finished", _write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def llms_text(pages: Mapping[str, str]) -> str:
    """Return the text of `llms.txt`.

    Args:
        pages: the Markdown of each page by its name without `.md`, in the order of the list; `index` is among them.
            What the index says of a page in a table stands beside its link, and otherwise the page's first sentence.
    """
    index = pages["index"]
    said = dict(re.findall(r"^\| \[[^]]+\]\(([\w/]+)\.md\) \| (.+) \|$", index, re.M))
    lines = [f"# {_title(index)}", "", f"> {_first_sentence(index)}", "", "## Pages", ""]
    for name, text in pages.items():
        if name != "index":
            lines.append(f"- [{_title(text)}]({name}.md): {said.get(name) or _first_sentence(text)}")
    return "\n".join(lines) + "\n"


def _write(app: Any, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    source, built = Path(app.srcdir), Path(app.outdir)
    index = (source / "index.md").read_text(encoding="utf-8")
    tree = re.search(r"```\{toctree\}\n(.*?)```", index, re.S)
    assert tree is not None
    names = ["index", *re.findall(r"^([\w/]+)$", tree[1], re.M)]
    pages = {name: expanded((source / f"{name}.md").read_text(encoding="utf-8")) for name in names}
    for name, text in pages.items():
        twin = built / f"{name}.md"
        twin.parent.mkdir(parents=True, exist_ok=True)
        twin.write_text(text, encoding="utf-8")
    (built / "llms.txt").write_text(llms_text(pages), encoding="utf-8")


def _title(text: str) -> str:
    return re.sub(r"^# ", "", text.partition("\n")[0])


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.split("\n\n")[1].split())
    return re.split(r"(?<=[.:?])\s", paragraph, maxsplit=1)[0].replace("**", "")
