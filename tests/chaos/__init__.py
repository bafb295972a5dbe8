"""Trials that take minutes, run by `make chaos`."""
