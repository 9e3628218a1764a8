import ast
import sysconfig

import pytest

from data_pipelines.corpora import documentation

PROSE = (
    "This module of {0} explains at some length what it is for, so that a reader of {0} may learn how the {0} works "
    "and why it was made, and so that the document of {0} has enough words to be kept by those who read {0}."
)


def install(folder, name, source):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(source if isinstance(source, bytes) else source.encode())


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Return the folders of a standard library and of installed packages, both still empty."""
    roots = [tmp_path / "stdlib", tmp_path / "site-packages"]
    for root in roots:
        root.mkdir()
    monkeypatch.setattr(documentation, "_roots", lambda: roots)
    return roots


def test_docstrings_are_found_without_executing_anything(environment):
    stdlib, site = environment
    install(stdlib, "colors.py", f'"""{PROSE.format("color")}"""\nraise SystemExit("executed")\n')
    install(site, "paint/__init__.py", f'"""{PROSE.format("paint")}"""\nimport does_not_exist\n')
    install(
        site,
        "paint/brush.py",
        f'class Brush:\n    """{PROSE.format("brush")}"""\n    async def draw(self):\n'
        f'        """{PROSE.format("drawing")}"""\n'
        f'if True:\n    add_newdoc("paint", "fill", """\n    {PROSE.format("filling")}\n    """)\n',
    )
    modules = documentation.python_documentation(num_workers=1)
    assert [(module.package, module.module) for module in modules] == [
        ("paint", "paint"),
        ("paint", "paint.brush"),
        ("python", "colors"),
    ]
    assert modules[1].document == [PROSE.format(name) for name in ("brush", "drawing", "filling")]
    assert modules[1].paragraphs == [[sentence] for sentence in modules[1].document]


def test_tests_copies_own_packages_and_unreadable_files_are_left_out(environment):
    _, site = environment
    docstring = '"""{}"""'.format
    install(site, "good/module.py", docstring(PROSE.format("goodness")))
    for number, name in enumerate(
        [
            "good/tests/test_it.py",
            "good/_vendor/other.py",
            "good/it_test.py",
            "bert_tf/models.py",
            "good-1.dist-info/a.py",
        ]
    ):
        install(site, name, docstring(PROSE.format(f"leftover{chr(97 + number)}")))
    install(site, "good/broken.py", '"""' + PROSE.format("breakage") + '"""\ndef def\n')
    install(site, "good/latin.py", b'"""' + PROSE.format("caf\xe9").encode("latin1") + b'"""\n')
    install(site, "good/nul.py", b'"""' + PROSE.format("zero").encode() + b'"""\n\0\n')
    install(site, "good/short.py", '"""A short text of few words."""')
    assert [module.module for module in documentation.python_documentation(num_workers=1)] == ["good.module"]


def test_a_paragraph_that_was_seen_in_another_module_is_dropped(environment):
    _, site = environment
    install(site, "a/one.py", f'"""{PROSE.format("sharing")}"""')
    install(site, "b/two.py", f'"""{PROSE.format("sharing").upper()}\n\n{PROSE.format("owning")}"""')
    modules = documentation.python_documentation(num_workers=1)
    assert [module.document for module in modules] == [[PROSE.format("sharing")], [PROSE.format("owning")]]


def test_topics_of_help_are_documents_of_their_own(environment):
    stdlib, _ = environment
    topics = {"while": PROSE.format("looping"), "if": PROSE.format("branching")}
    install(stdlib, "pydoc_data/topics.py", f'"""Generated."""\ntopics = {topics!r}\n' + "'''end'''\n")
    modules = documentation.python_documentation(num_workers=1)
    assert [module.module for module in modules] == ["pydoc_data.topics.if", "pydoc_data.topics.while"]


@pytest.mark.parametrize("packages", [None, ["absent"]])
def test_no_documentation_is_an_error(environment, packages):
    with pytest.raises(ValueError, match=r"`packages` must name .*(any package|absent);"):
        documentation.python_documentation(packages)


def test_processes_do_not_change_the_result_of_this_environment():
    alone = documentation.python_documentation(["absl", "grpc", "rich"], num_workers=1)
    together = documentation.python_documentation(["absl", "grpc", "rich"], num_workers=2)
    assert alone == together
    assert {module.package for module in alone} == {"absl", "grpc", "rich"}
    assert sum(len(module.document) for module in alone) > 1000


def test_the_standard_library_of_this_environment_is_documented():
    names = {source.module: source for source in documentation._source_files()}
    assert names["json.decoder"].path.startswith(sysconfig.get_path("stdlib"))
    [(package, module, paragraphs)] = documentation._read_documents(names["json.decoder"])
    assert (package, module) == ("python", "json.decoder")
    assert any("JSON" in sentence for sentences, _ in paragraphs for sentence in sentences)
    assert not any(name.startswith(("bert_tf", "data_pipelines")) for name in names)


def test_docstrings_come_in_the_order_of_the_source():
    long = "x" * 60
    tree = ast.parse(
        f'"""m {long}"""\nclass A:\n  """a {long}"""\n  def f(self):\n    """f {long}"""\n    def g():\n'
        f'      """g {long}"""\ntry:\n  pass\nfinally:\n  def h():\n    """h {long}"""\n'
    )
    assert [text[0] for text in documentation.docstrings(tree)] == list("mafgh")


def test_docstrings_of_packages_come_without_indentation(environment):
    _, site = environment
    install(site, "paint/brush.py", '"""A brush.\n\n    It has hairs.\n    """\n')
    install(site, "paint/broken.py", '"""')
    install(site, "glue/a.py", '"""A glue."""\n')
    assert list(documentation.installed_docstrings(["paint"])) == [("paint", "A brush.\n\nIt has hairs.")]
    assert [package for package, _ in documentation.installed_docstrings()] == ["glue", "paint"]
