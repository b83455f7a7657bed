"""Measuring judges: a scorer against ratings and simple baselines, and two oracles against each other."""
