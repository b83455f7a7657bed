"""Puts together what the report says of one corpus: the sum, the funnel, its groups, every rule, and samples."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from codemill.recipe import DedupRule, QuantileRule, SampleRule, ValueRule
from codemill.report.clusters import DedupView, dedup_view
from codemill.report.contents import Head, excerpt
from codemill.report.frame import Frame
from codemill.report.samples import Sample, Samples, at_random, describe
from codemill.report.shares import ShareTable, share_tables
from codemill.report.tallies import FunnelRow, GroupTable, Overview, by_group, funnel, overview, remarks
from codemill.report.thresholds import RuleView, rule_view, sample_view

MOST_SAMPLES = 600  # files shown on the page; what bounds its size
SAMPLES = 4  # files on each side of a cut, and at random for each reason
KEPT_SAMPLES = 12


@dataclass
class Block:
    """A step of the funnel in detail: one of `rule`, `dedup`, or neither for the first step."""

    row: FunnelRow
    rule: RuleView | None = None
    dedup: DedupView | None = None
    random: Samples = field(default_factory=Samples)

    def samples(self) -> list[Sample]:
        found = [sample for samples in self.rule.every() for sample in samples.every()] if self.rule else []
        return [*found, *self.random.every()]


@dataclass
class CorpusView:
    """Everything the report says of one corpus."""

    name: str
    level: str
    has_tokens: bool
    overview: Overview
    remarks: list[str]
    funnel: list[FunnelRow]
    languages: GroupTable
    sources: GroupTable
    repositories: GroupTable
    shares: list[ShareTable]
    blocks: list[Block]
    kept: Samples

    def samples(self) -> list[Sample]:
        return [sample for block in self.blocks for sample in block.samples()] + self.kept.stayed

    def blobs(self) -> set[str]:
        """The contents that the corpus's samples and differences show."""
        wanted = {sample.blob for sample in self.samples() if sample.blob}
        for block in self.blocks:
            wanted |= block.dedup.blobs() if block.dedup else set()
        return wanted

    def show(self, heads: dict[str, Head]) -> None:
        """Fill in excerpts and differences."""
        for sample in self.samples():
            if sample.blob in heads:
                sample.excerpt = excerpt(heads[sample.blob])
        for block in self.blocks:
            if block.dedup:
                block.dedup.compare(heads)


def samples_each(frames: Sequence[Frame]) -> int:
    """How many files each list of samples may hold, so that all of them together stay within the page's bound."""
    lists = 0
    for frame in frames:
        for step in frame.selection.steps:
            lists += 5 if isinstance(step.setting, ValueRule | QuantileRule) else 1
    room = MOST_SAMPLES - KEPT_SAMPLES * len(frames)
    return max(1, min(SAMPLES, room // max(lists, 1)))


def corpus_view(frame: Frame, level: str, samples: int) -> CorpusView:
    """The view of one corpus with so many samples in each list; contents are still missing (`CorpusView.show`)."""
    rows = funnel(frame)
    languages = by_group(frame, *frame.languages)
    blocks = [_block(frame, index, row, samples) for index, row in enumerate(rows)]
    return CorpusView(
        name=frame.corpus,
        level=level,
        has_tokens=frame.has_tokens,
        overview=overview(frame),
        remarks=remarks(frame, rows, languages),
        funnel=rows,
        languages=languages,
        sources=by_group(frame, *frame.groups("source")),
        repositories=by_group(frame, *frame.repositories),
        shares=list(share_tables(frame)),
        blocks=blocks,
        kept=Samples(stayed=describe(frame, at_random(frame, frame.kept, KEPT_SAMPLES))),
    )


def _block(frame: Frame, index: int, row: FunnelRow, samples: int) -> Block:
    rule = frame.selection.steps[index].setting
    if isinstance(rule, ValueRule | QuantileRule):
        return Block(row, rule=rule_view(frame, index, samples))
    if isinstance(rule, SampleRule):
        return Block(row, rule=sample_view(frame, index, samples))
    block = Block(row)
    if isinstance(rule, DedupRule):
        block.dedup = dedup_view(frame, index)
        block.random.gone = describe(frame, at_random(frame, frame.stopped == index, samples))
        return block
    # The first step has a reason for each kind of problem, and no contents to show: a few names of each.
    for reason in np.unique(frame.reason[frame.stopped == index]).tolist():
        block.random.gone += describe(frame, at_random(frame, frame.reason == reason, samples))
    return block
