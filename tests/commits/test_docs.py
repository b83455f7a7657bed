"""The sample in the docs is what the code makes."""

import re
from pathlib import Path

import pytest

from tests.commits.histories import gauge
from tests.commits.test_context import sample_of

PAGE = Path(__file__).parent.parent.parent / "docs" / "commits.md"


@pytest.mark.parametrize("form", ["diff", "blocks"])
def test_the_sample_in_the_docs_is_what_comes_out(tmp_path, form):
    shown = re.search(rf"<!-- sample: {form} -->\n````\n(.*?)\n````\n", PAGE.read_text(), re.DOTALL)
    history = gauge(tmp_path)
    sample = sample_of(history, list(history.trees)[2], form=form)
    assert shown
    assert shown[1] in sample.text
    if form == "diff":
        assert shown[1] == sample.text
