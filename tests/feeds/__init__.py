"""Tests of ``flazy.feeds``."""
