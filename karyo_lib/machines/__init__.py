"""Processes of this machine, workers of a cluster."""
