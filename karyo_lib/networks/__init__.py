"""Networks: weights, models, cached features, fitting, sampling, search."""
