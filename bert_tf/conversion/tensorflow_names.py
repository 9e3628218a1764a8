"""The names of weights in the TensorFlow classes of `transformers` (versions 2 to 4), as those of its PyTorch classes.

```
bert/tf_bert_model/bert/encoder/layer_._0/attention/self/query/kernel:0 -> encoder.layer.0.attention.self.query.weight
mlm___cls/tf_bert_for_masked_lm/mlm___cls/predictions/transform/LayerNorm/gamma:0
                                                              -> cls.predictions.transform.LayerNorm.weight
```

The groups and the model's own name in front depend on the version and on the user's program. The end says which weight
it is.
"""

import re
from collections.abc import Iterable

_END = re.compile(
    r"(?:^|/)(?:"
    r"(embeddings/(?:LayerNorm/.+|\w+_embeddings(?:/.+)?)|encoder/layer_(?:\._)?\d+/.+|pooler/dense/.+)"
    r"|(?:mlm___|nsp___)?(cls/(?:predictions|seq_relationship)/.+)"
    r"|((?:classifier|qa_outputs)/(?:kernel|bias))"
    r")$"
)
_TABLE = re.compile(r"((?:word|position|token_type)_embeddings)(?:/(?:weight|embeddings))?$")
_LAST = {"kernel": "weight", "gamma": "weight", "beta": "bias"}


def are_tensorflow_names(names: Iterable[str]) -> bool:
    """Return whether names of weights are those of TensorFlow's classes. PyTorch's have no slashes."""
    return any("/" in name for name in names)


def pytorch_name(name: str) -> str:
    """Return the name in PyTorch's `BertModel` or one of its heads, without `bert.`. Unknown names stay as they are."""
    found = _END.search(re.sub(r":\d+$", "", name))
    if found is None:
        return name
    path = next(filter(None, found.groups()))
    path = _TABLE.sub(r"\1/weight", path)
    path = re.sub(r"^encoder/layer_(?:\._)?(\d+)/", r"encoder/layer/\1/", path)
    folder, _, last = path.rpartition("/")
    return f"{folder}/{_LAST.get(last, last)}".replace("/", ".")
