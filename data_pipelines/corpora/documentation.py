"""A corpus that every machine has: the documentation inside the installed Python packages.

Source files are parsed with `ast`, never imported or executed. Each module is a document, made of the prose of its
docstrings. Where TensorFlow and its companions are installed, they give 10 to 20 MB of English.
"""

import ast
import dataclasses
import gc
import inspect
import itertools
import multiprocessing
import os
import sysconfig
import warnings
from array import array
from collections.abc import Collection, Iterator
from pathlib import Path

from bert_tf.utils.progress import progress_bar
from data_pipelines.corpora import docstring_prose
from data_pipelines.corpora.deduplication import NearDuplicateFilter, fingerprints

STANDARD_LIBRARY = "python"
"""The package name of the standard library's modules and of the topics of `help()`."""

_TOPICS_MODULE = "pydoc_data.topics"
_OWN_PACKAGES = frozenset(("bert_tf", "data_pipelines", "experiments", "tpu_configs"))
# Tests hold little prose; vendored copies and re-export trees (`tensorflow/_api`) repeat other files.
_TEST_FOLDERS = ("test", "tests", "idlelib", "lib2to3", "turtledemo")
_COPY_FOLDERS = ("_vendor", "vendor", "_vendored", "externals", "_api", "_distutils", "site-packages", "dist-packages")
_SKIPPED_FOLDERS = frozenset(_TEST_FOLDERS + _COPY_FOLDERS)
_SKIPPED_ENDINGS = ("_test.py", "_pb2.py", "_pb2_grpc.py", "conftest.py")
_MIN_DOCSTRING_CHARACTERS = 40
_MIN_DOCUMENT_WORDS = 30
# The largest share of known eight-word runs in a paragraph that is kept: a fifth must be new. The labelled task
# (finetuning/documentation_packages.py), whose parts must not share boilerplate, is stricter.
_MAX_OVERLAP = 0.8
# The calls by which NumPy and others document functions that are written in C: the text is an argument.
_DOCUMENTING_CALLS = frozenset(("add_newdoc", "add_docstring", "add_doc", "replace_docstring", "_add_docstring"))


@dataclasses.dataclass(frozen=True)
class ModuleDocumentation:
    """The prose of one module.

    Attributes:
        package: the top-level package, or `python` for the standard library.
        module: the dotted name of the module.
        paragraphs: a list of sentences for each paragraph, in the order of the source.
    """

    package: str
    module: str
    paragraphs: list[list[str]]

    @property
    def document(self) -> list[str]:
        """The sentences of all paragraphs: the module as one document of a corpus."""
        return list(itertools.chain.from_iterable(self.paragraphs))


@dataclasses.dataclass(frozen=True)
class _SourceFile:
    package: str
    module: str
    path: str


def python_documentation(packages: Collection[str] | None = None, num_workers: int = 0) -> list[ModuleDocumentation]:
    """Return the documentation of the standard library and of the installed packages, except this project.

    Paragraphs that mostly repeat earlier ones, such as copied APIs and boilerplate, are dropped, so that no module
    repeats the text of another. The result depends on the installed files alone.

    Args:
        packages: the top-level packages to read, `python` for the standard library; None for all.
        num_workers: the number of processes, at most eight; 0 for one a core. Processes are spawned, so a script that
            calls this function needs the usual `if __name__ == "__main__":`.

    Returns:
        The modules that have at least 30 words of prose, sorted by package, then by name.

    Raises:
        ValueError: no documentation was found, for example because none of `packages` is installed.
    """
    sources = [source for source in _source_files() if packages is None or source.package in packages]
    num_workers = max(1, min(num_workers or os.cpu_count() or 1, 8, len(sources) // 50))
    duplicates = NearDuplicateFilter(_MAX_OVERLAP)
    modules = []
    for document in _read_all(sources, num_workers):
        for package, module, paragraphs in document:
            kept = [text for text, runs in paragraphs if duplicates.admit_fingerprints(runs)]
            if sum(len(sentence.split()) for text in kept for sentence in text) >= _MIN_DOCUMENT_WORDS:
                modules.append(ModuleDocumentation(package, module, kept))
    if not modules:
        wanted = "any package" if packages is None else ", ".join(sorted(packages))
        raise ValueError(
            f"`packages` must name installed packages with documentation. Received: {wanted}; searched: "
            f"{', '.join(map(str, _roots()))}"
        )
    return modules


def installed_docstrings(packages: Collection[str] | None = None) -> Iterator[tuple[str, str]]:
    """Yield each docstring of the modules that `python_documentation` reads, with its package, sorted by module.

    Args:
        packages: see `python_documentation`.
    """
    for source in _source_files():
        if packages is None or source.package in packages:
            for docstring in docstrings(_tree_of(source)):
                yield source.package, inspect.cleandoc(docstring)


def _roots() -> list[Path]:
    """Return the folders of the standard library and of installed packages."""
    paths = sysconfig.get_paths()
    return [Path(path) for path in dict.fromkeys(paths[name] for name in ("stdlib", "purelib", "platlib"))]


def _source_files() -> list[_SourceFile]:
    """Return the files to read, sorted by package and module: the order of the file system differs between machines."""
    found: dict[tuple[str, str], _SourceFile] = {}
    standard_library, *site_packages = _roots()
    for root in (standard_library, *site_packages):
        for folder, subfolders, names in os.walk(root):
            subfolders[:] = [name for name in subfolders if name not in _SKIPPED_FOLDERS and name.isidentifier()]
            if Path(folder) == root:
                subfolders[:] = [name for name in subfolders if name not in _OWN_PACKAGES]
            for name in names:
                if not name.endswith(".py") or name.endswith(_SKIPPED_ENDINGS) or name.startswith("test_"):
                    continue
                parts = Path(folder, name).relative_to(root).with_suffix("").parts
                module = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
                package = STANDARD_LIBRARY if root == standard_library else parts[0]
                found.setdefault((package, module), _SourceFile(package, module, os.path.join(folder, name)))
    return [found[key] for key in sorted(found)]


_Paragraph = tuple[list[str], array]  # sentences, fingerprints
_Document = tuple[str, str, list[_Paragraph]]  # package, module, paragraphs


def _read_all(sources: list[_SourceFile], num_workers: int) -> Iterator[list[_Document]]:
    """Yield the result of `_read_documents` for every file, in order, with a progress bar."""
    if num_workers == 1:
        yield from progress_bar(map(_read_documents, sources), label="Reading", total=len(sources), unit="file")
        return
    # Processes are spawned, not forked: TensorFlow's threads, which the caller may have started, do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(num_workers) as pool:
        documents = pool.imap(_read_documents, sources, chunksize=16)
        yield from progress_bar(documents, label="Reading", total=len(sources), unit="file")


def _read_documents(source: _SourceFile) -> list[_Document]:
    """Return the prose of one source file, or nothing if it is a template or otherwise cannot be parsed."""
    tree = _tree_of(source)
    if source.module == _TOPICS_MODULE:
        texts = {f"{_TOPICS_MODULE}.{topic}": [text] for topic, text in _topics(tree)}
    else:
        texts = {source.module: list(docstrings(tree))}
    documents = []
    for module, docs in texts.items():
        paragraphs = [paragraph for text in docs for paragraph in docstring_prose.paragraphs(text)]
        if paragraphs:
            described = [(sentences, fingerprints(" ".join(sentences))) for sentences in paragraphs]
            documents.append((source.package, module, described))
    return documents


def _tree_of(source: _SourceFile) -> ast.Module:
    """Return the syntax tree of a file; an empty one if it has no docstrings or cannot be parsed."""
    data = Path(source.path).read_bytes()  # the interpreter's own files are always local
    if b'"""' not in data and b"'''" not in data:
        return ast.Module([], [])
    try:
        return _parse(data)
    except (SyntaxError, ValueError, RecursionError):
        return ast.Module([], [])


def _parse(data: bytes) -> ast.Module:
    # Syntax trees are large and free of cycles: without this, the collector takes half of the time and frees nothing.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # packages' strings contain invalid escapes
            return ast.parse(data)
    finally:
        if was_enabled:
            gc.enable()


def docstrings(tree: ast.Module) -> Iterator[str]:
    """Yield the docstrings of a module, its classes and functions, in the order of the source, with indentation."""
    if docstring := ast.get_docstring(tree, clean=False):
        yield docstring
    yield from _docstrings_of(tree.body)


def _docstrings_of(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            if docstring and len(docstring) >= _MIN_DOCSTRING_CHARACTERS:
                yield docstring
            yield from _docstrings_of(node.body)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield from _documenting_arguments(node.value)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            for part in (node.body, getattr(node, "orelse", []), getattr(node, "finalbody", [])):
                yield from _docstrings_of(part)


def _documenting_arguments(call: ast.Call) -> Iterator[str]:
    name = getattr(call.func, "id", getattr(call.func, "attr", None))
    if name not in _DOCUMENTING_CALLS:
        return
    for argument in call.args:
        for node in ast.walk(argument):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" in node.value:
                yield node.value


def _topics(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the entries of `pydoc_data.topics`, a module that is one large dictionary of texts, sorted by name."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            yield from sorted(ast.literal_eval(node.value).items())
