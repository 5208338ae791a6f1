"""A karyogram page -> chromosomes found, named, counted and compared, as a cytogeneticist reads it."""
