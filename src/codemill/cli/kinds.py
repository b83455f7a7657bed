"""What a recipe's `kind` stands for: how it is loaded, which pipeline runs it, which report tells of it."""

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kind:
    """Places of a kind's parts (`module:name`), imported when used: most commands need one kind alone."""

    load: str
    pipeline: str
    report: str
    summary: str = "codemill.report.summary:RunSummary"
    outcome: str = "codemill.cli.console:outcome"

    def part(self, name: str) -> Any:
        """The part called `load`, `pipeline`, `report` (of a store and a summary), `summary` or `outcome`."""
        module, _, attribute = getattr(self, name).partition(":")
        return getattr(importlib.import_module(module), attribute)


KINDS = {
    "files": Kind("codemill.recipe:load_recipe", "codemill.pipeline:Pipeline", "codemill.report.html:build_report"),
    "commits": Kind(
        "codemill.commits.settings:load_commit_recipe",
        "codemill.commits.pipeline:CommitPipeline",
        "codemill.commits.report:build_commit_report",
    ),
    "web": Kind(
        "codemill.web.settings:load_web_recipe",
        "codemill.web.pipeline:WebPipeline",
        "codemill.web.report:build_web_report",
    ),
    "pretrain": Kind(
        "codemill.pretrain.settings:load_pretrain_recipe",
        "codemill.pretrain.pipeline:PretrainPipeline",
        "codemill.pretrain.report:build_pretrain_report",
        "codemill.pretrain.summary:PretrainSummary",
        "codemill.cli.console:mixture",
    ),
}
