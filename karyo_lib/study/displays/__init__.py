"""Result objects -> axes, as scikit-learn does: ``XDisplay.from_...(...)``, ``.plot(ax=None)``, artists."""
