import pytest
import yaml
from small_checkpoints import VOCABULARY, with_heads, write_hf

import bert_tf
from bert_tf.conversion.convert import convert_checkpoint, save_pretrained
from bert_tf.conversion.loading import load_pretrained, read_pretrained

LABELS = {"0": "good|bad", "1": "no", "2": "ja: so"}


def _settings(page):
    """Return the settings and the rest of a page."""
    begin, settings, rest = page.split("---\n", 2)
    assert begin == ""
    return yaml.safe_load(settings), rest


@pytest.mark.parametrize(
    ("heads", "architecture", "tag"),
    [
        (("mlm", "nsp"), "BertForPreTraining", "fill-mask"),
        (("mlm",), "BertForMaskedLM", "fill-mask"),
        (("nsp",), "BertForNextSentencePrediction", None),
        (("classifier",), "BertForSequenceClassification", "text-classification"),
        (("classifier",), "BertForTokenClassification", "token-classification"),
        (("qa",), "BertForQuestionAnswering", "question-answering"),
        ((), "BertModel", "feature-extraction"),
    ],
)
def test_every_written_folder_has_a_page_with_the_settings_of_its_task(heads, architecture, tag, tmp_path):
    source = write_hf(tmp_path / "hf", with_heads(*heads), architectures=[architecture], id2label=LABELS)
    convert_checkpoint(source, str(tmp_path / "out"), "huggingface")
    page = (tmp_path / "out" / "README.md").read_text()
    settings, rest = _settings(page)
    assert settings == {"library_name": "transformers", "tags": ["bert"]} | ({"pipeline_tag": tag} if tag else {})
    assert f"transformers.{architecture}.from_pretrained(" in rest
    assert "| vocabulary | 40 tokens, uncased |" in rest
    assert ("| labels | good\\|bad, no, ja: so |" in rest) == ("classifier" in heads)
    assert str(tmp_path) not in page, "paths of this computer are nobody else's business"


def test_a_model_for_retrieval_is_one_of_sentence_transformers(tmp_path):
    source = write_hf(tmp_path / "hf", with_heads(), architectures=["BertModel"])
    model, pretrained = load_pretrained(source, "retrieval")
    save_pretrained(model, str(tmp_path / "out"), tokenizer=pretrained.tokenizer())
    settings, rest = _settings((tmp_path / "out" / "README.md").read_text())
    assert (settings["library_name"], settings["pipeline_tag"]) == ("sentence-transformers", "sentence-similarity")
    assert settings["tags"] == ["sentence-transformers", "bert"]
    assert "| vectors | 8 numbers (mean, of length 1) |" in rest


def test_a_card_adds_what_the_model_does_not_say(tmp_path):
    source = write_hf(tmp_path / "hf", with_heads("classifier"), architectures=["BertForSequenceClassification"])
    model, pretrained = load_pretrained(source)
    card = bert_tf.ModelCard(
        license="apache-2.0",
        language=["de", "no"],
        base_model="google-bert/bert-base-cased",
        datasets=["someone/data: a set"],
        tags=["---", "reviews"],
        text="\n## Scores\n\naccuracy 0.5\n",
    )
    bert_tf.save_pretrained(
        model, str(tmp_path / "out"), tokenizer=pretrained.tokenizer(), labels=["a", "b", "c"], card=card
    )
    settings, rest = _settings((tmp_path / "out" / "README.md").read_text())
    assert list(settings)[:2] == ["language", "license"]
    assert settings == {
        "language": ["de", "no"],
        "license": "apache-2.0",
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "base_model": "google-bert/bert-base-cased",
        "datasets": ["someone/data: a set"],
        "tags": ["bert", "---", "reviews"],
    }
    assert "| labels | a, b, c |" in rest
    assert "\n## Scores\n\naccuracy 0.5\n\n## Use\n" in rest
    assert bert_tf.ModelCard(language="en").page(pretrained, "BertModel").startswith("---\nlanguage:\n- en\n")
    with pytest.raises(
        ValueError, match=r"`card` must be None for another format than huggingface\. Received: 'google'"
    ):
        bert_tf.save_pretrained(model, str(tmp_path / "google"), "google", card=card)


def test_a_page_shows_how_the_model_is_loaded(tmp_path):
    source = write_hf(tmp_path / "hf", with_heads("mlm", "nsp"), vocabulary=False)
    pretrained = read_pretrained(source)
    page = bert_tf.ModelCard().page(pretrained, "BertForPreTraining", "someone/small")
    assert "# small\n" in page
    assert "model, pretrained = bert_tf.load_pretrained('someone/small')" in page
    pretrained.tokens = tuple(VOCABULARY)
    page = bert_tf.ModelCard().page(pretrained, "BertForPreTraining", "someone/small")
    assert (
        "predictor = bert_tf.load('someone/small')  # fill_mask, complete, log_likelihood, perplexity, embed, search"
        in page
    )
