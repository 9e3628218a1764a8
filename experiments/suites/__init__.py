"""Sets of tasks that are run together."""
