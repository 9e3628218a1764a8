"""The worker of this project's LiteRT export, `bert_tf.load(file).embed(texts)`, which is meant for single texts."""

from serving_protocol import serve
from worker_predictor import start

if __name__ == "__main__":
    serve(start)
