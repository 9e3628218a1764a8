"""SWAG: which of four endings continues a situation?

Paper:     Devlin et al. 2018, "BERT", section 4.4: 3 epochs, learning rate 2e-5, batch size 16. Zellers et al. 2018,
           "SWAG: A Large-Scale Adversarial Dataset for Grounded Commonsense Inference".
Command:   bert-tf finetune --config swag --train_file train.csv --eval_file val.csv --init_checkpoint bert-base-uncased
           --model_dir swag
           The files are the CSVs of github.com/rowanz/swagaf (data/): sent1, sent2, ending0 to ending3, label.
Hardware:  a GPU of 16 GB for base.
Time:      not measured.
Expect:    accuracy 0.816 (base) and 0.866 (large) on the development set, as published (table 4). This project has not
           run it.
"""

from bert_tf.configs import FinetuningConfig, OptimizerConfig, TrainConfig
from bert_tf.configs.tasks import MultipleChoiceConfig


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    return FinetuningConfig(
        task=MultipleChoiceConfig(
            context_column="sent1",
            question_column="sent2",
            choice_columns=("ending0", "ending1", "ending2", "ending3"),
            equal_choices=True,
        ),
        optimizer=OptimizerConfig(bias_correction=True),
        train=TrainConfig(
            batch_size=16,
            learning_rate=2e-5,
            steps_per_loop=50,
            log_every=50,
            keep_checkpoints=1,
            xla_scope="fused",  # rows come in several lengths, and XLA would compile the whole step for each
        ),
        num_epochs=3,
        warmup_share=0.1,
    )
