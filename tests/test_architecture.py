"""The house holds: imports point one way, the engine alone knows Daft, files and functions stay readable."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "codemill"
MODULES = sorted(SOURCE.rglob("*.py"))

# Rooms from the ground up. A module may import from its own room and from those before it.
ROOMS = (
    ("errors", "schema", "recipe"),
    ("store", "engine", "lexer", "presets", "keys", "tables"),
    ("quality",),
    ("sources",),
    ("decontaminate",),
    ("annotate",),
    ("label",),
    ("dedup",),
    ("select",),
    ("assess",),
    ("corpus",),
    ("tokens", "longcontext"),
    ("shards",),
    ("report",),
    ("stages",),
    ("commits", "web", "highquality"),
    ("pretrain",),
    ("explain", "pipeline"),
    ("cli", "docs"),
)
LEVEL = {name: level for level, names in enumerate(ROOMS) for name in names}

# The registry names annotators as text, so that nothing is imported before it is used.


def room(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path):
    if path == SOURCE / "__init__.py":
        return
    own = LEVEL[room(path)]
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "codemill" and len(parts) > 1:
            assert LEVEL[parts[1]] <= own, f"{path.relative_to(SOURCE)} imports {name}, which is above it"


def test_only_the_engine_knows_the_runner():
    for path in MODULES:
        if path != SOURCE / "engine.py":
            roots = {name.split(".")[0] for name in imports(path)}
            assert not roots & {"daft", "ray"}, f"{path.relative_to(SOURCE)} imports {roots & {'daft', 'ray'}}"


def test_scoring_never_imports_training():
    assert not [
        name for name in imports(SOURCE / "annotate" / "quality.py") if name.startswith("codemill.quality.train")
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_modules_say_why_and_stay_readable(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path.name} has no opening sentence"
    assert len(path.read_text().splitlines()) <= 450
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 70, f"{path.name}: {node.name} is too long"
