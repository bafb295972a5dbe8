"""Tests of flazy/verbs."""
