"""Quality of code files: the rubric that says what a rating means, labels by it, and scorers that learn from labels."""

from codemill.quality.backends import load_scorer, open_scorer
from codemill.quality.scorer import Scorer

__all__ = ["Scorer", "load_scorer", "open_scorer"]
