"""BERT for Keras 3 and TensorFlow: the library a notebook imports."""
