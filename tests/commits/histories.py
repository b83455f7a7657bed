"""Small real histories, written commit by commit into git's object store."""

import pygit2
from pygit2.enums import FileMode

START = 1_500_000_000
DAY = 86_400
LINK, EXECUTABLE, SUBMODULE = FileMode.LINK, FileMode.BLOB_EXECUTABLE, FileMode.COMMIT


class History:
    """A bare repository that grows by whole snapshots: `commit({"path": "text", "gone": None})`."""

    def __init__(self, path):
        self.path = path
        self.repository = pygit2.init_repository(str(path), bare=True, initial_head="main")
        self.trees = {}
        self.head = None
        self.count = 0

    def commit(self, changes, message, *, parents=None, author=("Ada", "ada@example.org"), days=None):
        """Add a commit on top of `parents` (default: the last one); the id as text."""
        parents = ([self.head] if self.head else []) if parents is None else parents
        files = dict(self.trees[parents[0]]) if parents else {}
        for name, content in changes.items():
            if content is None:
                del files[name]
            else:
                mode, data = content if isinstance(content, tuple) else (FileMode.BLOB, content)
                files[name] = (mode, data.encode() if isinstance(data, str) else data)
        when = START + (self.count if days is None else days) * DAY
        self.count += 1
        person = pygit2.Signature(*author, when, 60)
        oid = self.repository.create_commit(None, person, person, message, self.tree(files), parents)
        self.head = str(oid)
        self.trees[self.head] = files
        self.repository.references.create("refs/heads/main", oid, force=True)
        return self.head

    def tree(self, files):
        """Write the tree of these files."""
        builder = self.repository.TreeBuilder()
        folders = {}
        for name, (mode, data) in files.items():
            folder, slash, rest = name.partition("/")
            if slash:
                folders.setdefault(folder, {})[rest] = (mode, data)
            elif mode == SUBMODULE:
                builder.insert(name, pygit2.Oid(hex=data.decode()), mode)
            else:
                builder.insert(name, self.repository.create_blob(data), mode)
        for folder, inner in folders.items():
            builder.insert(folder, self.tree(inner), FileMode.TREE)
        return builder.write()


CALC = """\
\"\"\"Sums and means of readings.\"\"\"


def total(readings):
    result = 0
    for reading in readings:
        result += reading
    return result


def mean(readings):
    return total(readings) / len(readings)
"""

REPORT = """\
from gauge.calc import mean, total


def report(readings):
    return f"{total(readings)} in all, {mean(readings):.1f} on average"
"""

README = "# Gauge\n\nReads instruments and says what they measured.\n"


def gauge(path):
    """A plain history of a small package, with one commit of about every kind that rules ask for."""
    history = History(path)
    add = history.commit
    add({"README.md": README, "gauge/__init__.py": "", "gauge/calc.py": CALC}, "Add sums and means of readings\n")
    add({"gauge/report.py": REPORT}, "Report total and mean of readings\n\nOne line is enough for a log.\n", days=40)
    fixed = CALC.replace(
        "    return total", '    if not readings:\n        raise ValueError("no readings")\n    return total'
    )
    add({"gauge/calc.py": fixed}, "Refuse to take the mean of no readings\n\nReviewed-by: Bob <bob@example.org>\n")
    add({"docs/log.md": "# Log\n"}, "fix", author=("Eve", "eve@example.org"))
    add({"README.md": README + "\nVersion 1.\n"}, "Update README.md")
    add({"gauge/calc.py": fixed.replace("    ", "\t")}, "Indent the calculations with tabs")
    add({"gauge/calc.py": fixed}, 'Revert "Indent the calculations with tabs"\n\nThis reverts commit abcdef1234.\n')
    add({"logo.png": b"\x89PNG\r\n\x1a\n\0\0\0" + bytes(range(256))}, "Draw a logo for the front page")
    add({"requirements.txt": "numpy==2.0\n"}, "Pin the numeric library", author=("dependabot[bot]", "bot@example.org"))
    main = add({"gauge/report.py": None, "gauge/text.py": REPORT.replace("report(", "text(")}, "Call the report a text")
    side = add({"docs/log.md": "# Log\n\nBegun.\n"}, "Begin the log of changes in docs", parents=[main])
    other = add({"gauge/units.py": "VOLT = 'V'\n"}, "Name the unit of voltage", parents=[main])
    add({"docs/log.md": "# Log\n\nBegun.\n"}, "Merge branch 'docs'", parents=[other, side])
    add({"gauge/old.py": "A = 1\n" * 3}, "Keep constants of old instruments", days=400)
    add({"gauge/old.py": None}, "Drop the constants of old instruments")
    return history
