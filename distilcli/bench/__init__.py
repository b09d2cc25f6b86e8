"""Measurements of models, backends, strategies and other tools, interleaved, each in its own process."""
