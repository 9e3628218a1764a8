"""Words of segmenters: which tokens continue one, by hand, and the records that hold them."""

import dataclasses
import importlib.metadata
import json
import re
import shutil
import warnings
from pathlib import Path

import fake_beam
import numpy as np
import pytest
import simple_segmenter
import tensorflow as tf
from simple_segmenter import DICTIONARY, SEGMENTER
from small_corpus import corpus_documents
from small_records import SPECIALS, contents_of

from bert_tf import features
from bert_tf.configs import MaskingConfig
from bert_tf.tokenization.options import TokenizerOptions
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from data_pipelines.corpora.documents import Document
from data_pipelines.create_pretraining_data import create_pretraining_data
from data_pipelines.input.record_folder import RecordFolder
from data_pipelines.records import segmentation, shards, verification
from data_pipelines.records.manifest import Manifest, PreparationConfig, read_manifest
from data_pipelines.records.segmentation import Segmenter, encode, installed

CHARACTERS = sorted({character for word in DICTIONARY for character in word})
LATIN, THAI, JAPANESE = ("##b", "##c", "bert", "##s"), ("ฉัน", "##รัก", "##ไท", "##ย"), ("こ", "##れは", "##ペン")
TOKENIZER = WordPieceTokenizer.from_tokens(
    [*SPECIALS, *CHARACTERS, *"。，ab", *LATIN, *THAI, *JAPANESE], options=TokenizerOptions(strip_accents=False)
)
CONFIG = PreparationConfig(max_seq_length=32, objective="mlm", max_sequences_per_row=2)


def documents(count: int = 40) -> list[Document]:
    """Documents of Chinese words and a little English, of up to four sentences."""
    generator = np.random.default_rng(5)
    words = [*DICTIONARY, " berts ", " ab "]

    def sentence() -> str:
        return "".join(words[n] for n in generator.integers(0, len(words), generator.integers(3, 12))) + "。"

    return [[sentence() for _ in range(generator.integers(1, 5))] for _ in range(count)]


def make(folder: Path, segmenter: Segmenter | str | None = SEGMENTER, **options) -> Manifest:
    options = {"config": CONFIG, "documents": documents()} | options
    return create_pretraining_data(options.pop("documents"), TOKENIZER, str(folder), segmenter=segmenter, **options)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "_FIRST_SHARD_BYTES", 1000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("segmented") / "records"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_FIRST_SHARD_BYTES", 1000)
        make(path)
    return path


def words_of(text: str, cuts: str) -> list[str]:
    """The words of a text as the records say, for a segmenter that gives `cuts`, which are divided by `|`."""
    segmenter = Segmenter("fixed", "1", lambda _: cuts.split("|"))
    ids, lengths, continues = encode(TOKENIZER, segmenter, [text])
    assert ids.tolist() == TOKENIZER.encode(text)
    assert lengths.tolist() == [len(ids)]
    words: list[str] = []
    for token, continues_word in zip(ids, continues, strict=True):
        if continues_word:
            words[-1] += "+" + TOKENIZER.tokens[token]
        else:
            words.append(TOKENIZER.tokens[token])
    return words


@pytest.mark.parametrize(
    ("text", "cuts", "words"),
    [
        ("北京大学好吃", "北京大学|好吃", ["北+京+大+学", "好+吃"]),
        ("北京 大学", "北京| |大学", ["北+京", "大+学"]),
        ("北京 大学", "北京|大学", ["北+京", "大+学"]),  # spaces left out, as some segmenters do
        ("北京，好吃。", "北京|，|好吃|。", ["北+京", "，", "好+吃", "。"]),
        ("好吃berts大学", "好吃|berts|大学", ["好+吃", "bert+##s", "大+学"]),
        ("abc北京", "a|b|c|北京", ["a+##b+##c", "北+京"]),  # where spaces are set, `##` always continues
        ("a学", "a学", ["a+学"]),  # a word of two scripts
        # Each string is one word of WordPiece. A token in two words of the segmenter joins them.
        ("ฉันรักไทย", "ฉัน|รัก|ไทย", ["ฉัน", "##รัก", "##ไท+##ย"]),
        ("これはペン", "これ|は|ペン", ["こ+##れは", "##ペン"]),
        ("これはペンs", "これ|は|ペン|s", ["こ+##れは", "##ペン", "##s"]),
        ("", "", []),
    ],
)
def test_tokens_continue_the_words_of_the_segmenter(text, cuts, words):
    if not text:
        assert encode(TOKENIZER, SEGMENTER, [text]).continues.tolist() == []
    else:
        assert words_of(text, cuts) == words


@pytest.mark.parametrize("cuts", ["北京|大学|大学", "北京||大学", "京北"])
def test_a_segmenter_that_gives_other_words_is_refused(cuts):
    with pytest.raises(ValueError, match=r"^`segmenter` fixed must give the words of a text in their order\. Received"):
        words_of("北京大学", cuts)


def test_an_unknown_segmenter_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"`segmenter` must be one of jieba, rjieba, sudachipy, pythainlp\. Received"):
        make(tmp_path / "records", "mecab")
    with pytest.raises(ValueError, match=r"`name` of a segmenter must not be empty or none"):
        Segmenter("none", "1", list)
    assert not list(tmp_path.iterdir())


def test_a_segmenter_that_is_not_installed_is_reported_with_its_extra(monkeypatch):
    def missing(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(ValueError, match=r"`segmenter` sudachipy needs .*sudachipy: pip install 'bert_tf\[japanese\]'"):
        installed("sudachipy")


def test_a_worker_with_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda package: "0.42.1")
    segmenter = installed("jieba")
    assert segmenter.version == "jieba 0.42.1"
    monkeypatch.setattr(importlib.metadata, "version", lambda package: "0.43")
    with pytest.raises(ValueError, match=r"jieba must be jieba 0\.42\.1 on every worker\. Received: jieba 0\.43"):
        shards.ShardBuilder(TOKENIZER, CONFIG, segmenter).build(0, documents())


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("jieba", "我在北京大学用BERT。", ["我", "在", "北京大学", "用", "BERT", "。"]),
        ("rjieba", "我在北京大学用BERT。", ["我", "在", "北京大学", "用", "BERT", "。"]),
        ("sudachipy", "東京大学で研究する。", ["東京", "大学", "で", "研究", "する", "。"]),
        ("pythainlp", "ฉันรักภาษาไทย", ["ฉัน", "รัก", "ภาษาไทย"]),
    ],
)
def test_the_segmenters_of_packages(name, text, words):
    try:
        segmenter = installed(name)
    except ValueError as error:
        pytest.skip(str(error))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(segmenter.words(text)) == words
        assert segmenter.starts(text).sum() == len(words)
        assert segmenter.starts("").tolist() == []


def examples_of(folder: Path) -> list[tf.train.Example]:
    return [
        tf.train.Example.FromString(record)
        for shard in read_manifest(str(folder)).shards
        for record in tf.data.TFRecordDataset(str(folder / shard.file_name)).as_numpy_iterator()
    ]


def test_records_differ_from_those_without_a_segmenter_in_one_feature(folder, tmp_path):
    plain, segmented = make(tmp_path / "plain", None), read_manifest(str(folder))
    assert (plain.format_version, plain.segmenter, plain.segmenter_version) == (1, "none", "")
    assert (segmented.format_version, segmented.segmenter, segmented.segmenter_version) == (2, "simple", "1.0")
    assert segmented.statistics == plain.statistics
    for with_words, without in zip(examples_of(folder), examples_of(tmp_path / "plain"), strict=True):
        assert set(without.features.feature) == set(with_words.features.feature) - {features.RECORD_CONTINUES}
        del with_words.features.feature[features.RECORD_CONTINUES]
        assert with_words == without


def test_folders_of_the_first_format_are_read_bit_for_bit(folder, tmp_path):
    make(tmp_path / "plain", None)
    manifest = tmp_path / "plain" / "manifest.json"
    # A version before segmenters wrote none of their fields.
    written = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({name: value for name, value in written.items() if "segmenter" not in name}))
    assert not read_manifest(str(tmp_path / "plain")).is_segmented
    for masking in (MaskingConfig(), MaskingConfig(strategy="token", masked_lm_rate=0.3)):
        batches = [RecordFolder(str(path)).evaluation_dataset(masking, 16) for path in (tmp_path / "plain", folder)]
        for old, new in zip(*batches, strict=True):
            assert {name: tensor.numpy().tobytes() for name, tensor in old.items()} == {
                name: tensor.numpy().tobytes() for name, tensor in new.items()
            }


@pytest.mark.parametrize("strategy", ["whole_word", "ngram", "span"])
def test_masks_fall_on_all_tokens_of_a_word(folder, strategy):
    """Each word of the text is masked as a whole, except that the last span of a sequence may be cut."""
    opened = RecordFolder(str(folder))
    masking = MaskingConfig(strategy=strategy, mask_share=1.0, random_share=0.0, masked_lm_rate=0.3)
    assert opened.manifest.max_sequences_per_row == 2
    words = {tuple(TOKENIZER.encode(word)) for word in [*DICTIONARY, "berts", "ab", "。"]}
    whole = cut = sequences = 0
    for batch in opened.training_dataset(masking, 8, seed=3).take(12).as_numpy_iterator():
        for row in range(8):
            used = batch["masked_lm_weights"][row] > 0
            places = batch["masked_lm_positions"][row][used]
            original = batch["input_ids"][row].copy()
            original[places] = batch["masked_lm_ids"][row][used]
            sequences += int((original == TOKENIZER.cls_id).sum())
            masked = np.isin(np.arange(len(original)), places)
            # The words of the row, found again: the longest of the dictionary first, as the segmenter does.
            place = 0
            while place < len(original):
                for size in (4, 3, 2, 1):
                    if tuple(original[place : place + size]) in words:
                        break
                found = masked[place : place + size]
                whole += bool(found.all() and size > 1)
                cut += bool(found.any() and not found.all())
                place += size
    assert whole > 50
    assert cut <= (0 if strategy == "whole_word" else sequences)


@pytest.mark.parametrize("runner", ["two processes", "beam"])
def test_processes_and_machines_write_the_same_bytes(folder, tmp_path, runner, monkeypatch):
    if runner == "beam":
        fake_beam.install(monkeypatch)
        make(tmp_path, runner="beam")
    else:
        make(tmp_path, num_workers=2)
    assert len(read_manifest(str(tmp_path)).shards) > 2
    assert contents_of(tmp_path) == contents_of(folder)


def test_an_interrupted_preparation_goes_on_to_the_same_bytes(folder, tmp_path):
    def interrupted():
        yield from documents()[:30]
        raise OSError("the network is gone")

    with pytest.raises(OSError, match="the network is gone"):
        make(tmp_path / "records", documents=interrupted())
    assert list((tmp_path / "records").glob("shard-*.finished.json"))
    shutil.copytree(tmp_path / "records", tmp_path / "other")
    for segmenter, difference in (
        (None, "format_version=2, segmenter='simple', segmenter_version='1.0'"),
        (dataclasses.replace(SEGMENTER, version="1.1"), "segmenter_version='1.0'"),
    ):
        with pytest.raises(ValueError, match="shards of an interrupted run with other settings") as raised:
            make(tmp_path / "other", segmenter)
        assert all(part in str(raised.value) for part in difference.split(", "))
    make(tmp_path / "records")
    assert contents_of(tmp_path / "records") == contents_of(folder)


def test_missing_bits_are_reported_by_their_record(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "records")
    opened = RecordFolder(str(tmp_path / "records"))
    verification.require_sound(opened.path, opened.manifest, opened.tokenizer)
    path = tmp_path / "records" / opened.manifest.shards[0].file_name
    examples = [tf.train.Example.FromString(r) for r in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()]
    examples[1].features.feature[features.RECORD_CONTINUES].bytes_list.value[0] = b"\0"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            writer.write(example.SerializeToString())
    message = r"tfrecord, record 1: continues must hold a bit for each of \d+ tokens\. Received: strings of \[1\] bytes"
    with pytest.raises(ValueError, match=message):
        verification.require_sound(opened.path, opened.manifest, opened.tokenizer)


def warnings_of(folder: Path, strategy: str) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        RecordFolder(str(folder)).training_dataset(MaskingConfig(strategy=strategy), 1, seed=0)
    return [str(warning.message) for warning in caught if "masking.strategy" in str(warning.message)]


def test_masks_and_words_that_do_not_suit_each_other_are_warned_of(folder, tmp_path):
    assert warnings_of(folder, "whole_word") == []
    (ignored,) = warnings_of(folder, "token")
    assert "`masking.strategy` token does not use the words of simple that the records hold" in ignored
    # Chinese with a little English, whose words have tokens that continue them.
    make(tmp_path / "mixed", None)
    for strategy in ("whole_word", "ngram", "span"):
        (missing,) = warnings_of(tmp_path / "mixed", strategy)
        assert re.search(rf"`masking.strategy` {strategy} knows no words in \d\d% of the tokens", missing)
        assert "--segmenter of `bert-tf create-pretraining-data` finds them" in missing
    assert warnings_of(tmp_path / "mixed", "token") == []
    make(tmp_path / "english", None, documents=corpus_documents(10), warn=lambda _: None)
    assert [text for text in warnings_of(tmp_path / "english", "ngram") if "segmenter" in text] == []


def test_segmenters_name_their_packages():
    for name, known in segmentation._KNOWN.items():
        assert known.packages[0] == name
    assert simple_segmenter.SEGMENTER.packages == ()
