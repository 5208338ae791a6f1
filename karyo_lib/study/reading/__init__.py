"""Steps of the notebooks that read pages."""
