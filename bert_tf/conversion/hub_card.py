"""The page of a model on the Hugging Face hub: `README.md`, which begins with settings between two lines of `---`."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import yaml

from bert_tf.conversion.pretrained import Pretrained
from bert_tf.tasks import MODEL_KINDS

CARD_FILE = "README.md"


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """The statements of a model's page that do not follow from the model.

    Attributes:
        license: the licence of the weights by its name on the hub, such as `apache-2.0`.
        language: the language of the texts, or several, such as `en`.
        base_model: the name on the hub of the model that was fine-tuned.
        datasets: names on the hub of the data sets that the model was trained on.
        tags: further tags.
        text: Markdown that follows the table of the page, such as metrics and intended uses.
    """

    license: str = ""
    language: str | Sequence[str] = ()
    base_model: str = ""
    datasets: Sequence[str] = ()
    tags: Sequence[str] = ()
    text: str = ""

    def page(self, pretrained: Pretrained, architecture: str, name: str = "") -> str:
        """Return the page, in Markdown.

        Args:
            pretrained: the model.
            architecture: the class of `transformers` that loads it.
            name: its name on the hub; "" if it has none yet.
        """
        settings = yaml.safe_dump(self._settings(pretrained), allow_unicode=True, sort_keys=False)
        rows = "".join(f"| {row} | {_cell(value)} |\n" for row, value in _rows(pretrained).items())
        path = name or "path/of/this/folder"
        use = f"model, pretrained = bert_tf.load_pretrained({path!r})"
        if pretrained.tokens is not None:
            use = f"predictor = bert_tf.load({path!r})  # {', '.join(MODEL_KINDS[pretrained.task].methods)}"
        blocks = [
            f"---\n{settings}---\n",
            f"# {name.rpartition('/')[2] or 'Model card'}\n",
            f"| | |\n| --- | --- |\n{rows}",
            *([f"{self.text.strip()}\n"] if self.text.strip() else []),
            "## Use\n",
            f"```python\nimport bert_tf\n\n{use}\n```\n",
            f"```python\nimport transformers\n\nmodel = transformers.{architecture}.from_pretrained({path!r})\n```\n",
        ]
        return "\n".join(blocks)

    def _settings(self, pretrained: Pretrained) -> dict[str, Any]:
        is_for_sentences = pretrained.sentences is not None
        tag = MODEL_KINDS[pretrained.task].pipeline_tag
        if pretrained.task == "pretraining" and "masked_lm" not in pretrained.heads:
            tag = ""
        settings = {
            "language": [self.language] if isinstance(self.language, str) else list(self.language),
            "license": self.license,
            "library_name": "sentence-transformers" if is_for_sentences else "transformers",
            "pipeline_tag": tag,
            "base_model": self.base_model,
            "datasets": list(self.datasets),
            "tags": [*(["sentence-transformers"] if is_for_sentences else []), "bert", *self.tags],
        }
        return {name: value for name, value in settings.items() if value not in ("", [], [""])}


def _rows(pretrained: Pretrained) -> dict[str, str]:
    """Return the lines of the page's table."""
    config = pretrained.config
    rows = {
        "task": pretrained.task,
        "labels": ", ".join(pretrained.labels),
        "encoder": f"{config.num_layers} layers of {config.hidden_size}, {config.num_heads} heads",
        "vocabulary": f"{config.vocab_size} tokens",
        "longest row": f"{pretrained.max_seq_length or config.max_position_embeddings} tokens",
    }
    if pretrained.tokens is not None:
        rows["vocabulary"] += f", {'un' if pretrained.do_lower_case else ''}cased"
    if pretrained.sentences is not None:
        scaled = ", of length 1" if pretrained.sentences.normalize else ""
        rows["vectors"] = f"{config.hidden_size} numbers ({pretrained.sentences.pooling}{scaled})"
    return {name: value for name, value in rows.items() if value}


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("\n", " ")
