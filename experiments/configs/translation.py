"""Translations of sentences, by an encoder alone.

Paper:     Dong et al. 2019, "Unified Language Model Pre-training", section 2.3, for the model; it measures no
           translations.
Command:   bert-tf finetune --config translation --train_file train.en,train.de --eval_file dev.en,dev.de
           --init_checkpoint bert-base-multilingual-cased --model_dir translator
           Parallel text files, a sentence a line, tables with the columns `source` and `target`, or a message catalogue
           of gettext (.po). The vocabulary must hold both languages.
Hardware:  a GPU of 16 GB for base.
Time:      6 minutes on two cores of an AMD EPYC (BERT-mini, 48,956 short pairs, 2 epochs, bfloat16).
Expect:    BLEU of characters 26.0 on messages of programs from English to Chinese, from BERT-mini of
           `make checkpoint` (docs/finetuning.md).
"""

from bert_tf.configs import FinetuningConfig
from bert_tf.configs.tasks import Seq2SeqConfig
from experiments.configs import seq2seq


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    task = Seq2SeqConfig(max_seq_length=128, max_target_length=64, packed=True)
    return seq2seq.get_config().replace(task=task)
