"""Pairs from docstrings and catalogues: tiny packages of one's own stand in for those of a registry."""

import json
import zipfile
from pathlib import Path

import pytest

from experiments.corpora import packages, pairs, summaries, translations
from experiments.corpora.pairs import Pair

DOCSTRING = """Return the boat that the miller saw near the river.

The boat is old, and nobody knows who left it there. It may be that the sailor forgot it on his way to the road.

Args:
    name: The name that is painted on the boat.
"""
CATALOGUE = """msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

msgid "_Open the old boat"
msgstr "打开旧船(_O)"

msgid "Open"
msgstr "打开"

msgid "the same in both"
msgstr "the same in both"
"""


def test_a_source_occurs_once_and_a_package_is_in_one_part(tmp_path):
    found = [Pair(f"package{number % 20}", f"the boat {number}", f"boat {number}") for number in range(200)]
    again = [Pair("other", "The  boat 3", "another")]
    counts = pairs.write([*found, *again], str(tmp_path), 0.1)
    assert {part: count["pairs"] for part, count in counts.items()} == {"train": 160, "eval": 20, "test": 20}
    lines = {
        part: [json.loads(line) for line in (tmp_path / f"{part}.jsonl").read_text().splitlines()]
        for part in pairs.PARTS
    }
    assert sorted(line["source"] for part in lines.values() for line in part) == sorted(pair.source for pair in found)
    names = [{line["package"] for line in part} for part in lines.values()]
    assert not names[0] & names[1] | names[0] & names[2] | names[1] & names[2]
    with pytest.raises(ValueError, match="Received: none for eval, of 1 pairs in 1 packages"):
        pairs.write(found[:1], str(tmp_path), 0.1)


def test_the_first_sentence_of_a_docstring_is_the_target():
    [pair] = summaries.pair_of("mill", DOCSTRING)
    assert pair.target == "Return the boat that the miller saw near the river."
    assert pair.source.startswith("The boat is old, and nobody")
    assert pair.source.endswith("The name that is painted on the boat.")
    first_is_code = ">>> boat()\n\n" + DOCSTRING
    two_sentences = DOCSTRING.replace("river.\n", "river. It is old and it is grey.\n", 1)
    for other in (first_is_code, two_sentences, DOCSTRING.split("\n")[0], ""):
        assert list(summaries.pair_of("mill", other)) == []


@pytest.mark.parametrize("suffix", ["po", "mo"])
def test_messages_of_a_language_are_pairs(suffix, tmp_path, monkeypatch, capsys):
    polib = pytest.importorskip("polib", reason="pip install -r tests/packages.txt")
    registry = tmp_path / "registry"
    registry.mkdir()
    catalogue = polib.pofile(CATALOGUE)
    for number in range(30):
        catalogue[0].msgid = f"_Open the old boat number {number}"
        content = str(catalogue) if suffix == "po" else catalogue.to_binary()
        with zipfile.ZipFile(registry / f"boat{number}-1.0.zip", "w") as archive:
            archive.writestr(f"boat/locale/zh_CN/LC_MESSAGES/boat.{suffix}", content)
            archive.writestr(f"boat/locale/fr/LC_MESSAGES/boat.{suffix}", content)
    table = tmp_path / "sources.tsv"
    lines = [f"boat{number}\tpypi\tMIT\t1.0\n" for number in range(30)]
    table.write_text("name\tregistry\tlicence\tversion\n" + "".join(lines))
    monkeypatch.setattr(packages, "fetch", lambda source, folder: Path(registry, f"{source.name}-1.0.zip"))
    values = {"output_dir": str(tmp_path / "out"), "sources": str(table), "languages": ["zh_CN"], "holdout": 0.1}
    monkeypatch.setattr(translations.flags, "FLAGS", type("Values", (), values))
    translations.main([])
    assert json.loads(capsys.readouterr().out)["train"]["pairs"] == 24
    first = json.loads((tmp_path / "out" / "train.jsonl").read_text().splitlines()[0])
    assert first["source"].startswith("Open the old boat number ")
    assert first["target"] == "打开旧船"
