"""The workers of the generation benchmark, each for one implementation in an environment of its own."""
