"""Corpora: what the decisions kept, written for training, with where every row came from."""
