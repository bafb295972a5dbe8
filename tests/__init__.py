"""Tests of Flazy; the folders mirror the package."""
