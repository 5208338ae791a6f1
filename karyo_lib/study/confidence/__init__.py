"""Steps of notebook 06: how sure, and when to refer."""
