"""This project's export for LiteRT, `bert_tf.load(file).embed(texts)`: one text at a time is what it is for."""

from serving_protocol import serve
from worker_predictor import start

if __name__ == "__main__":
    serve(start)
