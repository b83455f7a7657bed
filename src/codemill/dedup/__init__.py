"""Deduplication that can be audited: sketches propose pairs, real similarity decides, and the evidence is a table."""
