"""Runs the notebooks in order and turns each into one offline HTML report."""
