"""What makes a reader: training pages, learning, scoring. Not imported to read a page."""
