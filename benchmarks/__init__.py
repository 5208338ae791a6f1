"""Speed and memory side by side: karyo's way and another, measured in alternation (``karyo bench``)."""
