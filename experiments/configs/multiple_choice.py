"""Multiple choice: which of several texts suits a context, or answers a question about it?

Paper:     Devlin et al. 2018, "BERT", section 4.4 (SWAG): each choice in a sequence with the context, and a softmax
           over the logits of the choices; bias-corrected AdamW with 10 % warm-up (Mosbach et al. 2021).
Command:   bert-tf finetune --config multiple_choice --train_file train.jsonl --eval_file dev.jsonl
           --init_checkpoint bert-base-uncased --model_dir chooser
           A line has `context`, `choices` (a list), `label` (the index of the right one) and, if there is one,
           `question`. A CSV names its columns: --set task.choice_columns=first,second.
           --set task.max_choices=5 makes room for more than 4 choices in training.
Hardware:  a GPU for base, a CPU for small models.
Time:      a row holds the context with every choice, so that an example costs as much as its choices in
           classification.
Expect:    an accuracy above `random_accuracy`, which depends on the encoder and the data.
"""

from bert_tf.configs import FinetuningConfig, OptimizerConfig, TrainConfig
from bert_tf.configs.tasks import MultipleChoiceConfig


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    return FinetuningConfig(
        task=MultipleChoiceConfig(),
        optimizer=OptimizerConfig(bias_correction=True),
        train=TrainConfig(
            batch_size=16,
            learning_rate=3e-5,
            steps_per_loop=50,
            log_every=50,
            keep_checkpoints=1,
            xla_scope="fused",  # rows come in several lengths, and XLA would compile the whole step for each
        ),
        num_epochs=3,
        warmup_share=0.1,
    )
