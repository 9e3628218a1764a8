"""An extension of Sphinx: the built site has each page as Markdown too, and `llms.txt`, a list for language models.

A page `data.html` has its twin `data.md` beside it, so that the links between pages hold among the twins as well. The
form of `llms.txt` is that of https://llmstxt.org.
"""

import re
import shutil
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
    said = {}
    for name, text in pages.items():
        folder, _, short = name.rpartition("index")
        if not short and (folder or name == "index"):
            rows = re.findall(r"^\| \[[^]]+\]\(([\w/]+)\.md\) \| (.+) \|$", text, re.M)
            said |= {f"{folder}{page}": words for page, words in rows}
    lines = [f"# {_title(index)}", "", f"> {_first_sentence(index)}", "", "## Pages", ""]
    for name, text in pages.items():
        if name != "index":
            lines.append(f"- [{_title(text)}]({name}.md): {said.get(name) or _first_sentence(text)}")
    return "\n".join(lines) + "\n"


def names_in_order(source: Path, index: str = "index") -> list[str]:
    """Return the names of the pages in the blocks `toctree` of an index, and of an index in a folder, in order."""
    text = (source / f"{index}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```\{toctree\}\n(.*?)^```$", text, re.M | re.S)
    names = []
    for name in re.findall(r"^([\w/]+)$", "".join(blocks), re.M):
        page = index.removesuffix("index") + name
        names += [page, *names_in_order(source, page)] if page.endswith("/index") else [page]
    return names


def _whole(page: Path) -> str:
    """Return the Markdown of a page with its blocks `public` and `include` replaced by what they stand for."""

    def included(block: re.Match[str]) -> str:
        text = page.parent.joinpath(block[1]).read_text(encoding="utf-8")
        # The option `relative-docs` of such a block: links to a folder lead on from the page.
        return text.replace(f"]({block[2]}", "](") if block[2] else text

    text = page.read_text(encoding="utf-8")
    return expanded(re.sub(r"^```\{include\} (\S+)\n(?::relative-docs: (\S+)\n)?```\n", included, text, flags=re.M))


def _write(app: Any, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    source, built = Path(app.srcdir), Path(app.outdir)
    names = ["index", *names_in_order(source)]
    pages = {name: _whole(source / f"{name}.md") for name in names}
    for name, text in pages.items():
        twin = built / f"{name}.md"
        twin.parent.mkdir(parents=True, exist_ok=True)
        twin.write_text(text, encoding="utf-8")
    shutil.copytree(source / "pictures", built / "pictures", dirs_exist_ok=True)
    (built / "llms.txt").write_text(llms_text(pages), encoding="utf-8")


def _title(text: str) -> str:
    return re.sub(r"^# ", "", text.partition("\n")[0])


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.split("\n\n")[1].split())
    return re.split(r"(?<=[.:?])\s|(?<=[。：？])", paragraph, maxsplit=1)[0].replace("**", "")
