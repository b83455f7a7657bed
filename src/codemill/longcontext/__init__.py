"""Long context: repositories as sequences of files in the order of their dependencies, and long files as they are."""
