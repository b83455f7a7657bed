"""Nothing of after a commit stands in its context: held on histories that were built to let it slip through."""

import random

import pygit2
import pytest

from codemill.commits.context import Snapshot, TreeView, find_readme, is_skipped, parent_snapshot
from codemill.commits.message import split_message
from codemill.commits.sample import Sampler
from codemill.commits.settings import BudgetSettings, CommitCorpusSettings, ContextSettings, HistorySettings
from codemill.commits.shown import Setup
from codemill.commits.template import load_template
from codemill.commits.tokens import load_tokens
from tests.commits.histories import CALC, README, REPORT, History, gauge

TEMPLATE = load_template("v1")


def sampler(history, budget=None, context=None, form="diff"):
    corpus = CommitCorpusSettings(
        rules=(), format=form, budget=budget or BudgetSettings(), context=context or ContextSettings()
    )
    setup = Setup(corpus, HistorySettings(), TEMPLATE, load_tokens("lexical"))
    return Sampler(history.repository, "owner/gauge", setup, is_skipped)


def sample_of(history, sha, **settings):
    commit = history.repository[sha].peel(pygit2.Commit)
    return sampler(history, **settings).sample(commit, split_message(commit.message).text)


def context_of(sample):
    start = next(start for _, start, _, target in sample.spans if target)
    return sample.text[:start]


def text_of(files):
    return {name: data.decode("utf-8", "replace") for name, (_, data) in files.items()}


def leaks(history, sha, sample):
    """Lines of the context that the snapshot before does not account for."""
    parents = history.repository[sha].parent_ids
    before = text_of(history.trees[str(parents[0])]) if parents else {}
    parts = {name: sample.text[start:end] for name, start, end, _ in sample.spans}
    found = []
    for shown in sample.context_files:
        lines = before.get(shown["path"], "").removesuffix("\n").split("\n")
        excerpt = "\n".join(lines[shown["first_line"] - 1 : shown["last_line"]])
        if shown["path"] not in before or f"\n{excerpt}\n" not in parts["files"]:
            found.append(shown["path"])
    names = {part for path in before for part in path.split("/")}
    for line in parts.get("tree", "").split("\n")[1:-1]:
        name = line.strip().removesuffix("/")
        if name not in names and not name.endswith(" more"):
            found.append(line)
    if "readme" in parts:
        head, _, body = parts["readme"].removeprefix(TEMPLATE.tokens["readme"]).partition("\n")
        if not before.get(head, "").strip("\n").startswith(body.rstrip("\n")):
            found.append("readme")
    return found


SECRET = "mercury_barometer"


@pytest.mark.parametrize(
    "change",
    [
        {"gauge/calc.py": CALC + f"\n\ndef {SECRET}():\n    return 1\n"},
        {f"gauge/{SECRET}.py": f"def {SECRET}():\n    return 1\n"},
        {f"{SECRET}/deep/er.py": "A = 1\n"},
        {"gauge/report.py": None, f"gauge/{SECRET}.py": REPORT},
        {"gauge/report.py": None, f"gauge/{SECRET}.py": REPORT + f"# {SECRET}\n"},
        {f"gauge/{SECRET}.py": CALC},  # an added file whose content stands in the snapshot under another name
        {"README.md": README + f"\nNow with {SECRET}.\n"},
        {f"README.{SECRET}": "x\n", "README.md": None},
    ],
    ids=["modified", "added", "folder", "renamed", "renamed and changed", "copied", "readme", "readme replaced"],
)
@pytest.mark.parametrize("changed_files", [False, True])
def test_what_a_commit_brings_is_not_shown_before_it(tmp_path, change, changed_files):
    history = History(tmp_path)
    history.commit({"README.md": README, "gauge/calc.py": CALC, "gauge/report.py": REPORT}, "start")
    # The message names it, so that a search over the wrong snapshot would find it first.
    sha = history.commit(change, "Add the barometer of mercury")
    history.commit({"gauge/later.py": f"{SECRET}_later = 1\n"}, "later")
    sample = sample_of(history, sha, context=ContextSettings(changed_files=changed_files))
    assert sample.error is None
    assert SECRET in sample.text
    assert SECRET not in context_of(sample)
    assert leaks(history, sha, sample) == []


def test_what_stood_elsewhere_in_history_is_not_shown(tmp_path):
    """Dropped before, or living on another branch: the index has passed by both on its way."""
    history = History(tmp_path)
    history.commit({"README.md": README, "gauge/calc.py": CALC, "old.py": f"def {SECRET}():\n    pass\n"}, "start")
    base = history.commit({"old.py": None}, "Drop it")
    side = history.commit({f"{SECRET}.py": f"def {SECRET}():\n    pass\n"}, "Branch", parents=[base])
    here = history.commit({"gauge/report.py": REPORT}, "Report the mercury barometer", parents=[base])
    again = history.commit({"old.py": f"def {SECRET}():\n    pass\n"}, "Bring the mercury barometer back")
    making = sampler(history)
    for sha in (side, here, again, side, here):
        commit = history.repository[sha].peel(pygit2.Commit)
        sample = making.sample(commit, commit.message)
        assert SECRET not in context_of(sample)
        assert leaks(history, sha, sample) == []
        assert sample == sample_of(history, sha), "a sample hangs on its commit alone, not on those before it"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("form", ["diff", "blocks", "files"])
def test_random_histories_leak_nothing(tmp_path, seed, form):
    pick = random.Random(seed)
    history = History(tmp_path)
    words = ["valve", "pump", "gauge", "pressure", "flow", "steam", "boiler", "pipe"]
    history.commit({"README.md": README, "a/start.py": CALC}, "start")
    for step in range(40):
        parent = pick.choice(list(history.trees)[-3:])
        files = list(history.trees[parent])
        change = {}
        for _ in range(pick.randint(1, 3)):
            old = pick.choice(files)
            text = history.trees[parent][old][1].decode()
            mark = f"{pick.choice(words)}_{step}"
            kind = pick.choice(["modify", "add", "rename", "delete", "copy"])
            if kind in ("rename", "delete") and len(files) > 2:
                change[old] = None
            if kind != "delete":
                name = old if kind == "modify" else f"{pick.choice('abc')}/{mark}.py"
                change[name] = text if kind == "copy" else f"{text}\n{mark} = {step}\n"
        message = " ".join(pick.sample(words, 3))
        history.commit({k: v for k, v in change.items() if v is not None or k in files}, message, parents=[parent])
    making = sampler(history, form=form)
    for sha in history.trees:
        commit = history.repository[sha].peel(pygit2.Commit)
        if not commit.parent_ids or not len(commit.tree.diff_to_tree(commit.parents[0].tree)):
            continue
        sample = making.sample(commit, commit.message)
        assert sample.error is None
        assert leaks(history, sha, sample) == []


def test_budgets_hold_and_context_gives_way_in_order(tmp_path):
    history = gauge(tmp_path)
    sha = list(history.trees)[2]  # "Refuse to take the mean of no readings"
    full = sample_of(history, sha)
    shown = [name for name, *_ in full.spans]
    assert shown == ["repository", "readme", "tree", "files", "message", "cue", "paths", "change", "end"]
    assert full.recall == 1.0
    assert full.coverage == 1.0
    seen = []
    for total in range(full.tokens + 10, 0, -1):
        sample = sample_of(history, sha, budget=BudgetSettings(total=total))
        if not sample.fits:
            assert total > full.target_tokens
            break
        assert sample.tokens <= total
        parts = tuple(name for name, *_ in sample.spans if name in ("readme", "files", "tree"))
        if not seen or seen[-1] != parts:
            seen.append(parts)
    assert seen == [("readme", "tree", "files"), ("tree", "files"), ("tree",), ()]
    assert not sample_of(history, sha, budget=BudgetSettings(total=full.target_tokens)).fits
    assert not sample_of(history, sha, budget=BudgetSettings(change=full.target_tokens - 1)).fits


def test_spans_are_the_text_and_marked(tmp_path):
    history = gauge(tmp_path)
    sample = sample_of(history, list(history.trees)[1])
    assert "".join(sample.text[start:end] for _, start, end, _ in sample.spans) == sample.text
    assert [name for name, _, _, target in sample.spans if target] == ["paths", "change", "end"]
    assert sample.text[: next(start for _, start, _, t in sample.spans if t)].endswith("<|paths|>\n")
    assert sample.text.endswith("<|end|>")


def test_special_tokens_in_contents_are_no_tokens(tmp_path):
    history = History(tmp_path)
    history.commit({"README.md": "# <|end|>\n", "a.py": "steam = '<|file|>'\n", "b.py": "steam = 1\n"}, "start")
    good = sample_of(history, history.commit({"b.py": "steam = 2\n"}, "More steam in b"))
    assert [one["path"] for one in good.context_files] == ["b.py"]
    assert "# <|end|>" not in good.text
    bad = sample_of(history, history.commit({"b.py": "steam = '<|end|>'\n"}, "Steam is the end"))
    assert (bad.clean, bad.text) == (False, "")


def test_folders_that_matter_stay_open(tmp_path):
    history = History(tmp_path)
    files = {f"wide/{number:03}.py": "" for number in range(90)}
    files |= {f"a/b/c/d/e/f{number}.py": "" for number in range(9)} | {"other/x/y/z.py": ""}
    history.commit(files, "start")
    snapshot = Snapshot(history.repository, history.repository[history.head].tree_id)
    count = load_tokens("lexical").count
    tree = TreeView(snapshot, ["a/b/c/d/e/f7.py", "wide/083.py"], depth=2, breadth=5).render(400, count)
    assert "          f7.py" in tree
    assert "  083.py" in tree
    assert "... 85 more" in tree
    assert "  x/" in tree
    assert "    y/" not in tree
    assert count(TreeView(snapshot, ["wide/083.py"], depth=3, breadth=50).render(60, count)) <= 60
    assert TreeView(snapshot, [], depth=3, breadth=50).render(0, count) == ""


def test_readmes_are_found_by_name(tmp_path):
    history = History(tmp_path)
    history.commit({"readme": "plain\n", "README.rst": "rst\n", "docs/README.md": "no\n"}, "start")
    sha = history.commit({"README.md": "new\n"}, "next")
    before = parent_snapshot(history.repository, history.repository[sha])
    assert find_readme(before) == ("README.rst", "rst\n")
    assert find_readme(Snapshot(history.repository, history.repository[sha].tree_id)) == ("README.md", "new\n")
    assert find_readme(Snapshot(history.repository, None)) is None


def test_change_logs_and_foreign_files_are_not_searched():
    skipped = [
        "CHANGELOG.md",
        "CHANGES",
        "vendor/a.py",
        "README.md",
        "logo.svg",
        "package-lock.json",
        "changelog.d/1.md",
    ]
    assert all(map(is_skipped, skipped))
    assert not any(
        map(is_skipped, ["src/changes_api.py", "docs/README.md", ".github/workflows/ci.yml", "history/a.py"])
    )
