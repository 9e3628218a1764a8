"""The next turn of a dialogue, by an encoder alone.

Paper:     Dong et al. 2019, "Unified Language Model Pre-training", section 3.4, generates responses to a dialogue and a
           document. This one reads the turns of the dialogue alone, as Zhang et al. 2020, "DialoGPT", does with another
           model.
Command:   bert-tf finetune --config dialogue --train_file dialogues.jsonl --split 90/10
           --init_checkpoint bert-base-cased --model_dir talker
           A line is {"turns": ["Hello.", "Hi, how are you?", "Fine."]}; each turn but the first is a target of those
           before it. Tables of `source` (TURN [SEP] TURN) and `target` are read, too.
Hardware:  a GPU of 16 GB for base.
Time:      not measured.
Expect:    not measured.
"""

from bert_tf.configs import FinetuningConfig
from bert_tf.configs.tasks import Seq2SeqConfig
from experiments.configs import seq2seq


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    task = Seq2SeqConfig(max_seq_length=256, max_target_length=64, turns_column="turns", truncation_side="left")
    return seq2seq.get_config().replace(task=task)
