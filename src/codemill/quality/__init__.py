"""Quality of code files: the rubric that says what a rating means, labels by it, and scorers that learn from labels."""

from codemill.quality.scorer import Scorer, load_scorer

__all__ = ["Scorer", "load_scorer"]
