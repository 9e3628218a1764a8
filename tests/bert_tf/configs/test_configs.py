import dataclasses
import json
from typing import ClassVar

import pytest

from bert_tf.configs import (
    PUBLISHED_SIZES,
    BertConfig,
    ClassificationConfig,
    ConfigError,
    FinetuningConfig,
    MaskingConfig,
    MixtureConfig,
    OptimizerConfig,
    PhaseConfig,
    PretrainingConfig,
    PrivacyConfig,
    TrainConfig,
    experiments,
    model,
    training,
)
from bert_tf.configs.distillation import DistillConfig
from bert_tf.configs.multi_task import MemberConfig, MultiTaskConfig
from bert_tf.configs.published import google_values, hugging_face_values, read_config_file
from bert_tf.configs.tasks import Seq2SeqConfig

ALL = [
    BertConfig,
    MaskingConfig,
    MixtureConfig,
    OptimizerConfig,
    TrainConfig,
    ClassificationConfig,
    Seq2SeqConfig,
    MultiTaskConfig,
    DistillConfig,
    PrivacyConfig,
    PretrainingConfig,
    FinetuningConfig,
    PhaseConfig,
]
REQUIRED: dict[type, dict] = {
    PhaseConfig: {"max_seq_length": 128, "share": 0.9},
    MultiTaskConfig: {"tasks": (MemberConfig(name="ner"),)},
}


def test_every_public_configuration_is_tested():
    public = {
        value
        for module in (experiments, model, training)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, experiments.Config) and value is not experiments.Config
    }
    assert public == set(ALL)


@pytest.mark.parametrize("cls", ALL)
def test_dictionary_form_survives_json(cls):
    config = cls(**REQUIRED.get(cls, {}))
    assert cls.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("cls", ALL)
def test_every_field_is_checked_for_its_type(cls):
    for field in dataclasses.fields(cls):
        with pytest.raises(ConfigError, match=f"`{field.name}` must (be of type|have a kind)"):
            cls.from_dict(REQUIRED.get(cls, {}) | {field.name: object()})
        with pytest.raises(ConfigError, match=f"`{field.name}` must (be of type|have a kind)"):
            cls(**REQUIRED.get(cls, {}) | {field.name: object()})


@dataclasses.dataclass(frozen=True)
class _Inner(experiments.Config):
    scales: tuple[float, ...] = (1.0, 2.0)
    limit: int | None = None


@dataclasses.dataclass(frozen=True)
class _Outer(experiments.Config):
    inner: _Inner = _Inner()
    names: tuple[str, ...] = ()


def test_tuples_and_optional_values_survive_every_form():
    outer = _Outer(inner=_Inner(scales=(3, 4.5), limit=7), names=("a",))
    assert outer.to_dict() == {"inner": {"scales": [3.0, 4.5], "limit": 7}, "names": ["a"]}
    assert _Outer.from_dict(outer.to_dict()) == outer
    assert _Outer().override("inner.scales=0.5, 2").inner.scales == (0.5, 2.0)
    assert _Outer().override("names=a,b").names == ("a", "b")
    assert outer.override("inner.limit=none").inner.limit is None
    assert outer.override("inner.limit=12").inner.limit == 12
    with pytest.raises(ConfigError, match=r"`inner\.limit` must be of type int.*'7'"):
        _Outer.from_dict({"inner": {"limit": "7"}})
    with pytest.raises(ConfigError, match=r"`inner\.limit` must be a whole number.*'many'"):
        outer.override("inner.limit=many")


class TestFromDict:
    def test_unknown_fields_are_named_with_their_path(self):
        with pytest.raises(ConfigError, match=r"unknown field `train\.nun_steps`.*num_steps.*Received: 5"):
            PretrainingConfig.from_dict({"train": {"nun_steps": 5}})

    @pytest.mark.parametrize(
        ("field", "value"), [("num_layers", 2.0), ("num_layers", True), ("num_layers", "2"), ("hidden_act", 1)]
    )
    def test_values_of_another_type_are_refused(self, field, value):
        with pytest.raises(ConfigError, match=field):
            BertConfig.from_dict({field: value})

    def test_whole_numbers_become_real_numbers(self):
        rate = BertConfig(dropout_rate=0).dropout_rate
        assert isinstance(rate, float)
        assert rate == 0.0


class TestOverride:
    @pytest.mark.parametrize(
        ("assignment", "path", "value"),
        [
            ("train.num_steps=7", ("train", "num_steps"), 7),
            ("train.learning_rate=1e-3", ("train", "learning_rate"), 1e-3),
            ("train.jit_compile=False", ("train", "jit_compile"), False),
            ("model.hidden_act = relu", ("model", "hidden_act"), "relu"),
            ("masking.max_predictions_per_seq=9", ("masking", "max_predictions_per_seq"), 9),
            ("masking.max_predictions_per_seq=none", ("masking", "max_predictions_per_seq"), None),
        ],
    )
    def test_an_override_changes_one_field(self, assignment, path, value):
        config = PretrainingConfig()
        changed = config.override(assignment)
        part, field = path
        assert getattr(getattr(changed, part), field) == value
        expected = config.to_dict()
        expected[part][field] = value
        assert changed.to_dict() == expected

    @pytest.mark.parametrize(
        ("assignment", "message"),
        [
            ("train.num_steps", r"must be of the form NAME=VALUE\. Received: 'train.num_steps'"),
            ("num_steps=3", r"unknown field `num_steps`.*model, masking.*'3'"),
            ("train.steps=3", r"unknown field `train\.steps`.*num_steps.*'3'"),
            ("train.num_steps.more=3", r"`num_steps` has no fields"),
            ("train=3", r"`train` has fields of its own.*train\.num_steps"),
            ("train.num_steps=1.5", r"`train\.num_steps` must be a whole number. Received: '1.5'"),
            ("train.jit_compile=yes", r"`train\.jit_compile` must be true or false. Received: 'yes'"),
            ("train.num_steps=0", r"^train\.num_steps=0: `num_steps` must be at least 1. Received: 0"),
            ("train.precision=half", r"^train\.precision=half: .*float32, bfloat16, float16"),
            ("train.learning_rate=nan", r"`learning_rate` must be at least 0. Received: nan"),
            ("train.learning_rate=inf", r"`learning_rate` must be at least 0.*Received: inf"),
        ],
    )
    def test_wrong_overrides_are_refused(self, assignment, message):
        with pytest.raises(ConfigError, match=message):
            PretrainingConfig().override(assignment)

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("task.labels", ["a, b", "none"], ("a, b", "none")),  # texts are not parsed
            ("train.learning_rate", 1, 1.0),
            ("num_epochs", None, None),
            ("model", BertConfig(num_layers=3), BertConfig(num_layers=3)),
        ],
    )
    def test_a_field_is_changed_by_a_value_of_its_type(self, name, value, expected):
        changed = FinetuningConfig().with_field(name, value)
        part, _, field = name.rpartition(".")
        assert getattr(getattr(changed, part) if part else changed, field) == expected

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("train.batch_size", "16", r"train.batch_size=16: `batch_size` must be of type int. Received: '16'"),
            ("train.batch_size", 0, "`batch_size` must be at least 1. Received: 0"),
            ("train.batch_sise", 1, "unknown field `train.batch_sise`; TrainConfig has: num_steps"),
            ("train", 1, "`train` has fields of its own; set one of them: train.num_steps"),
        ],
    )
    def test_values_of_another_type_are_refused(self, name, value, message):
        with pytest.raises(ConfigError, match=message):
            FinetuningConfig().with_field(name, value)

    def test_fields_are_found_by_their_last_name(self):
        config = FinetuningConfig()
        names = ("batch_size", "train.batch_size", "num_epochs", "task")
        assert [config.field_named(name) for name in names] == [
            "train.batch_size",
            "train.batch_size",
            "num_epochs",
            "task",
        ]
        for name, message in (
            ("dropout_rate", "`dropout_rate` must be one of model.dropout_rate, task.dropout_rate"),
            ("learning_rte", r"unknown field `learning_rte`; did you mean train.learning_rate\?"),
            ("zzz", "unknown field `zzz`; FinetuningConfig has: model, .*train.batch_size"),
        ):
            with pytest.raises(ConfigError, match=message):
                config.field_named(name)


@pytest.mark.parametrize(
    ("cls", "field", "value"),
    [
        (BertConfig, "vocab_size", 0),
        (BertConfig, "embedding_size", 0),
        (BertConfig, "num_heads", 5),
        (BertConfig, "hidden_act", "swish"),
        (BertConfig, "position_embedding", "rotary"),
        (BertConfig, "position_initializer", "zeros"),
        (BertConfig, "attention", "flash"),
        (BertConfig, "dropout_rate", 1.0),
        (BertConfig, "attention_dropout_rate", -0.1),
        (BertConfig, "layer_norm_epsilon", -1e-12),
        (BertConfig, "initializer_range", -0.02),
        (MaskingConfig, "masked_lm_rate", 0.0),
        (MaskingConfig, "max_predictions_per_seq", 0),
        (MaskingConfig, "strategy", "phrase"),
        (MaskingConfig, "random_share", 0.3),
        (MixtureConfig, "left_to_right", -0.5),
        (MixtureConfig, "bidirectional", 0.0),
        (OptimizerConfig, "name", "sgd"),
        (OptimizerConfig, "beta2", 1.5),
        (OptimizerConfig, "clip_norm", -1.0),
        (OptimizerConfig, "decay_schedule", "cosine"),
        (OptimizerConfig, "decay_share", 0.0),
        (OptimizerConfig, "decay_share", 1.5),
        (TrainConfig, "batch_size", 0),
        (TrainConfig, "gradient_accumulation_steps", 0),
        (TrainConfig, "gradient_accumulation_steps", 5),
        (TrainConfig, "keep_checkpoints", 0),
        (TrainConfig, "warmup_steps", -1),
        (ClassificationConfig, "max_seq_length", 2),
        (ClassificationConfig, "pooling", "max"),
    ],
)
def test_values_out_of_range_are_named(cls, field, value):
    with pytest.raises(ConfigError, match=field) as caught:
        cls(**{field: value})
    assert "Received" in str(caught.value)


class TestFusedAttention:
    MODEL = BertConfig(attention="fused", attention_dropout_rate=0.0)

    def test_its_kernels_have_no_dropout_of_probabilities(self):
        message = r"`attention` fused needs `attention_dropout_rate` 0.*Received: attention_dropout_rate=0\.1"
        with pytest.raises(ConfigError, match=message):
            PretrainingConfig().override("model.attention=fused")
        message = r"`model.attention` fused needs `task.encoder_dropout_rate` 0 or none.*encoder_dropout_rate=0\.2"
        with pytest.raises(ConfigError, match=message):
            FinetuningConfig(model=self.MODEL, task=ClassificationConfig(encoder_dropout_rate=0.2))
        for rate in (None, 0.0):
            FinetuningConfig(model=self.MODEL, task=ClassificationConfig(encoder_dropout_rate=rate))

    def test_published_configurations_do_not_know_of_it(self):
        plain = self.MODEL.replace(attention="plain")
        assert hugging_face_values(self.MODEL) == hugging_face_values(plain)
        assert google_values(self.MODEL) == google_values(plain)


class TestPublishedFiles:
    GOOGLE: ClassVar = {  # uncased_L-4_H-256_A-4/bert_config.json
        "hidden_size": 256,
        "hidden_act": "gelu",
        "initializer_range": 0.02,
        "vocab_size": 30522,
        "hidden_dropout_prob": 0.1,
        "num_attention_heads": 4,
        "type_vocab_size": 2,
        "max_position_embeddings": 512,
        "num_hidden_layers": 4,
        "intermediate_size": 1024,
        "attention_probs_dropout_prob": 0.1,
    }
    HUGGING_FACE: ClassVar = GOOGLE | {  # what transformers 5 writes beside them
        "add_cross_attention": False,
        "architectures": ["BertForPreTraining"],
        "bos_token_id": None,
        "classifier_dropout": None,
        "dtype": "float32",
        "eos_token_id": None,
        "is_decoder": False,
        "layer_norm_eps": 1e-12,
        "model_type": "bert",
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "tie_word_embeddings": True,
        "transformers_version": "5.23.0",
        "use_cache": True,
    }

    @staticmethod
    def _read(tmp_path, values):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(values))
        return read_config_file(str(path))

    @pytest.mark.parametrize("values", [GOOGLE, HUGGING_FACE])
    def test_googles_and_hugging_faces_files_are_read(self, values, tmp_path):
        assert self._read(tmp_path, values) == BertConfig.named("uncased_L-4_H-256_A-4")

    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ({"hidden_act": "gelu_pytorch_tanh"}, {"hidden_act": "gelu_new"}),
            ({"hidden_act": "gelu_python"}, {"hidden_act": "gelu"}),
            ({"hidden_act": "relu"}, {"hidden_act": "relu"}),
            ({"layer_norm_eps": 1e-5}, {"layer_norm_epsilon": 1e-5}),
            ({"hidden_dropout_prob": 0.2}, {"dropout_rate": 0.2}),
            ({"attention_probs_dropout_prob": 0.0}, {"attention_dropout_rate": 0.0}),
            ({"embedding_size": 128}, {"embedding_size": 128}),
            ({"embedding_size": 256}, {}),
            ({"pooler_type": "first_token_transform", "directionality": "bidi"}, {}),
            ({"a_feature_of_tomorrow": False}, {}),
        ],
    )
    def test_activation_epsilon_and_factorised_embedding_are_read(self, theirs, ours, tmp_path):
        assert self._read(tmp_path, self.HUGGING_FACE | theirs) == BertConfig.named("bert_mini", **ours)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("position_embedding_type", "relative_key"),
            ("is_decoder", True),
            ("add_cross_attention", True),
            ("model_type", "roberta"),
            ("tie_word_embeddings", False),
            ("pruned_heads", {"0": [1]}),
            ("hidden_act", "swish"),
            ("num_hidden_groups", 1),
            ("hidden_size", "256"),
        ],
    )
    def test_settings_that_this_model_lacks_are_refused(self, name, value, tmp_path):
        with pytest.raises(ValueError, match=rf"config\.json.*`{name}`.*Received"):
            self._read(tmp_path, self.HUGGING_FACE | {name: value})

    def test_a_missing_size_is_refused(self, tmp_path):
        values = {name: value for name, value in self.GOOGLE.items() if name != "num_hidden_layers"}
        with pytest.raises(ValueError, match=r"config\.json must have `num_hidden_layers`"):
            self._read(tmp_path, values)


class TestPublishedSizes:
    # Table 1 of Turc et al. 2019 and the two sizes of Devlin et al. 2018: layers, hidden, heads, intermediate.
    @pytest.mark.parametrize(
        ("name", "sizes"),
        [
            ("bert_tiny", (2, 128, 2, 512)),
            ("bert_mini", (4, 256, 4, 1024)),
            ("bert_small", (4, 512, 8, 2048)),
            ("bert_medium", (8, 512, 8, 2048)),
            ("bert_base", (12, 768, 12, 3072)),
            ("bert_large", (24, 1024, 16, 4096)),
            ("bert_10_256", (10, 256, 4, 1024)),
            ("uncased_L-4_H-256_A-4", (4, 256, 4, 1024)),
            ("uncased_L-24_H-1024_A-16", (24, 1024, 16, 4096)),
            ("cased_L-12_H-768_A-12", (12, 768, 12, 3072)),
        ],
    )
    def test_published_sizes_have_the_papers_values(self, name, sizes):
        config = BertConfig.named(name)
        assert (config.num_layers, config.hidden_size, config.num_heads, config.intermediate_size) == sizes

    def test_all_24_small_models_have_a_name(self):
        by_sizes: dict[tuple[int, int], list[str]] = {}
        for name, sizes in PUBLISHED_SIZES.items():
            assert BertConfig.named(name, vocab_size=100).vocab_size == 100
            by_sizes.setdefault(sizes, []).append(name)
        grid = {(layers, hidden) for layers in (2, 4, 6, 8, 10, 12) for hidden in (128, 256, 512, 768)}
        assert set(by_sizes) == grid | {(24, 1024)}
        for (layers, hidden), names in by_sizes.items():
            assert f"uncased_L-{layers}_H-{hidden}_A-{hidden // 64}" in names
            assert any(name.startswith("bert_") for name in names)

    def test_cased_names_have_the_cased_vocabulary(self):
        assert BertConfig.named("uncased_L-12_H-768_A-12").vocab_size == 30522
        assert BertConfig.named("cased_L-12_H-768_A-12").vocab_size == 28996

    def test_a_size_is_set_by_its_name_and_leaves_the_other_fields(self):
        config = PretrainingConfig(model=BertConfig(vocab_size=100, dropout_rate=0.0))
        expected = BertConfig.named("bert_tiny", vocab_size=100, dropout_rate=0.0)
        assert config.override("model=bert_tiny").model == config.with_field("model", "bert_tiny").model == expected
        with pytest.raises(ConfigError, match=r"must be one of .*bert_tiny.*Received: 'bert_huge'"):
            config.override("model=bert_huge")

    def test_an_unknown_size_lists_the_known_ones(self):
        with pytest.raises(ConfigError, match=r"`name` must be one of .*bert_base.*'bert_huge'"):
            BertConfig.named("bert_huge")


def test_epochs_in_steps():
    config = FinetuningConfig(num_epochs=3, evals_per_epoch=2).with_steps(25)
    assert (config.train.num_steps, config.train.warmup_steps, config.train.eval_every) == (75, 8, 13)
    assert FinetuningConfig().with_steps(25) == FinetuningConfig()
    assert FinetuningConfig(num_epochs=1, evals_per_epoch=0).with_steps(5).train.eval_every == 0
