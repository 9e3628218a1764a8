"""A small student of a fine-tuned teacher, here for SST-2: from its logits, its layers and its relations.

Paper:     Hinton et al. 2015, "Distilling the Knowledge in a Neural Network" (logits); Jiao et al. 2020, "TinyBERT"
           (layers); Wang et al. 2021, "MiniLMv2" (relations). TinyBERT learns layers first and logits afterwards; here
           one run learns all.
Command:   bert-tf finetune --config sst2 --train_file SST-2/train.tsv --eval_file SST-2/dev.tsv
           --init_checkpoint bert-base-uncased --model_dir teacher
           bert-tf finetune --config distillation --train_file SST-2/train.tsv --eval_file SST-2/dev.tsv
           --set distill.teacher=teacher --set model=bert_tiny --seeds 0,1,2 --model_dir student
           The student starts from random weights, with --init_checkpoint from weights of its own, or with
           --set distill.init_layers=3,6 from layers of the teacher.
Hardware:  a CPU for small teachers, a GPU for base.
Time:      a step costs the teacher's forward pass too. docs/distillation.md gives the speed of a student.
Expect:    on 8,000 sentences of SST-2, 0.778 (three seeds) beside 0.768 from labels alone. The teacher,
           MiniLM, has 0.869 (docs/distillation.md).
"""

from bert_tf.configs import FinetuningConfig, OptimizerConfig, TrainConfig
from bert_tf.configs.distillation import DistillConfig
from bert_tf.configs.model import BertConfig
from bert_tf.configs.tasks import ClassificationConfig


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    return FinetuningConfig(
        model=BertConfig.named("bert_tiny"),
        task=ClassificationConfig(
            text_column="sentence",
            max_seq_length=128,
            bucket_lengths=(16, 32, 64),
            pooling="mean",  # the student's own [CLS] has had no pre-training
        ),
        optimizer=OptimizerConfig(bias_correction=True),
        train=TrainConfig(
            batch_size=32,
            learning_rate=1e-3,
            steps_per_loop=50,
            log_every=50,
            keep_checkpoints=1,
            xla_scope="fused",  # rows come in several lengths, and XLA would compile the whole step for each
        ),
        distill=DistillConfig(hidden_weight=1.0, relation_weight=1.0, relation_heads=4),
        num_epochs=4,
        warmup_share=0.1,
    )
