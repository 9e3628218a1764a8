"""An extension of Sphinx for pages in two languages: `data.md` in English, and its translation `zh/data.md`.

Each page of such a pair links to the other. Chinese pages say their language, and the words around them are Chinese.
Their lines are joined without spaces, and the search finds Chinese words. In both languages a line does not end within
a flag.
"""

import re
from pathlib import Path
from typing import Any

FOLDER = "zh/"
_MARK = r"[\u3000-\u303f\uff00-\uffef]"  # Chinese punctuation, which has its own white space
_IDEOGRAPH = r"[\u4e00-\u9fff]"
_TOUCHING = re.compile(rf"{_MARK}\n|\n{_MARK}|{_IDEOGRAPH}\n{_IDEOGRAPH}")
_RUNS = re.compile(r"[\u4e00-\u9fff]+|[^\W\u4e00-\u9fff]+")
_WORDS = {
    "Back to top": "回到页首",
    "Home": "首页",
    "Next": "下一页",
    "On this page": "本页内容",
    "Previous": "上一页",
    "Search": "搜索",
}
"""The words of the theme around a page."""
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
    app.connect("html-page-context", _finish)
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
    """Return a page without the line breaks beside Chinese characters for which a browser would show a space.

    A break between an ideograph and Latin letters or code stays, because a space belongs there.
    """
    lines: list[str] = []
    code = False
    for line in text.split("\n"):
        code ^= line.lstrip().startswith("```")
        starts = not line.strip() or re.match(r" *(- |\d+\. |#|\||```)", line)
        if lines and not code and not starts and _TOUCHING.search(f"{lines[-1]}\n{line.lstrip()}"):
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


def with_whole_flags(html: str) -> str:
    """Return a page whose flags in code, such as `--extend`, have the class `flag` of `static/book.css`.

    After Chinese punctuation a line may end before such a flag: browsers allow no break before a hyphen.
    """
    html = re.sub(r'<span class="pre">(?=--[\w-]{1,30}[=<])', '<span class="pre flag">', html)
    return re.sub(r'(?<=[，。；：、])(?=<code[^>]*><span class="pre flag">)', "<wbr>", html)


def _finish(app: Any, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    if page.startswith(FOLDER):
        context["language"] = "zh-CN"
        for name in ("_", "gettext"):  # by which the theme's templates ask for their words
            context[name] = lambda text: _WORDS.get(text, text)
    if "body" in context:
        context["body"] = with_whole_flags(context["body"])
