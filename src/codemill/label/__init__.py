"""Asking oracles: draws a sample of files and has an LLM rate them by the rubric, for a scorer to learn from."""
