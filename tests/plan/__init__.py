"""Tests of flazy/plan."""
