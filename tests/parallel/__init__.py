"""Tests of parallel stages with real processes and threads."""
