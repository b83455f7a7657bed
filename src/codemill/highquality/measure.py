"""What a round is worth: precision and recall on what it never learned from, growth, overlap and drift."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.highquality.documents import Documents, Floats, Pool
from codemill.highquality.settings import RoundSettings
from codemill.select.rules import Mask


@dataclass(frozen=True)
class Measured:
    """Figures of one round; shares and means are None where nothing is there to take them of.

    Attributes:
        number: of the round.
        drawn: what it learned from, by kind.
        held_positives, held_hard: held-out seed documents and held-out hard negatives.
        recall: share of the held-out positives that is recalled.
        precision: of what is recalled among held-out positives and hard negatives, the positives, as if both were as
            many: their numbers differ from source to source, and the plain share would speak of those.
        auc: chance that a held-out positive is above a held-out hard negative.
        others: share recalled of the held-out candidates that are neither.
        recalled: candidates at or above the threshold; size: documents of the set; bytes: theirs.
        new: recalled now and not in the round before; new_score: their mean score; new_bad: share of them that is bad.
        overlap: Jaccard similarity of the set with that of the round before (the seed before round 1).
        kept_share: share of that earlier set that is still in this one.
        drift: half the sum of the differences of languages' shares against that earlier set (0 same, 1 disjoint).
        languages: documents of the set by language.
        score: mean score of the set.
        noise: why the round is noise; empty where it is none.
    """

    number: int
    drawn: dict[str, int]
    held_positives: int
    held_hard: int
    recall: float | None
    precision: float | None
    auc: float | None
    others: float | None
    recalled: int
    size: int
    bytes: int
    new: int
    new_score: float | None
    new_bad: float | None
    overlap: float | None
    kept_share: float | None
    drift: float
    languages: dict[str, int]
    score: float | None
    noise: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class State:
    """Where a source stands after a round: the set, what was recalled, and the probabilities (NaN: no candidate)."""

    taken: Mask
    recalled: Mask
    probability: Floats


def measure(documents: Documents, pool: Pool, *, before: State, after: State, drawn: dict[str, int]) -> Measured:
    """The figures of the round that led from one state to the next; the caller knows its number."""
    recalled, held = after.recalled, pool.held
    positives, hard = pool.seed & held, pool.hard & held
    right, wrong = _share_of(recalled, positives), _share_of(recalled, hard)
    others = pool.candidate & held & ~pool.seed & ~pool.hard
    new = recalled & ~before.recalled & ~pool.seed
    languages, previous = by_language(documents, after.taken), by_language(documents, before.taken)
    both, either = (after.taken & before.taken).sum(), (after.taken | before.taken).sum()
    return Measured(
        number=0,
        drawn=drawn,
        held_positives=int(positives.sum()),
        held_hard=int(hard.sum()),
        recall=right,
        precision=right / (right + wrong) if right is not None and wrong is not None and right + wrong else None,
        auc=auc(after.probability[positives], after.probability[hard]),
        others=_share_of(recalled, others),
        recalled=int(recalled.sum()),
        size=int(after.taken.sum()),
        bytes=int(pc.sum(documents.table["bytes"].filter(pa.array(after.taken))).as_py() or 0),
        new=int(new.sum()),
        new_score=_mean(pool.score[new]),
        new_bad=_share_of(pool.bad, new),
        overlap=_share(int(both), int(either)),
        kept_share=_share(int(both), int(before.taken.sum())),
        drift=drift(previous, languages),
        languages=languages,
        score=_mean(pool.score[after.taken]),
    )


def noise(found: Measured, rounds: RoundSettings) -> str:
    """Why a round is noise: its figures against the settings; empty where it is none."""
    if found.precision is not None and found.precision < rounds.least_precision:
        return f"held-out precision {found.precision:.3f} is below {rounds.least_precision:g}"
    if found.new_score is not None and found.new_score < rounds.least_score:
        return f"the newly recalled score {found.new_score:.2f} on average, below {rounds.least_score:g}"
    return ""


def by_language(documents: Documents, mask: Mask) -> dict[str, int]:
    """How many of these documents each language has, the most first."""
    names = documents.table["language"].filter(pa.array(mask)).fill_null("unknown")
    counts = {row["values"]: row["counts"] for row in pc.value_counts(names).to_pylist()}
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def drift(before: dict[str, int], after: dict[str, int]) -> float:
    """Total variation distance between two distributions over languages, 0..1."""
    first, second = max(sum(before.values()), 1), max(sum(after.values()), 1)
    names = {*before, *after}
    return round(sum(abs(before.get(one, 0) / first - after.get(one, 0) / second) for one in names) / 2, 6)


def auc(positives: Floats, negatives: Floats) -> float | None:
    """Area under the ROC curve (ties count half), by ranks; None where either side is empty."""
    if not len(positives) or not len(negatives):
        return None
    values = np.concatenate([positives, negatives])
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    wins = ranks[: len(positives)].sum() - len(positives) * (len(positives) + 1) / 2
    return float(wins / (len(positives) * len(negatives)))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _share_of(mask: Mask, among: Mask) -> float | None:
    """Which share of `among` is in the mask."""
    return _share(int((mask & among).sum()), int(among.sum()))


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
