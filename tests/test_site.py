"""The extensions of the site in docs/: the reference, the Markdown twins, and `llms.txt`. None of them needs Sphinx."""

import importlib
import re
import sys
from pathlib import Path

import pytest

import bert_tf

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture(scope="module")
def extensions():
    """Return the modules `reference_pages`, `markdown_twins` and `editions`."""
    sys.path.insert(0, str(DOCS))
    yield (
        importlib.import_module("reference_pages"),
        importlib.import_module("markdown_twins"),
        importlib.import_module("editions"),
    )
    sys.path.remove(str(DOCS))


@pytest.fixture(scope="module")
def reference(extensions):
    return extensions[0].expanded((DOCS / "reference.md").read_text(encoding="utf-8"))


def test_no_public_name_is_missing_from_the_reference(extensions, reference):
    headings = [line.removeprefix("### bert_tf.") for line in reference.splitlines() if line.startswith("### bert_tf.")]
    assert sorted(headings) == sorted(bert_tf.__all__)
    assert set(extensions[0].public_homes()) == set(bert_tf.__all__)


def test_an_entry_has_signature_arguments_errors_and_methods(reference):
    entry = reference.partition("### bert_tf.WordPieceTokenizer\n")[2].partition("\n### ")[0]
    assert "```py\nWordPieceTokenizer(vocab_file: str, do_lower_case: bool=True" in entry
    assert "*Args:*" in entry
    assert "- `do_lower_case`: whether the vocabulary is uncased." in entry
    assert "**`WordPieceTokenizer.encode_pair`**" in entry
    assert "(self" not in entry
    assert "**`TextModel.fit`**" in reference
    assert "**`TextMethods.classify`**" in reference
    load = reference.partition("### bert_tf.load\n")[2].partition("\n### ")[0]
    assert "```pycon\n>>> load(" in load
    assert "*Raises:*\n\n- `FileNotFoundError`:" in load


def test_a_name_that_is_not_public_is_refused(extensions):
    with pytest.raises(ValueError, match=r"must be one of bert_tf's\. Received: 'nothing'"):
        extensions[0].expanded("```{public}\nnothing\n```\n")


def test_llms_txt_lists_the_pages_with_what_the_index_says(extensions):
    index = "# site\n\nWhat it is: a site.\n\n| page | what |\n| --- | --- |\n| [Data](data.md) | of data |\n"
    pages = {"index": index, "data": "# The data\n\nText.\n", "from/a": "# From A\n\nThe first. The\nsecond.\n"}
    pages |= {
        "zh/index": "# 中文\n\n文档。\n\n| 页面 | 内容 |\n| --- | --- |\n| [数据](data.md) | 语料 |\n",
        "zh/data": "# 数据\n\n文本。\n",
    }
    pages |= {"zh/a": "# 甲\n\n第一句。第二句。\n"}
    lines = extensions[1].llms_text(pages).splitlines()
    assert lines == [
        *("# site", "", "> What it is:", "", "## Pages", ""),
        *("- [The data](data.md): of data", "- [From A](from/a.md): The first."),
        *("- [中文](zh/index.md): 文档。", "- [数据](zh/data.md): 语料", "- [甲](zh/a.md): 第一句。"),
    ]


def test_the_extensions_write_a_twin_of_each_page(extensions, tmp_path):
    class App:
        srcdir, outdir = DOCS, tmp_path
        builder = type("Builder", (), {"format": "html"})

    extensions[1]._write(App, None)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")}
    sources = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert written == {source for source in sources if not source.startswith("_build/")} - {"zh/README.md"}
    assert "{public}" not in (tmp_path / "reference.md").read_text(encoding="utf-8")
    listed = (tmp_path / "llms.txt").read_text(encoding="utf-8")
    assert listed.count("\n- [") == len(written) - 1
    order = [listed.index(f"]({name}.md)") for name in ("start", "data", "serving", "engines", "reference", "limits")]
    assert order == sorted(order)
    changelog = (tmp_path / "changelog.md").read_text(encoding="utf-8")
    assert changelog.startswith("# Changelog\n")
    assert "](installation.md)" in changelog
    pictures = re.findall(r"\]\((pictures/[^)]+)\)", (tmp_path / "concepts.md").read_text(encoding="utf-8"))
    assert len(pictures) == 5
    assert [picture for picture in pictures if not (tmp_path / picture).is_file()] == []


def test_a_page_links_to_its_twin_in_the_other_language(extensions):
    page = extensions[2].linked("# 数据\n\n文本。\n", "../data.md", "English")
    assert page == "# 数据\n\n[English](../data.md)\n\n文本。\n"
    assert extensions[2].linked(page, "../data.md", "English") == page


def test_the_words_around_a_chinese_page_are_chinese(extensions):
    *_, editions = extensions
    chinese, english = {}, {}
    editions._finish(None, "zh/data", "page.html", chinese, None)
    editions._finish(None, "data", "page.html", english, None)
    assert [chinese["_"](word) for word in ("Next", "another")] == ["下一页", "another"]
    assert (chinese["language"], english) == ("zh-CN", {})


def test_lines_of_chinese_are_joined_without_spaces(extensions):
    page = "# 数据\n\n第一行，\n第二行 of\nBERT。\n- 一项，\n  两行\n- 又一项\n\n```sh\n# 注释，\n# 不变，\n命令\n```\n"
    assert extensions[2].joined(page) == (
        "# 数据\n\n第一行，第二行 of\nBERT。\n- 一项，两行\n- 又一项\n\n```sh\n# 注释，\n# 不变，\n命令\n```\n"
    )
    assert extensions[2].joined("用 `a`\n（见 `b`），与\n`c` 相\n同") == "用 `a`（见 `b`），与\n`c` 相同"
    readme = (DOCS / "zh" / "README.md").read_text(encoding="utf-8")  # GitHub shows it as it is
    assert extensions[2].joined(readme) == readme


def test_flags_are_marked_so_that_no_line_ends_within_them(extensions):
    flag, other = '<code><span class="pre">--extend</span>', '<span class="pre">run-a</span></code>'
    marked = flag.replace("pre", "pre flag")
    assert extensions[2].with_whole_flags(f"（{flag} {other}，{flag}</code>") == (
        f"（{marked} {other}，<wbr>{marked}</code>"
    )


def test_chinese_is_searched_by_pairs_of_characters(extensions):
    assert extensions[2].words_of("预训练BERT模型, in 5 steps") == ["预训", "训练", "BERT", "模型", "in", "5", "steps"]
    assert extensions[2].words_of("词 微调") == ["词", "微调"]
