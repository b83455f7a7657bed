"""Commits: histories of git repositories become change-prediction samples, with a decision for every commit seen."""
