"""An extension of Sphinx: a block `public` on a page becomes the signatures and docstrings of the names that it lists.

A base class is given with its module, such as `bert_tf.models.text_model.TextModel`. The sources are parsed and not
imported, so that the site is built where neither Keras nor TensorFlow is installed.

    ```{public}
    BertClassifier
    load
    ```
"""

import ast
import inspect
import re
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(r"^```\{public\}\n(.*?)^```$", re.M | re.S)
_SECTIONS = ("Args", "Attributes", "Raises", "Returns", "Yields")
_Node = ast.ClassDef | ast.FunctionDef


def setup(app: Any) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def expanded(text: str) -> str:
    """Return the Markdown of a page with its blocks `public` replaced by what they stand for.

    Raises:
        ValueError: a name in a block is not public, or has no docstring.
    """
    return _BLOCK.sub(lambda block: "\n".join(_entry(name) for name in block[1].split()), text)


def public_homes() -> dict[str, str]:
    """Return the module of each public name of `bert_tf`, as its `_HOMES` has them."""
    tree = ast.parse((_ROOT / "bert_tf" / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES":
            homes: dict[str, str] = ast.literal_eval(node.value)
            return homes
    raise ValueError("bert_tf/__init__.py must assign `_HOMES`. Received: a module without it")


def _read(app: Any, page: str, source: list[str]) -> None:
    source[0] = expanded(source[0])


def _entry(name: str) -> str:
    module, _, short = name.rpartition(".")
    module = module or public_homes().get(name, "")
    if not module:
        raise ValueError(f"a name of a block `public` must be one of bert_tf's. Received: {name!r}")
    node = _definition(module, short)
    heading = f"### bert_tf.{name}\n" if name == short else f"### {short}\n"
    parts = [heading, _signature(node), _described(node)]
    if isinstance(node, ast.ClassDef):
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and _is_shown(method):
                parts += [f"**`{short}.{method.name}`**\n", _signature(method), _described(method)]
    return "\n".join(parts)


def _definition(module: str, name: str) -> _Node:
    """Return the class or function, which the module defines or imports from another one."""
    path = _ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names):
            return _definition(node.module, name)
    raise ValueError(f"{file} must define {name}. Received: a module without it")


def _is_shown(method: ast.FunctionDef) -> bool:
    """Keras's own methods (`build`, `call`, ...) have no part for readers, and private ones have none."""
    keras = {"build", "call", "get_config", "from_config", "compute_output_shape", "compute_mask"}
    return not method.name.startswith("_") and method.name not in keras and bool(ast.get_docstring(method))


def _signature(node: _Node) -> str:
    function: ast.AST | None = node
    if isinstance(node, ast.ClassDef):
        methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
        function = next((method for method in methods if method.name == "__init__"), None)
    arguments = ast.unparse(function.args) if isinstance(function, ast.FunctionDef) else ""
    arguments = re.sub(r"^(self|cls)(, )?", "", arguments)
    result = f" -> {ast.unparse(node.returns)}" if isinstance(node, ast.FunctionDef) and node.returns else ""
    return f"```py\n{node.name}({arguments}){result}\n```\n"


def _described(node: _Node) -> str:
    """Return a docstring as Markdown: sections as lists, examples as blocks."""
    text = ast.get_docstring(node)
    if not text:
        raise ValueError(f"{node.name} must have a docstring. Received: none")
    lines: list[str] = []
    section = ""
    for line in inspect.cleandoc(text).splitlines():
        if line.rstrip(":") in _SECTIONS and line.endswith(":"):
            section = line
            lines += ["", f"*{section}*", ""]
        elif section and line.startswith("    ") and not line.startswith("        "):
            found = re.match(r"    ([\w*, ]+): (.*)", line)
            lines.append(f"- `{found[1]}`: {found[2]}" if found else f"- {line.strip()}")
        elif section and line.startswith("        "):
            lines.append(f"  {line.strip()}")
        else:
            section = section if not line else ""
            lines.append(line)
    return _examples_fenced("\n".join(lines)) + "\n"


def _examples_fenced(text: str) -> str:
    blocks = []
    for paragraph in text.split("\n\n"):
        blocks.append(f"```pycon\n{paragraph}\n```" if paragraph.lstrip().startswith(">>>") else paragraph)
    return "\n\n".join(blocks)


if __name__ == "__main__":
    sys.stdout.write(expanded(Path(sys.argv[1]).read_text(encoding="utf-8")))
