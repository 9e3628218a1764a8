"""Questions about a text, each with a given answer, by an encoder alone.

Paper:     Dong et al. 2019, "Unified Language Model Pre-training", section 3.3: BLEU-4 22.1 with UniLM large, on the
           questions of SQuAD 1.1 as Du and Cardie 2018 split them. Here the answer comes before the context, so that
           no cut of a long context loses it.
Command:   bert-tf finetune --config question_generation --train_file train-v1.1.json --eval_file dev-v1.1.json
           --init_checkpoint bert-base-cased --model_dir asker
           The files are those of SQuAD, or tables of `source` (ANSWER [SEP] CONTEXT) and `target` (the question).
Hardware:  a GPU of 16 GB for base.
Time:      2 minutes on two cores of an AMD EPYC (BERT-mini, 946 questions, 6 epochs, bfloat16).
Expect:    ROUGE-L 19.1 and BLEU 2.4 on a fold of XQuAD in English from BERT-mini of `make checkpoint`, which such small
           data do not take beyond the form of a question (docs/finetuning.md). Not measured on SQuAD.
"""

from bert_tf.configs import FinetuningConfig
from bert_tf.configs.tasks import Seq2SeqConfig
from experiments.configs import seq2seq


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    return seq2seq.get_config().replace(task=Seq2SeqConfig(max_seq_length=448, max_target_length=48))
