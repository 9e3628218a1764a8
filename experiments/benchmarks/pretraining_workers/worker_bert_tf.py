"""The worker of this project on TensorFlow."""

from own_training import OwnTraining
from pretraining_protocol import serve

if __name__ == "__main__":
    serve(OwnTraining)
