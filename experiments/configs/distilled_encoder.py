"""A small encoder for any task, distilled from a masked language model: its last layer's relations, and its logits.

Paper:     Wang et al. 2021, "MiniLMv2": relations of one layer of the teacher, 400,000 steps of batch 256, learning
           rate 6e-4, no labels. Sanh et al. 2019, "DistilBERT", adds the masked tokens and the teacher's logits for
           them, as here.
Command:   bert-tf pretrain --config distilled_encoder --train_data records --set distill.teacher=run --model_dir small
           The records have the teacher's vocabulary. --set distill.logit_weight=0 for a teacher without a masked-LM
           head.
Hardware:  one Cloud TPU v5e or a GPU.
Time:      not measured here.
Expect:    this project has not run it.
"""

from bert_tf.configs import OptimizerConfig, PretrainingConfig, TrainConfig
from bert_tf.configs.distillation import DistillConfig
from bert_tf.configs.model import BertConfig


def get_config() -> PretrainingConfig:
    """Return the experiment."""
    return PretrainingConfig(
        model=BertConfig.named("bert_small"),
        optimizer=OptimizerConfig(),
        train=TrainConfig(
            num_steps=400_000,
            batch_size=256,
            learning_rate=6e-4,
            warmup_steps=4_000,
            checkpoint_every=10_000,
            eval_every=10_000,
        ),
        distill=DistillConfig(relation_weight=1.0, relation_heads=16),
    )
