"""Steps of notebook 07: every table and figure of the thesis."""
