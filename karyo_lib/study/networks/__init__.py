"""Steps of notebooks 03 to 05: searches and fits."""
