"""Fits the reference scorer to rated files, and measures it where it has never seen the repository."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from codemill.errors import InputError, MissingExtra
from codemill.quality import fasttext, features, fitting, metrics
from codemill.quality.features import linguist_name
from codemill.quality.fitting import Floats, Inputs, training
from codemill.quality.machine_fit import Fitted, Lesson, fit_machine, rank_tables
from codemill.quality.reference import Arrays, ReferenceScorer, expand, fingerprint
from codemill.quality.rubric import ASPECTS, SCORES
from codemill.quality.stored import CARD
from codemill.quality.table import as_bytes

ZEROS = ("data", "config", "trivial", "generated")
DECODE = {"sharpen": 2.5, "shift": 0.7, "stretch": 1.12, "center": 5.1}
RARE = 0.5  # ratings weigh by this power of their rarity: the extremes are few, and matter most
LINE_STATISTICS = 88  # the first measures are about characters, lines and indents alone
PAGES = 201  # rubrics from this version on are of pages
_SPLIT = 2 + len(ZEROS)  # targets before it are learned from all files, the rest from those that are not zero


@dataclass(frozen=True)
class Rated:
    """Rated files, read: their inputs, ratings (float64[N, 5]), reasons of zero ('' where none) and groups."""

    inputs: Inputs
    scores: Floats
    zero: NDArray[Any]
    groups: NDArray[np.int64]
    languages: list[str]

    @property
    def is_zero(self) -> NDArray[np.bool_]:
        """Whether the rating is 0."""
        return np.asarray(self.scores[:, 0] == 0)

    def targets(self) -> Floats:
        """What first opinions are about: overall, zero, its reasons; then overall and aspects of what is not zero."""
        flags = [10.0 * self.is_zero, *(10.0 * (self.zero == reason) for reason in ZEROS)]
        return np.column_stack([self.scores[:, 0], *flags, self.scores])

    def take(self, rows: NDArray[Any]) -> "Rated":
        """Some of the files."""
        return Rated(
            self.inputs.take(rows), self.scores[rows], self.zero[rows], self.groups[rows], self.languages
        )  # fmt: skip


def read_rated(labels: pa.Table) -> Rated:
    """Reads the contents of a table of labels.

    Needs columns content, language and the five ratings; uses `zero`, and `group` or `repo` to keep files of one origin
    together (else every file is its own).

    Raises:
        InputError: a column is missing or a rating is null.
    """
    missing = [name for name in ("content", "language", *SCORES) if name not in labels.column_names]
    if missing:
        raise InputError(f"labels: expected columns content, language, {', '.join(SCORES)}; {missing[0]} is missing")
    if any(labels[name].null_count for name in ("content", *SCORES)):
        raise InputError("labels: expected a content and five ratings in every row, got nulls")
    names = [linguist_name(name) for name in labels["language"].to_pylist()]
    if "rubric" in labels.column_names:  # a page's kind is a guess, and ratings are learned better without it
        names = [
            "" if (rubric or 0) >= PAGES else name
            for name, rubric in zip(names, labels["rubric"].to_pylist(), strict=True)
        ]
    known = sorted(set(names) - {""})
    inputs = fitting.read(as_bytes(labels["content"]).to_pylist(), names, known)
    scores = np.column_stack([labels[name].to_numpy() for name in SCORES]).astype(np.float64)
    zero = labels["zero"].to_pylist() if "zero" in labels.column_names else [None] * labels.num_rows
    column = next((name for name in ("group", "repo") if name in labels.column_names), None)
    groups = np.arange(labels.num_rows)
    if column and not labels[column].null_count:
        groups = np.unique(labels[column].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)[1]
    return Rated(inputs, scores, np.array([reason or "" for reason in zero]), groups, known)


def fit_reference(  # noqa: PLR0917 - eight parameters is the house limit
    labels: pa.Table, out: Path, seed: int = 0, corpus: pa.Table | None = None, version: str = "1", number: int = 0
) -> dict[str, Any]:
    """Fits the reference scorer and writes it to the folder `out`.

    Args:
        labels: see `read_rated`.
        out: folder of the model; created.
        seed: of folds, projection and trees.
        corpus: more files of the kind (columns content, language), not rated: what words mean is learned from them.
        version: stands in the card.
        number: folds of a cross-validation whose figures stand in the card; 0 for none.

    Returns:
        The card: version, fingerprint, sizes, settings.

    Raises:
        InputError: see `read_rated`.
        MissingExtra: LightGBM or scikit-learn is not installed.
    """
    training("lightgbm")
    rated = read_rated(labels)
    arrays = fit_arrays(rated, corpus_tokens(corpus, rated), seed)
    card: dict[str, Any] = {
        "name": "reference",
        "version": version,
        "features": features.VERSION,
        "files": labels.num_rows,
        "groups": len(np.unique(rated.groups)),
        "corpus": 0 if corpus is None else corpus.num_rows,
        "fitted": date.today().isoformat(),
        "seed": seed,
        "decode": DECODE,
        "languages": rated.languages,
    }
    card["fingerprint"] = fingerprint(arrays, card)
    if number:
        table, _ = cross_validate(labels, seed, corpus, number)
        figures = {
            name: {figure: round(value, 4) for figure, value in row.items() if not np.isnan(value)}
            for name, row in table.items()
        }
        card["cross_validation"] = {"folds": number, "grouped_by": "group or repository", "of": "set 1", **figures}
    out.mkdir(parents=True, exist_ok=True)
    arrays.save(out)
    (out / CARD).write_text(json.dumps(card, indent=2) + "\n")
    return card


def corpus_tokens(corpus: pa.Table | None, rated: Rated) -> Any:
    """Token counts of unrated files, or None."""
    if corpus is None:
        return None
    names = [linguist_name(name) for name in corpus["language"].to_pylist()]
    return fitting.read(as_bytes(corpus["content"]).to_pylist(), names, rated.languages, characters=False).tokens


def fit_arrays(rated: Rated, corpus: Any, seed: int) -> Arrays:
    """Fits every part; opinions that later parts learn from come from folds that had not seen the group."""
    sparse = training("scipy.sparse")
    inputs, languages = rated.inputs, len(rated.languages)
    everything = inputs.tokens if corpus is None else sparse.vstack([corpus, inputs.tokens]).tocsr()
    idf = fitting.inverse_frequency(inputs.characters), fitting.inverse_frequency(everything)
    characters, tokens = fitting.weigh(inputs.characters, idf[0]), fitting.weigh(inputs.tokens, idf[1])
    axes_q, axes_scale = fitting.quantize(fitting.projection(fitting.weigh(everything, idf[1]), seed))
    values = np.hstack([inputs.measures, np.asarray(tokens @ expand(axes_q, axes_scale))])
    fold = metrics.folds(rated.groups, 5, seed)
    text, first = first_opinions(fitting.gram((characters, tokens), inputs.codes), rated, fold)
    kernel, second = second_opinions(values, first, rated, fold, seed)
    facts = fitting.language_facts(inputs.codes, rated.is_zero, rated.scores[:, 0], languages)
    trees = fit_trees(np.hstack([inputs.measures, first, second, facts[inputs.codes]]), rated, seed)
    character_weights, character_scale = fitting.quantize(characters.T @ text.alphas)
    token_weights, token_scale = fitting.quantize(tokens.T @ text.alphas)
    alpha_scale = (np.abs(kernel.alphas).max(axis=0) + 1e-12).astype(np.float32)
    return Arrays(
        character_idf=idf[0],
        character_weights=character_weights,
        character_scale=character_scale,
        token_idf=idf[1],
        token_weights=np.hstack([token_weights, axes_q]),
        token_scale=np.concatenate([token_scale, axes_scale]),
        text_language=text.language,
        knots=kernel.space.knots,
        ranks=kernel.space.ranks,
        metric=kernel.space.metric.astype(np.float16),
        supports=kernel.supports,
        reach=np.array([kernel.reach], np.float32),
        alphas=(kernel.alphas / alpha_scale).astype(np.float16),
        alpha_scale=alpha_scale,
        kernel_mean=kernel.mean.astype(np.float32),
        language_facts=facts,
        **trees,
    )


def first_opinions(gram: Floats, rated: Rated, fold: NDArray[Any]) -> tuple[fitting.Text, Floats]:
    """Text ridges fitted to all files, and what those fitted to the other folds say of each file: float32[N, R]."""
    codes, languages = rated.inputs.codes, len(rated.languages)
    shared = (gram, rated.targets(), ~rated.is_zero, _SPLIT)
    out = np.zeros((len(gram), shared[1].shape[1]), np.float32)
    for number in np.unique(fold):
        held = np.flatnonzero(fold == number)
        fitted = fitting.fit_text(*shared, np.flatnonzero(fold != number), codes, languages)
        out[held] = fitted.judge(gram, held)
    return fitting.fit_text(*shared, np.arange(len(gram)), codes, languages), out


def second_opinions(
    values: Floats, first: Floats, rated: Rated, fold: NDArray[Any], seed: int
) -> tuple[Fitted, Floats]:
    """The same of the kernel machine, which learns from measures, projections and first opinions."""
    lesson = Lesson(
        values, rated.inputs.codes, first, rated.targets(), _SPLIT, ~rated.is_zero, len(rated.languages)
    )  # fmt: skip
    tables = rank_tables(values)
    out = np.zeros_like(first)
    for number in np.unique(fold):
        held = np.flatnonzero(fold == number)
        fitted = fit_machine(lesson.take(np.flatnonzero(fold != number)), *tables, seed)
        out[held] = fitted.judge(values[held], rated.inputs.codes[held], first[held])
    return fit_machine(lesson, *tables, seed), out


def fit_trees(inputs: Floats, rated: Rated, seed: int) -> dict[str, Floats]:
    """The six forests: chance of zero, overall of what is not zero, and the aspects."""
    module = training("lightgbm")
    settings: dict[str, Any] = {**fitting.FOREST, "random_state": seed}
    zero = rated.is_zero
    models = [
        module.LGBMClassifier(**settings).fit(inputs, zero),
        module.LGBMRegressor(**settings).fit(
            inputs[~zero], rated.scores[~zero, 0], sample_weight=rarity(rated.scores[~zero, 0])
        ),
    ]
    models += [
        module.LGBMRegressor(**settings).fit(inputs, rated.scores[:, 1 + place]) for place in range(len(ASPECTS))
    ]
    return fitting.export_forests(models)


def rarity(ratings: Floats) -> Floats:
    """A weight for each rating, of mean 1: more for rare ones."""
    counts = np.bincount(ratings.astype(int), minlength=metrics.CLASSES)
    weights = np.maximum(counts, 8)[ratings.astype(int)] ** -RARE
    return np.asarray(weights / weights.mean())


def predict(arrays: Arrays, inputs: Inputs, settings: dict[str, float]) -> Floats:
    """Ratings of files already read: what `ReferenceScorer.score` gives, for many files at once."""
    characters = fitting.weigh(inputs.characters, arrays.character_idf)
    tokens = fitting.weigh(inputs.tokens, arrays.token_idf)
    texts = np.asarray(tokens @ expand(arrays.token_weights, arrays.token_scale))
    size = arrays.character_scale.shape[0]
    texts[:, :size] += np.asarray(characters @ expand(arrays.character_weights, arrays.character_scale))
    card = {"features": features.VERSION, "languages": [], "decode": settings}
    return ReferenceScorer(arrays, card).rate(inputs.measures, texts, inputs.codes)


def cross_validate(
    labels: pa.Table, seed: int = 0, corpus: pa.Table | None = None, number: int = 5, baselines: bool = True
) -> tuple[dict[str, dict[str, float]], Floats]:
    """What the scorer and simpler ones reach on groups they have never seen.

    For every fold all parts are fitted anew, to the other groups alone; of `corpus` only files of those groups are used
    where it has a column `repo` (and the labels have). The settings in `DECODE` were chosen on such predictions; they
    are few, and shared by all folds. Where the labels have a column `set`, figures are those of set 1: further sets
    teach, and are held out with their groups, but do not judge.

    Args:
        labels: see `read_rated`.
        seed: of folds and fits.
        corpus: see `fit_reference`.
        number: folds.
        baselines: whether to measure the simpler ones as well.

    Returns:
        Metrics by name of scorer, and the reference scorer's predictions (float32[rows, 5]).
    """
    rated = read_rated(labels)
    tokens = corpus_tokens(corpus, rated)
    predictions: dict[str, Floats] = {"reference": np.zeros(rated.scores.shape, np.float32)}
    fold = metrics.folds(rated.groups, number, seed)
    for held in range(number):
        train, test = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
        kept = None if tokens is None else tokens[_apart(corpus, labels, test)]
        arrays = fit_arrays(rated.take(train), kept, seed)
        predictions["reference"][test] = predict(arrays, rated.inputs.take(test), DECODE)
        if baselines:
            for name, values in simple_scorers(rated, labels, train, test, seed).items():
                predictions.setdefault(name, np.zeros((len(rated.scores), 1), np.float32))[test, 0] = values
    judges = labels["set"].to_numpy() == 1 if "set" in labels.column_names else np.ones(len(fold), bool)
    truth = rated.scores[judges, 0]
    table = {name: metrics.summary(truth, values[judges, 0]) for name, values in predictions.items()}
    return table, predictions["reference"]


def _apart(corpus: pa.Table | None, labels: pa.Table, test: NDArray[Any]) -> NDArray[Any]:
    assert corpus is not None
    if "repo" not in corpus.column_names or "repo" not in labels.column_names:
        return np.arange(corpus.num_rows)
    held = set(labels["repo"].take(pa.array(test)).to_pylist())
    return np.flatnonzero([repo not in held for repo in corpus["repo"].to_pylist()])


def simple_scorers(
    rated: Rated, labels: pa.Table, train: NDArray[Any], test: NDArray[Any], seed: int
) -> dict[str, Floats]:
    """Overall ratings of held-out files by the mean, by boosting on line statistics, by fastText if it is installed."""
    truth, measures = rated.scores[:, 0], rated.inputs.measures[:, :LINE_STATISTICS]
    model = training("lightgbm").LGBMRegressor(**fitting.FOREST, random_state=seed).fit(measures[train], truth[train])
    out = {"mean": np.full(len(test), truth[train].mean()), "line statistics": model.predict(measures[test])}
    try:
        lines = fasttext.texts(as_bytes(labels["content"]).to_pylist())
        out["fasttext"] = fasttext.ratings(lines, truth, train, test)
    except MissingExtra:
        pass  # one row less in the table
    return out
