"""The workers of the pre-training benchmark, each for one implementation in an environment of its own."""
