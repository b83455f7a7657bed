"""Messages come apart as git takes them apart, and what says nothing is told from what says something."""

import pytest

from codemill.commits.message import describe_message, is_bot, names_people, split_message


def values(text):
    return describe_message(split_message(text), text)


def test_subject_body_and_trailers_come_apart():
    message = split_message(
        "Fix the thing that\nbroke\n\nWhy: it was wrong.\n\nMore.\n\n"
        "Signed-off-by: Ada <a@b.c>\nFixes: #12\n  and #13\n"
        "(cherry picked from commit 0123456789abcdef0123456789abcdef01234567)\n"
    )
    assert message.subject == "Fix the thing that broke"
    assert message.body == "Why: it was wrong.\n\nMore."
    assert message.trailers == [
        ("Signed-off-by", "Ada <a@b.c>"),
        ("Fixes", "#12 and #13"),
        ("cherry-picked-from", "0123456789abcdef0123456789abcdef01234567"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Subject: looks like a trailer\n",
        "Subject\n\nNote: this paragraph only looks like one.\n",
        "Subject\n\nSigned-off-by: Ada <a@b.c>\nand then prose goes on\n",
    ],
)
def test_prose_stays_prose(text):
    assert split_message(text).trailers == []
    assert split_message(text).text == text.strip()


def test_windows_line_ends_and_empty_messages():
    assert split_message("One\r\n\r\nTwo\r\n") == split_message("One\n\nTwo\n")
    assert split_message("  \n ").text == ""


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("fix", "bare_verb"),
        ("Fix typos", "bare_verb"),
        ("docs: minor fixes", "bare_verb"),
        ("Some small fixes for problems", "bare_verb"),
        ("new file:   a.pl", "git_status"),
        ("modified:   a.pl modified:   b.pl", "git_status"),
        ("modified:   a.pl -- a faster sieve", None),
        ("WIP", "work_in_progress"),
        ("...", "work_in_progress"),
        ("Update README.md", "web_edit"),
        ("Create docs/a.md", "web_edit"),
        ("Add files via upload", "web_upload"),
        ("Initial commit", "first"),
        ("Bump version to 1.2.3", "version"),
        ("v1.2", "version"),
        ("Release 8.3.3 (#12)", "version"),
        ("build(deps): bump left-pad from 1.0 to 1.1", "dependency"),
        ("Merge pull request #3 from a/b", "merge"),
        ("fixup! Parse", "fixup"),
        ("Fix the parser of dates", None),
        ("Add version negotiation to the handshake", None),
        ("Update the cache when a file is renamed", None),
        ("feat(cli): show progress", None),
        ("Small parser for dates", None),
        ("Fix for loops in the code generator", None),
        ("Add support for Python 3.13", None),
        ("test that empty readings are refused", None),
    ],
)
def test_messages_of_habit_are_known_by_their_pattern(text, template):
    assert values(text)["template"] == template


def test_counts_leave_out_prefixes_and_references():
    found = values("feat(cli)!: show progress (#12)\n\nSee https://example.org/a/b for why.")
    assert found["conventional"] == "feat"
    assert found["subject_words"] == 2
    assert found["message_words"] == 2 + 2 + 3  # feat, cli; show progress; See for why
    assert values("!!! ...")["punctuation_only"]
    assert values("#12, GH-3")["reference_only"]
    assert not values("#12 works")["reference_only"]


def test_reverts_and_picks_name_their_commit():
    found = values('Revert "X"\n\nThis reverts commit 0123456789.\n')
    assert (found["revert"], found["reverts"]) == (True, "0123456789")
    assert values("X\n\n(cherry picked from commit 0123456789)\n")["cherry_picked"] == "0123456789"


@pytest.mark.parametrize("name", ["dependabot[bot]", "renovate-bot", "GitHub Action", "weblate", "release robot"])
def test_machines_are_bots(name):
    assert is_bot(name, "x@example.org")


@pytest.mark.parametrize("name", ["Talbot", "Robin Abbott", "Botond", "Dana Cirillo", "Snyder"])
def test_people_are_none(name):
    assert not is_bot(name, "talbot@example.org")


def test_trailers_that_name_people():
    assert names_people("Signed-off-by")
    assert names_people("CC")
    assert not names_people("Fixes")
