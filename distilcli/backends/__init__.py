"""Backends: model runtimes behind one protocol."""
