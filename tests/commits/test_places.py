"""Histories are found in folders, mirrors, bundles and behind URLs; what is none is told in one line."""

import subprocess

import pytest

from codemill.commits.places import find_repositories, is_url, url_name
from codemill.errors import InputError
from codemill.recipe import GitSource
from codemill.store import Store
from tests.commits.histories import gauge


def find(tmp_path, path, **settings):
    store = Store(tmp_path / "store")
    return list(find_repositories(GitSource(kind="git", name="s", path=str(path), **settings), store))


@pytest.fixture
def repository(tmp_path):
    return gauge(tmp_path / "repos" / "owner+gauge" / "repo")


def test_mirrors_below_a_glob(tmp_path, repository):
    found = find(tmp_path, tmp_path / "repos" / "*" / "repo")
    assert [(one.repo, one.head, one.problem) for one in found] == [("owner+gauge", repository.head, None)]


def test_a_folder_of_repositories_and_other_things(tmp_path, repository):
    gauge(tmp_path / "many" / "one")
    (tmp_path / "many" / "notes").mkdir()
    subprocess.run(["git", "init", "-q", tmp_path / "many" / "young"], check=True)
    problems = {one.repo: one.problem for one in find(tmp_path, tmp_path / "many")}
    assert problems == {"one": None, "notes": "no_repository", "young": "no_revision"}


def test_one_repository_by_its_path(tmp_path, repository):
    assert [one.repo for one in find(tmp_path, repository.path)] == ["repo"]


def test_a_working_copy_is_named_by_its_remote(tmp_path, repository):
    clone = tmp_path / "clones" / "mine"
    subprocess.run(["git", "clone", "-q", repository.path, clone], check=True)
    subprocess.run(["git", "-C", clone, "remote", "set-url", "origin", "https://example.org/ada/gauge.git"], check=True)
    found = find(tmp_path, tmp_path / "clones")
    assert [(one.repo, one.origin) for one in found] == [("ada/gauge", "mine")]


def test_bundles_are_cloned_and_followed(tmp_path, repository):
    bundle = tmp_path / "bundles" / "gauge.bundle"
    bundle.parent.mkdir()

    def pack():
        subprocess.run(["git", "-C", repository.path, "bundle", "create", "-q", bundle, "main", "HEAD"], check=True)

    pack()
    assert [one.head for one in find(tmp_path, bundle)] == [repository.head]
    repository.commit({"new.txt": "new\n"}, "Another one")
    pack()
    assert [one.head for one in find(tmp_path, bundle.parent)] == [repository.head]


def test_urls_are_cloned(tmp_path, repository):
    found = find(tmp_path, f"file://{repository.path}")
    assert [(one.repo, one.head) for one in found] == [("repo", repository.head)]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("https://127.0.0.1:9/ada/gauge.git", "path: expected a repository that can be cloned, got unable to access"),
        ("file:///nowhere/at/all", "path: expected a repository that can be cloned"),
        ("/nowhere/at/all", "expected a file or folder, got nothing there"),
    ],
)
def test_what_is_not_there_is_one_line(tmp_path, path, message):
    with pytest.raises(InputError, match=message) as caught:
        find(tmp_path, path)
    assert "\n" not in str(caught.value)


def test_a_revision_that_no_repository_has(tmp_path, repository):
    with pytest.raises(InputError, match="revision: expected one that a repository"):
        find(tmp_path, repository.path, revision="v9")


def test_urls_and_their_names():
    assert is_url("https://example.org/a/b.git")
    assert is_url("git@example.org:a/b.git")
    assert not is_url("a/b")
    assert not is_url("s3://bucket/a")
    assert url_name("git@example.org:a/b.git") == url_name("https://example.org/a/b") == "a/b"
