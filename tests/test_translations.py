"""The Chinese edition in docs/zh/ says what the English pages say: the same blocks in the same order.

A block is a heading, a paragraph, an item of a list, a table or a block of code. A block of one page and its
translation have the same inline code, the same links and the same measured numbers; commands have the same flags and
numbers, and Python is the same but for texts. What a paragraph says in words is not compared.
"""

import ast
import os
import re
import shlex
from dataclasses import dataclass

import pytest
from page_commands import PAGES, REPOSITORY, TRANSLATIONS, text_of

# Start, guides and how-to, whose translations are in docs/zh/ under the same names, and the README.
EDITION = {
    "README.md": "docs/zh/README.md",
    "docs/index.md": "docs/zh/index.md",
    **{f"docs/{page}.md": f"docs/zh/{page}.md" for page in PAGES},
}
# Pages in English alone: for those who come from elsewhere, for operators of TPUs, concepts and reference.
ENGLISH_ONLY = {
    f"docs/{page}.md"
    for page in (
        *("migration", "engines", "tpu", "scale", "reference", "changelog"),
        *("concepts", "formats", "comparison"),
        *(page for page in PAGES if page.startswith("coming_from/")),
    )
}
# Pages whose translation is still to be written.
UNTRANSLATED: set[str] = set()
TRANSLATED = sorted(set(EDITION) - ENGLISH_ONLY - UNTRANSLATED)

_CHINESE = re.compile(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_MEASURED = re.compile(r"\d+[.,]\d[\d,.]*(?<![.,])")
_NUMBER = re.compile(r"\d[\d.,]*(?<![.,])")


@dataclass(frozen=True)
class Block:
    """A block of a page: its kind, the language of code, and its text without fences."""

    kind: str
    text: str
    language: str = ""


def blocks_of(text: str) -> list[Block]:
    """Return the blocks of a page in their order, but for trees of pages."""
    blocks: list[Block] = []
    pattern = re.compile(r"^ *```([^\n]*)\n(.*?)^ *```$|^(#+) ([^\n]*)$|((?:^\|[^\n]*\n?)+)|^([^\n]+)$", re.M | re.S)
    end = 0
    for found in pattern.finditer(text):
        language, code, level, title, table, line = found.groups()
        if code is not None:
            blocks.append(Block("code", code, "sh" if language == "bash" else language))
        elif level:
            blocks.append(Block(f"heading {len(level)}", title))
        elif table:
            rows = table.strip().splitlines()
            blocks += [Block(f"row of {len(_cells(row))} cells", row) for row in rows]
        elif re.match(r" *(- |\d+\. )", line):
            blocks.append(Block("item", line))
        elif text[end : found.start()] == "\n" and blocks and blocks[-1].kind in ("paragraph", "item"):
            blocks[-1] = Block(blocks[-1].kind, f"{blocks[-1].text}\n{line}")
        else:
            blocks.append(Block("paragraph", line))
        end = found.end()
    return [block for block in blocks if block.language != "{toctree}"]


def _cells(row: str) -> list[str]:
    return re.split(r"(?<!\\)\|", row.strip("|"))


def inline_code(text: str) -> set[str]:
    """Return the code in a text, without the pieces of data that are Chinese."""
    return {" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text) if not _CHINESE.search(code)}


def numbers(block: Block) -> set[str]:
    """Return the numbers of a row, and of other text those that look measured, such as 0.81 and 3,144."""
    words = re.sub(r"`[^`]+`", "", _LINK.sub("", block.text))
    words = re.sub(r"\d[\d.,]* (?:million|billion)|\d[\d.,]* ?[万亿]", "", words)  # written in another unit
    return set((_NUMBER if block.kind.startswith("row") else _MEASURED).findall(words))


def slugs_of(page: str) -> list[str]:
    """Return the anchors of a page's headings, as the site and GitHub make them."""
    titles = [block.text for block in blocks_of(text_of(page)) if block.kind.startswith("heading")]
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


def links(page: str, text: str) -> list[str]:
    """Return where the links of a text lead (with the number of a heading), but for those to the page's twin."""
    found = []
    for link in _LINK.findall(text):
        target, _, anchor = link.partition("#")
        if "://" in link or target.startswith("mailto:"):
            found.append(link)
            continue
        path = os.path.normpath(os.path.join(os.path.dirname(page), target)) if target else page
        if EDITION.get(path) == page or EDITION.get(page) == path:
            continue
        path = path if path in TRANSLATIONS else _translated(path)
        if anchor:
            assert anchor in slugs_of(path if "zh/" in page else _original(path)), f"{page} links to {link}"
            path += f" heading {slugs_of(path if 'zh/' in page else _original(path)).index(anchor)}"
        if "zh/" in page:
            shown = os.path.normpath(os.path.join(os.path.dirname(page), target)) if target else page
            assert shown == path.partition(" ")[0], f"{page} must link to the translation. Received: {link}"
        found.append(path)
    return sorted(found)


def _translated(path: str) -> str:
    translation = EDITION.get(path, "")
    return translation if translation in TRANSLATIONS else path


def _original(path: str) -> str:
    return next((original for original, translation in EDITION.items() if translation == path), path)


def shell_signature(code: str) -> list[list[str]]:
    """Return the commands of a block: programs, flags, the fields that they set, and numbers; no names or texts."""
    lines = []
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        signature = words[: 2 if words[:1] == ["bert-tf"] else 1]
        previous = ""
        for word in words[len(signature) :]:
            name, _, value = word.partition("=")
            if word.startswith("-") or previous in ("--set", "--grid"):
                signature.append(name)
            signature += [part for part in (word, value) if re.fullmatch(r"[\d.,e-]+", part)]
            previous = word
        lines.append(signature)
    return [line for line in lines if line]


def python_signature(code: str) -> str:
    """Return the syntax of a program without its texts; a list or tuple of texts may have any length."""

    class Blank(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.AST:
            return ast.Constant("") if isinstance(node.value, str) else node

        def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
            values = [self.visit(value) for value in node.values if not isinstance(value, ast.Constant)]
            return ast.JoinedStr(values)

        def visit_List(self, node: ast.List) -> ast.AST:
            texts = all(isinstance(one, ast.Constant) and isinstance(one.value, str) for one in node.elts)
            return ast.List([ast.Constant("")]) if texts else self.generic_visit(node)

        visit_Tuple = visit_List

    return ast.unparse(Blank().visit(ast.parse(code)))


def texts_of(code: str) -> set[str]:
    return {
        node.value
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_the_edition_is_complete_but_for_what_is_said():
    assert set(EDITION) >= ENGLISH_ONLY | UNTRANSLATED
    assert not ENGLISH_ONLY & UNTRANSLATED
    assert sorted(EDITION[page] for page in TRANSLATED) == TRANSLATIONS
    assert [page for page in EDITION if not (REPOSITORY / page).is_file()] == []


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_has_the_blocks_of_its_page(page):
    kinds, expected = (
        [(block.kind, block.language) for block in blocks_of(text_of(one))] for one in (EDITION[page], page)
    )
    assert kinds == expected


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_has_the_code_links_and_numbers_of_its_page(page):
    pairs = zip(blocks_of(text_of(EDITION[page])), blocks_of(text_of(page)), strict=False)
    differences = []
    for block, original in pairs:
        if block.language != original.language:
            continue  # which the test of the blocks reports
        found, expected = _compared(EDITION[page], block), _compared(page, original)
        if found != expected:
            differences.append((block.text, found, expected))
        if block.language in ("python", "py"):
            # Without Chinese, only the name of a file or a language may differ.
            own = {text for text in texts_of(block.text) - texts_of(original.text) if not _CHINESE.search(text)}
            differences += [
                (text, "a text without Chinese") for text in own if not re.fullmatch(r"[\w/]+\.\w+|zh", text)
            ]
    assert differences == []


def _compared(page: str, block: Block) -> object:
    """Return what a block and its translation have in common."""
    if block.kind != "code":
        return inline_code(block.text), links(page, block.text), numbers(block)
    if block.language == "sh":
        return shell_signature(block.text)
    if block.language in ("python", "py"):
        return python_signature(block.text)
    return re.sub(r'"[^"]*"', '""', re.sub(r" +(#|//) .*", "", block.text))  # but for texts and comments


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_is_in_chinese(page):
    words = [block.text for block in blocks_of(text_of(EDITION[page])) if block.kind in ("paragraph", "item")]
    assert [text for text in words if not _CHINESE.search(text)] == []


def test_drift_is_noticed():
    assert [
        block.kind for block in blocks_of("# A\n\ntext\nmore\n\n- one\n  of it\n- two\n\n| a | b |\n| - | - |\n")
    ] == [
        *("heading 1", "paragraph", "item", "item", "row of 2 cells", "row of 2 cells"),
    ]
    assert shell_signature("bert-tf finetune --train_file a.tsv --set train.num_steps=4  # short\n") == [
        ["bert-tf", "finetune", "--train_file", "--set", "train.num_steps", "4"]
    ]
    assert python_signature('f(["a", "b"], x=3)') == python_signature('f(["一"], x=3)')
    assert python_signature('f(["a"], x=3)') != python_signature('f(["a"], x=4)')
    assert python_signature('f(["a"], x="a")') != python_signature('f(["a"], y="a")')
