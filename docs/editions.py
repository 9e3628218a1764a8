"""An extension of Sphinx for pages in two languages: `data.md` in English, and its translation `zh/data.md`.

Each page of such a pair links to the other. Chinese pages say their language, their lines are joined without spaces,
and the search finds Chinese words.
"""

import re
from pathlib import Path
from typing import Any

FOLDER = "zh/"
_WIDE = r"\u3000-\u303f\u4e00-\u9fff\uff00-\uffef"  # ideographs and the punctuation between them
_RUNS = re.compile(r"[\u4e00-\u9fff]+|[^\W\u4e00-\u9fff]+")
# The same as `words_of`.
_SPLIT_QUERY = r"""
var splitQuery = (query) =>
  query
    .split(/[^\p{Letter}\p{Number}_\p{Emoji_Presentation}]+/gu)
    .flatMap((term) => term.match(/[\u4e00-\u9fff]+|[^\u4e00-\u9fff]+/g) || [])
    .flatMap((run) =>
      /^[\u4e00-\u9fff]{3,}$/.test(run)
        ? Array.from({ length: run.length - 1 }, (_, start) => run.slice(start, start + 2))
        : [run]
    );
"""


def setup(app: Any) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    from sphinx.search.en import SearchEnglish

    class SearchBoth(SearchEnglish):  # type: ignore[misc]
        lang = "en_zh"
        js_splitter_code = _SPLIT_QUERY

        def split(self, input: str) -> list[str]:
            return words_of(input)

    app.add_search_language(SearchBoth)
    app.connect("source-read", _read)
    app.connect("html-page-context", _name_language)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def words_of(text: str) -> list[str]:
    """Return the words of a text to search by; a run of ideographs has no spaces, so that its pairs stand for words."""
    words = []
    for run in _RUNS.findall(text):
        pairs = len(run) > 2 and "\u4e00" <= run[0] <= "\u9fff"
        words += [run[start : start + 2] for start in range(len(run) - 1)] if pairs else [run]
    return words


def linked(text: str, twin: str, label: str) -> str:
    """Return a page with a link to its twin below the title, unless it has one already."""
    if f"]({twin})" in text:
        return text
    title, _, rest = text.partition("\n")
    return f"{title}\n\n[{label}]({twin})\n{rest}"


def joined(text: str) -> str:
    """Return a page whose paragraphs have no line breaks after wide characters, where a browser would show a space."""
    lines: list[str] = []
    code = False
    for line in text.split("\n"):
        code ^= line.lstrip().startswith("```")
        starts = not line.strip() or re.match(r" *(- |\d+\. |#|\||```)", line)
        if lines and not code and not starts and re.search(rf"[{_WIDE}]$", lines[-1]):
            lines[-1] += line.lstrip()
        else:
            lines.append(line)
    return "\n".join(lines)


def _read(app: Any, page: str, source: list[str]) -> None:
    if page.startswith(FOLDER):
        original = page.removeprefix(FOLDER)
        if Path(app.srcdir, f"{original}.md").exists():
            source[0] = linked(source[0], f"../{original}.md", "English")
        source[0] = joined(source[0])
    elif Path(app.srcdir, f"{FOLDER}{page}.md").exists():
        source[0] = linked(source[0], f"{FOLDER}{page}.md", "中文")


def _name_language(app: Any, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    if page.startswith(FOLDER):
        context["language"] = "zh-CN"
