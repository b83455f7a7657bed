"""Recipes: whole runs as TOML, checked before any work begins.

A recipe says where data comes from (`sources.py`), which annotators run with which parameters, which rules decide
(`rules.py`), and which corpora come out (`files.py`, which is the whole). It holds every threshold; annotators hold
none. Errors name the field, what was expected and what came (`mistakes.py`). Other kinds of recipes have their
settings in their own rooms.
"""

from codemill.recipe.base import (
    FILE_NAME,
    Scalar,
    Strict,
    check_apart,
    check_file_names,
    check_unique,
    fingerprint_of,
    parse_settings,
)
from codemill.recipe.files import (
    AlarmSettings,
    CorpusSettings,
    EngineSettings,
    IngestSettings,
    NotebookSettings,
    ProposeSettings,
    Recipe,
)
from codemill.recipe.load import kind_of, load_recipe, load_recipe_as, recipe_kind
from codemill.recipe.mistakes import COLUMN, NAME, first_problem
from codemill.recipe.rules import (
    Bounds,
    DedupRule,
    PresetRule,
    QuantileRule,
    Rule,
    Rules,
    SampleRule,
    ValueRule,
    parse_rule,
    parse_rules,
)
from codemill.recipe.sources import ArchiveSource, DirectorySource, GitSource, Source, SourceSettings, TableSource

__all__ = [
    "COLUMN",
    "FILE_NAME",
    "NAME",
    "AlarmSettings",
    "ArchiveSource",
    "Bounds",
    "CorpusSettings",
    "DedupRule",
    "DirectorySource",
    "EngineSettings",
    "GitSource",
    "IngestSettings",
    "NotebookSettings",
    "PresetRule",
    "ProposeSettings",
    "QuantileRule",
    "Recipe",
    "Rule",
    "Rules",
    "SampleRule",
    "Scalar",
    "Source",
    "SourceSettings",
    "Strict",
    "TableSource",
    "ValueRule",
    "check_apart",
    "check_file_names",
    "check_unique",
    "fingerprint_of",
    "first_problem",
    "kind_of",
    "load_recipe",
    "load_recipe_as",
    "parse_rule",
    "parse_rules",
    "parse_settings",
    "recipe_kind",
]
