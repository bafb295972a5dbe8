"""Tests of flazy/run."""
