"""From files, real chromosomes or a recipe to one index table: one row an image, every image checked."""
