"""Fitting: a scorer learns what the ratings say, says the same when fitted twice, and is measured on unseen groups."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from codemill.errors import InputError
from codemill.quality import load_scorer
from codemill.quality.rubric import ASPECTS

pytest.importorskip("lightgbm", reason="needs the extra `train`")
pytest.importorskip("sklearn", reason="needs the extra `train`")

from codemill.quality import fitting, metrics, reference, train, trees

WORDS = ("total", "count", "index", "buffer", "value", "result", "items", "width", "height", "name")


def file(kind, rng):
    a, b, c = rng.choice(WORDS, 3)
    if kind == "good":
        return (
            f'"""Adds up {a} by {b}."""\n\n\ndef sum_{a}({b}: int, {c}: int) -> int:\n    """Return {b} plus {c}."""\n'
            f"    return {b} + {c}\n"
        ) * int(rng.integers(1, 4))
    if kind == "poor":
        return f"{a}=1\n{b}=2\nprint({a})\n#print({b})\nif {a}==1:print('here')\n" * int(rng.integers(1, 5))
    return "# Code generated. Do not edit.\n" + f"{a} = [{', '.join(map(str, rng.integers(0, 99, 40)))}]\n" * 5


@pytest.fixture(scope="module")
def labels():
    rng = np.random.default_rng(1)
    ratings = {"good": 8, "poor": 3, "zero": 0}
    kinds = rng.choice(list(ratings), 240)
    columns = {
        "content": [file(kind, rng).encode() for kind in kinds],
        "language": ["Python"] * 240,
        "overall": [ratings[kind] for kind in kinds],
        "zero": ["data" if kind == "zero" else None for kind in kinds],
        "repo": [f"r{i % 24}" for i in range(240)],
    }
    columns |= {aspect: [max(ratings[kind], 2) for kind in kinds] for aspect in ASPECTS}
    return pa.table(columns)


@pytest.fixture(scope="module")
def fitted(labels, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return folder, train.fit_reference(labels, folder, corpus=labels.select(["content", "language"]))


def test_learns_what_the_ratings_say(labels, fitted):
    folder, card = fitted
    scorer = load_scorer(path=str(folder))
    assert scorer.fingerprint == card["fingerprint"] == json.loads((folder / "card.json").read_text())["fingerprint"]
    predicted = scorer.score(labels["content"], labels["language"])["overall"].to_numpy()
    assert np.abs(predicted - labels["overall"].to_numpy()).mean() < 0.5


def test_fitting_twice_gives_the_same_model(labels, fitted, tmp_path):
    again = train.fit_reference(labels, tmp_path, corpus=labels.select(["content", "language"]))
    assert again["fingerprint"] == fitted[1]["fingerprint"]


def test_training_and_scoring_see_the_same(labels, fitted):
    folder, card = fitted
    rated = train.read_rated(labels)
    inside = train.predict(reference.Arrays.load(folder), rated.inputs, card["decode"])
    outside = load_scorer(path=str(folder)).score(labels["content"], labels["language"])
    assert np.abs(inside[:, 0] - outside["overall"].to_numpy()).max() < 0.05


def test_cross_validation_never_splits_a_group(labels):
    rated = train.read_rated(labels)
    fold = metrics.folds(rated.groups, 5)
    assert sorted(set(fold)) == [0, 1, 2, 3, 4]
    for number in range(5):
        assert not set(rated.groups[fold == number]) & set(rated.groups[fold != number])
    table, predictions = train.cross_validate(labels, corpus=labels.select(["content", "language", "repo"]), number=3)
    assert predictions.shape == (240, 5)
    assert table["reference"]["mae"] < 0.5 < table["mean"]["mae"]
    assert "line statistics" in table


def test_later_sets_teach_but_do_not_judge(labels):
    sets = pa.array([1 if i % 24 < 12 else 2 for i in range(240)], pa.int8())
    table, predictions = train.cross_validate(labels.append_column("set", sets), number=2, baselines=False)
    assert table["reference"]["files"] == 120
    assert np.abs(predictions[:, 0] - labels["overall"].to_numpy()).mean() < 1


def test_forests_say_what_lightgbm_says():
    import lightgbm

    rng = np.random.default_rng(2)
    x = rng.normal(size=(500, 8)).astype(np.float32)
    models = [
        lightgbm.LGBMRegressor(**{**fitting.FOREST, "n_estimators": 20}).fit(x, x[:, 0] * x[:, 1]),
        lightgbm.LGBMClassifier(**{**fitting.FOREST, "n_estimators": 20}).fit(x, x[:, 2] > 0.3),
    ]
    a = fitting.export_forests(models)
    got = trees.walk(x, trees.plant(SimpleNamespace(**a)))
    one = trees.walk(x[7:8], trees.plant(SimpleNamespace(**a)))
    assert np.array_equal(got[7:8], one)
    expected = [models[0].booster_.predict(x), models[1].booster_.predict(x, raw_score=True)]
    assert np.abs(got - np.column_stack(expected)).max() < 1e-4


def test_small_weights_keep_their_precision():
    weights = np.array([[1.0], [1e-3], [-0.02], [0.0]])
    restored = reference.expand(*fitting.quantize(weights))
    assert np.allclose(restored, weights, rtol=0.15, atol=1e-4)


def test_labels_must_be_whole(labels):
    with pytest.raises(InputError, match="overall is missing"):
        train.read_rated(labels.drop_columns("overall"))
    with pytest.raises(InputError, match="got nulls"):
        train.read_rated(labels.set_column(2, "overall", pa.nulls(240, pa.int64())))
