"""Small corpora as `codemill run` writes them, made here: documented and bare modules, and notebooks."""

import hashlib
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq

THEMES = ("ledger", "harbour", "copper", "lantern", "meadow", "orbit")


def good(seed):
    """A module with comments and docstrings."""
    pick = random.Random(seed)
    lines = [f'"""Sums of the {pick.choice(THEMES)} number {seed}, for reports."""', "", "import math", ""]
    for number in range(4):
        name = pick.choice(THEMES)
        lines += [
            f"def {name}_total_{number}(values, scale={pick.randint(2, 9)}):",
            f'    """Return the scaled total of the {name} values.',
            "",
            "    Values below zero are left out, since they mean refunds.",
            '    """',
            "    # Refunds are booked elsewhere.",
            f"    kept = [value for value in values if value > {pick.randint(0, 9)}]",
            "    return math.fsum(kept) * scale",
            "",
        ]
    return "\n".join(lines)


def bare(seed):
    """A module without any."""
    pick = random.Random(seed)
    lines = ["import os", ""]
    for number in range(6):
        name = pick.choice(THEMES)
        lines += [
            f"def f{number}(a, b):",
            f"    x = a[{pick.randint(0, 9)}] + b",
            f"    {name} = x * {number}",
            "    return x",
            "",
        ]
    return "\n".join(lines)


def script(seed):
    """Shell, to be no candidate."""
    return f"set -e\ncp /tmp/{seed} /var/{seed}\nexport A={seed}\n" * 4


def notebook(seed, text="What is counted here, and why it matters for the report."):
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": [f"# Part {seed}\n", "\n", text]},
        {
            "cell_type": "code",
            "metadata": {},
            "execution_count": 1,
            "source": good(seed),
            "outputs": [{"output_type": "display_data", "metadata": {}, "data": {"image/png": "iVBOR" * 100}}],
        },
    ]
    return json.dumps(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": {"language": "python"}}, "cells": cells}
    )


def table(rows, quality=True):
    """A corpus out of (repo, path, language, content, score)."""
    contents = [row[3] for row in rows]
    columns = {
        "content": pa.array(contents, pa.large_string()),
        "blob_id": pa.array([hashlib.sha256(one.encode()).hexdigest() for one in contents]),
        "repo": pa.array([row[0] for row in rows]),
        "path": pa.array([row[1] for row in rows]),
        "language": pa.array([row[2] for row in rows]),
        "bytes": pa.array([len(one.encode()) for one in contents], pa.int64()),
    }
    if quality:
        columns["quality_overall"] = pa.array([row[4] for row in rows], pa.float32())
    return pa.table(columns)


def modules(count=60):
    """Documented modules, most of them where a rule finds them; bare ones, some of which score well; some shell."""
    rows = []
    for seed in range(count):
        folder = "lib" if seed % 5 else "app"
        rows.append((f"r{seed % 7}", f"{folder}/good_{seed}.py", "Python", good(seed), 8.0))
        rows.append((f"r{seed % 7}", f"app/bare_{seed}.py", "Python", bare(seed), 7.0 if seed % 3 else 2.0))
        rows.append((f"r{seed % 7}", f"app/bare_{seed + count}.py", "Python", bare(seed + count), 2.0))
        if seed % 4 == 0:
            rows.append((f"r{seed % 5}", f"bin/run_{seed}.sh", "Shell", script(seed), 3.0))
    return rows


def write(root, name, rows, files=2, quality=True):
    """The corpus as Parquet files below `root`; its folder."""
    folder = root / name
    folder.mkdir(parents=True)
    step = -(-len(rows) // files)
    for number in range(files):
        part = table(rows[number * step : (number + 1) * step], quality)
        pq.write_table(part, folder / f"part-{number}.parquet")
    return folder


RECIPE = """
kind = "highquality"
name = "sets"
store = "{root}/store"
output = "{root}/out"
[[input]]
name = "files"
path = "{corpus}"
[[rule]]
name = "in_lib"
column = "occurrence.path"
matches = "^lib/good"
[[rule]]
name = "scores_well"
column = "quality.overall"
min = 6.0
[[rule]]
name = "scores_badly"
column = "quality.overall"
max = 3.0
[[rule]]
name = "undocumented"
column = "outline.documented_share"
max = 0.1
[classifier]
dim = 8
epochs = 40
buckets = 2000
min_count = 1
{classifier}
[rounds]
most = 3
{rounds}
[source.modules]
languages = ["Python"]
seed = ["in_lib"]
hard = ["scores_well", "undocumented"]
take = ["scores_well"]
bad = ["scores_badly"]
{more}
"""


def recipe(root, corpus, rounds="least_precision = 0.6", more="", classifier=""):
    path = root / "sets.toml"
    path.write_text(RECIPE.format(root=root, corpus=corpus, rounds=rounds, more=more, classifier=classifier))
    return path
