"""A script that writes tensorflow_bert.tar.xz and tensorflow_bert_outputs.npz: models that transformers 4 saved.

The archive holds a folder for each of the `TFBertFor...` classes, with `config.json` and `tf_model.h5`. `sharded` is
the pre-training model in several files, and `safetensors` the classifier under TensorFlow's names. The outputs are what
the classes compute. It is run by hand, in an environment with a version that has these classes (Python 3.11):

    pip install transformers==4.46.3 tensorflow-cpu==2.15.1 'numpy<2'
    python tests/golden/make_tensorflow_files.py
"""

import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import transformers

GOLDEN = Path(__file__).resolve().parent
CONFIG = transformers.BertConfig(
    vocab_size=40,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=12,
)
HEADS = {
    "BertModel": {},
    "BertForPreTraining": {},
    "BertForMaskedLM": {},
    "BertForNextSentencePrediction": {},
    "BertForSequenceClassification": {"id2label": {0: "red", 1: "green", 2: "blue"}},
    "BertForTokenClassification": {"id2label": {0: "O", 1: "B-X", 2: "I-X"}},
    "BertForQuestionAnswering": {},
    "BertForMultipleChoice": {},
}
"""The classes without `TF`, and settings of their configurations."""


def _inputs() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    mask = (np.arange(10) < np.array([[10], [7], [4]])).astype(np.int32)
    return {
        "input_ids": random.integers(0, 40, (3, 10)).astype(np.int32),
        "attention_mask": mask,
        "token_type_ids": (np.arange(10) > 3).astype(np.int32) * mask,
    }


def _value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return a weight's value, which is the same in every class: compressed together, the files are small."""
    random = np.random.default_rng(list(name.encode()))
    return (0.3 * random.standard_normal(shape) + name.endswith("gamma:0")).astype(np.float32)


def _model(kind: str, inputs: dict[str, np.ndarray]) -> Any:
    model = getattr(transformers, f"TF{kind}")(transformers.BertConfig(**CONFIG.to_diff_dict() | HEADS[kind]))
    if kind == "BertForMultipleChoice":
        inputs = {name: value[None] for name, value in inputs.items()}
    model(inputs)
    for weight in model.weights:
        weight.assign(_value(weight.name.partition("/")[2], tuple(weight.shape)))
    return model


def main() -> None:
    inputs = _inputs()
    arrays = dict(inputs)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for kind in HEADS:
            model = _model(kind, inputs)
            model.save_pretrained(folder / kind)
            if kind == "BertForPreTraining":
                model.save_pretrained(folder / "sharded", max_shard_size="3KB")
            if kind == "BertForSequenceClassification":
                model.save_pretrained(folder / "safetensors", safe_serialization=True)
            if kind != "BertForMultipleChoice":
                outputs = model(inputs)
                arrays |= {f"{kind}.{name}": np.asarray(value) for name, value in outputs.items()}
        with tarfile.open(GOLDEN / "tensorflow_bert.tar.xz", "w:xz", format=tarfile.USTAR_FORMAT, preset=9) as archive:
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                member = tarfile.TarInfo(str(file.relative_to(folder)))  # without the time, for equal bytes
                member.size = file.stat().st_size
                with file.open("rb") as contents:
                    archive.addfile(member, contents)
    np.savez_compressed(GOLDEN / "tensorflow_bert_outputs.npz", **arrays)


if __name__ == "__main__":
    main()
