"""Centreline, straightening and strips of chromosomes: what drawing and reading share."""
