"""The worker of this project's ONNX export, `bert_tf.load(file).embed(texts)`, which ONNX Runtime computes."""

from serving_protocol import serve
from worker_predictor import start

if __name__ == "__main__":
    serve(start)
