"""The experiments, each a command: ``python -m pipelines.NAME --help``."""
