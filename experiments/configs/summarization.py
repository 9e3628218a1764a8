"""Summaries of texts, by an encoder alone.

Paper:     Dong et al. 2019, "Unified Language Model Pre-training", section 3.1: ROUGE-L 40.5 on CNN/DailyMail with BERT
           large, 30 epochs, batch size 64, learning rate 3e-5, 768 tokens in a row. The published BERTs have 512
           positions.
Command:   bert-tf finetune --config summarization --train_file train.tsv --eval_file dev.tsv
           --init_checkpoint bert-base-cased --model_dir summarizer
           The files have the columns `source` and `target`; `--set task.source_column=article` names others.
Hardware:  a GPU of 16 GB for base.
Time:      20 minutes on two cores of an AMD EPYC (BERT-mini, 18,595 pairs, 5 epochs, bfloat16).
Expect:    ROUGE-L 19.9 on summaries of docstrings from BERT-mini of `make checkpoint`, where the first sentence has
           17.5 (docs/finetuning.md). Not measured on news.
"""

from bert_tf.configs import FinetuningConfig
from bert_tf.configs.tasks import Seq2SeqConfig
from experiments.configs import seq2seq


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    return seq2seq.get_config().replace(task=Seq2SeqConfig(max_seq_length=512, max_target_length=128))
