"""Ranks repositories by the mean score of their files, and says which are dropped for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from codemill.errors import InputError
from codemill.longcontext.read import Input, read_scores
from codemill.longcontext.settings import LongContextSettings

Key = tuple[str, str, str]


@dataclass
class Ranking:
    """What was seen before any work.

    Attributes:
        files: files of repositories in each input, in its order.
        dropped: repositories dropped for their score -> reason.
        means: mean score of every repository that has one; empty unless scores decide.
        limit: repositories whose mean is below are dropped; None where none is.
    """

    files: list[int] = field(default_factory=list)
    dropped: dict[Key, str] = field(default_factory=dict)
    means: dict[Key, float] = field(default_factory=dict)
    limit: float | None = None


def rank(inputs: Sequence[Input], settings: LongContextSettings) -> Ranking:
    """Count files, and decide over repositories by `min_score` or `drop_lowest`.

    A share is never exceeded: repositories with equal means stay together, on the kept side.

    Raises:
        InputError: scores decide and a corpus has none.
    """
    ranking = Ranking()
    scores: dict[Key, tuple[float, int]] = {}
    for one in inputs:
        if one.level == "file":
            ranking.files.append(one.rows)
            continue
        column = settings.score if settings.ranks else None
        if column is not None and column not in one.columns:
            raise InputError(f"corpus {one.path}: score: expected a field files.{column}, got none")
        count = 0
        for key, files, found in read_scores(one, column):
            count += files
            total, number = scores.get(key, (0.0, 0))
            scores[key] = (total + sum(found), number + len(found))
        ranking.files.append(count)
    if not settings.ranks:
        return ranking
    ranking.means = {key: total / number for key, (total, number) in scores.items() if number}
    ranking.limit = _limit(sorted(ranking.means.values()), settings)
    for key in sorted(scores):
        mean = ranking.means.get(key)
        if mean is None:
            if settings.unscored == "drop":
                ranking.dropped[key] = "unscored_repository"
        elif ranking.limit is not None and mean < ranking.limit:
            ranking.dropped[key] = "low_score_repository"
    return ranking


def _limit(means: list[float], settings: LongContextSettings) -> float | None:
    if settings.drop_lowest is None:
        return settings.min_score
    count = int(settings.drop_lowest * len(means))
    return means[count] if means else None
