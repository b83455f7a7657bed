"""Selection: rules over annotation columns become one decision for every occurrence."""

from codemill.select.decide import select
from codemill.select.result import Selection, Step

__all__ = ["Selection", "Step", "select"]
