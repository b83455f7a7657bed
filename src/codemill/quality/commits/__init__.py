"""The scorer of commits: what a message and a patch look like, and how well the one leads to the other."""
