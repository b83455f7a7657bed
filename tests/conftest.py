"""Small real inputs, written here: repositories with good files, copies, near-copies and junk of every kind."""

import os
import random

import pytest
from hypothesis import settings

# No test asserts a time: machines differ, and the first example of a test may compile a kernel.
settings.register_profile("codemill", deadline=None)
settings.load_profile("codemill")

WORDS = ("ledger", "parcel", "window", "harbour", "signal", "copper", "meadow", "lantern", "orbit", "timber")


def python_module(seed, functions=6):
    """A plain, correct Python module; other seeds give other names and bodies."""
    pick = random.Random(seed)
    lines = [f'"""Helpers for {pick.choice(WORDS)} number {seed}."""', "", "import math", ""]
    for number in range(functions):
        name, one, two = (pick.choice(WORDS) for _ in range(3))
        lines += [
            "",
            f"def {name}_{number}({one}_a, {two}_b, scale={pick.randint(2, 99)}):",
            f'    """Return the {name} of both sides, scaled by {pick.choice(WORDS)}."""',
            f"    {one}_sum = {one}_a * {pick.randint(2, 99)} + {two}_b",
            f"    if {one}_sum > {pick.randint(100, 999)}:",
            f"        return math.sqrt({one}_sum) / scale",
            f"    return [{one}_sum - step for step in range({pick.randint(3, 30)})]",
        ]
    return "\n".join(lines) + "\n"


def c_module(seed):
    pick = random.Random(seed)
    name = pick.choice(WORDS)
    body = "\n".join(f"        total += values[i] * {pick.randint(2, 99)} - {name}_{line};" for line in range(8))
    return (
        f"/* Sums {name} values. */\n#include <stddef.h>\n\nstatic const int {name}_0 = {pick.randint(1, 9)};\n\n"
        f"int {name}_sum(const int *values, size_t count)\n{{\n    int total = 0;\n"
        f"    for (size_t i = 0; i < count; i++) {{\n{body}\n    }}\n    return total;\n}}\n"
    )


def write(root, path, content):
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content if isinstance(content, bytes) else content.encode())


def write_repositories(root):
    """Repositories below `root`; see the names for what each is."""
    for number in range(6):
        write(root, f"alpha/src/module_{number}.py", python_module(number))
        write(root, f"fork/src/module_{number}.py", python_module(number))
    write(root, "alpha/README.md", "# Alpha\n\nHelpers that sum and scale. Run `python -m alpha` to see them work.\n")
    write(root, "fork/README.md", "# Alpha\n\nHelpers that sum and scale. Run `python -m alpha` to see them work.\n")
    for number in range(10, 14):
        write(root, f"beta/lib/part_{number}.py", python_module(number, functions=12))
        write(root, f"beta/lib/part_{number}.c", c_module(number))
    near = python_module(10, functions=12).replace("math.sqrt", "math.cbrt", 1)
    write(root, "gamma/changed.py", near)
    write(root, "gamma/own.py", python_module(99, functions=9))
    write(root, "gamma/broken.py", "def half(:\n    return )(\n" * 20)
    write(root, "junk/empty.py", "")
    write(root, "junk/picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)))
    write(root, "junk/latin.py", "# na\u00efve caf\u00e9\n".encode("latin-1"))
    write(root, "junk/large.json", "[" + "1,\n" * 500_000 + "1]")
    write(root, "junk/numbers.py", "PICTURE = [\n" + "    0, 255, 17, 3, 99, 0, 0, 255,\n" * 80 + "]\n")
    write(root, "junk/package.min.js", "function a(b){return b+1}" * 900)
    os.mkfifo(root / "junk/pipe")
    (root / "junk/outside").symlink_to("/etc/hostname")
    (root / "junk/inside").symlink_to("numbers.py")


@pytest.fixture(scope="session")
def repositories(tmp_path_factory):
    """A folder of repositories. Read only: tests that change it make their own with `write_repositories`."""
    root = tmp_path_factory.mktemp("repositories")
    write_repositories(root)
    return root
