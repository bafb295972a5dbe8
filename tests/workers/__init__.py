"""Tests of flazy.workers."""
