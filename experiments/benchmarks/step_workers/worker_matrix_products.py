"""The worker that measures the machine's rate of matrix products of 2048 x 2048 x 2048 by TensorFlow (oneDNN)."""

from collections.abc import Callable

from protocol import MATRIX_SIZE, PRODUCTS_PER_STEP, Batch, Case, serve


def start(case: Case, batches: list[Batch]) -> tuple[Callable[[int], float], int, dict[str, str]]:
    """Start the implementation; see `protocol.serve`."""
    import tensorflow as tf

    dtype = tf.as_dtype(case.precision)
    left, right = (tf.cast(tf.random.stateless_normal((MATRIX_SIZE, MATRIX_SIZE), (0, seed)), dtype) for seed in (1, 2))

    @tf.function
    def product(left, right):
        return tf.matmul(left, right)

    def run(number: int) -> float:
        for _ in range(PRODUCTS_PER_STEP):
            result = product(left, right)
        return float(result[0, 0])

    return run, 0, {"tensorflow": tf.__version__}


if __name__ == "__main__":
    serve(start)
