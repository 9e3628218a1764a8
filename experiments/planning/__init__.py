"""The time, money and storage that a pre-training takes, estimated from its operations."""
