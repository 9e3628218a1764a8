"""Messages and translations of gettext's catalogues."""

import sys

import pytest

from bert_tf.configs.tasks import Seq2SeqConfig
from bert_tf.examples import Seq2SeqExample
from data_pipelines.finetuning.labelled import read_examples

CONFIG = Seq2SeqConfig()
HEADER = """msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\\n"
"Plural-Forms: nplurals={forms}; plural=n;\\n"

"""
MESSAGES = """
#. a comment
#: views.py:12
msgctxt "noun"
msgid "boat"
msgstr "Boot"

msgid ""
"A long "
"message.\\n"
msgstr "Eine lange Nachricht.\\n"

#, fuzzy
msgid "river"
msgstr "Ufer"

msgid "miller"
msgstr ""

#~ msgid "old"
#~ msgstr "alt"
"""
PLURAL = """
msgid "%d file"
msgid_plural "%d files"
"""


@pytest.fixture(autouse=True)
def polib():
    return pytest.importorskip("polib", reason="pip install -r tests/packages.txt")


def _written(path, text, forms=2):
    path.write_text(HEADER.format(forms=forms) + text, encoding="utf-8")
    return str(path)


def test_translated_messages_are_pairs(tmp_path):
    path = _written(tmp_path / "de.po", MESSAGES)
    found = read_examples(path, CONFIG).examples
    assert found == [Seq2SeqExample("boat", "Boot"), Seq2SeqExample("A long message.", "Eine lange Nachricht.")]
    assert found[0].source == f"{path}, line 7"  # of its comment
    unlabelled = read_examples(path, CONFIG, labelled=False).examples
    assert [example.text for example in unlabelled] == ["boat", "A long message.", "river", "miller"]
    assert not any(example.labelled for example in unlabelled)


@pytest.mark.parametrize(
    ("forms", "singular", "plural"),
    [
        (["%d Datei", "%d Dateien"], ("%d Datei",), ("%d Dateien",)),
        (["%d 个文件"], ("%d 个文件",), ("%d 个文件",)),
        (["%d plik", "%d pliki", "%d plików"], ("%d plik",), ("%d pliki", "%d plików")),
        (["x", "y", "y"], ("x",), ("y",)),
    ],
)
def test_a_plural_has_the_other_forms_as_targets(forms, singular, plural, tmp_path):
    lines = "".join(f'msgstr[{number}] "{form}"\n' for number, form in enumerate(forms))
    found = read_examples(_written(tmp_path / "a.po", PLURAL + lines, len(forms)), CONFIG).examples
    assert [(example.text, example.references) for example in found] == [("%d file", singular), ("%d files", plural)]


def test_files_that_are_no_catalogues_are_named(tmp_path, monkeypatch):
    bad = _written(tmp_path / "bad.po", 'msgid "a"\nmsgstr "b"\nno keyword\n')
    with pytest.raises(ValueError, match=r"bad.po, line 8: not a message catalogue"):
        read_examples(bad, CONFIG)
    empty = _written(tmp_path / "empty.po", 'msgid "a"\nmsgstr ""\n')
    with pytest.raises(ValueError, match=r"at least one example. Received: '.*empty.po', which has none"):
        read_examples(empty, CONFIG)
    monkeypatch.setitem(sys.modules, "polib", None)
    with pytest.raises(ValueError, match=r"`path` with .po needs polib: pip install 'bert_tf\[generation\]'"):
        read_examples(empty, CONFIG)
