"""codemill turns raw code into training data for code models."""

__version__ = "0.1.0"
