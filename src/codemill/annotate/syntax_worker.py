"""The process in which grammars run, so that one that hangs, crashes or devours memory takes no run down with it.

It is run by its path, imports nothing of codemill, and talks frames over its standard streams with `syntax_guard`:

    in   settings   4 bytes length, JSON: limits, and what is to be known of every grammar
         files      header `FILE` (length of the grammar's name, length of the content), name, content
    out  ready      4 bytes length, JSON: {} or {"error": why it can't start}
         answers    header `ANSWER` for every file in order, then a text of the length it names: why the file failed,
                    or, behind values that aren't all zero, what a grammar with "find" found in it, as JSON

The end of its input ends it, so it outlives its parent by one file at most; the limit of CPU seconds bounds that file.
"""

import contextlib
import gc
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Callable, Iterable
from typing import Any

FILE = struct.Struct("<BQ")
# nodes, error nodes, missing nodes, error bytes, bytes of the first error, comment bytes, literal bytes, message length
ANSWER = struct.Struct("<8q")
LENGTH = struct.Struct("<I")
UNKNOWN = -1

TEXT_BYTES = 4096

ERRORS = "(ERROR) @error (MISSING) @missing"


class Grammar:
    """A parser with its queries; `query` is that of comments and literals, empty where they are not wanted."""

    def __init__(self, name: str, query: str, captures: Iterable[str]) -> None:
        import tree_sitter
        import tree_sitter_language_pack

        load: Any = tree_sitter_language_pack.get_language  # typed for literal names alone
        language = load(name)
        self.parser = tree_sitter.Parser(language)
        self.cursor = tree_sitter.QueryCursor
        self.errors = tree_sitter.Query(language, ERRORS)
        self.parts = tree_sitter.Query(language, query) if query else None
        self.kinds = frozenset(captures)

    def measure(self, content: bytes) -> tuple[int, ...]:
        """The first seven values of `ANSWER`."""
        root = self.parser.parse(content).root_node
        errors, missing, wrong, first = 0, 0, 0, 0
        if root.has_error:
            found = self.cursor(self.errors).captures(root)
            missing = len(found.get("missing", ())) + missing_at_start(root)
            errors, wrong, first = cover(found.get("error", ()))
        comment = literal = UNKNOWN
        if self.parts is not None:
            found = self.cursor(self.parts).captures(root)
            # A docstring is a literal to the grammar: it counts as the comment it is meant to be, and each byte once.
            notes = [*found.get("comment", ()), *found.get("doc", ())]
            noted = cover(notes)[1]
            if "comment" in self.kinds:
                comment = noted
            if "literal" in self.kinds:
                literal = cover([*notes, *found.get("literal", ())])[1] - noted
        return root.descendant_count, errors, missing, wrong, first, comment, literal


class Finder:
    """A parser with a query whose matches are wanted as text."""

    def __init__(self, name: str, query: str) -> None:
        import tree_sitter
        import tree_sitter_language_pack

        load: Any = tree_sitter_language_pack.get_language  # typed for literal names alone
        language = load(name)
        self.parser = tree_sitter.Parser(language)
        self.query = tree_sitter.Query(language, query)
        self.cursor = tree_sitter.QueryCursor

    def find(self, content: bytes) -> tuple[int, bytes]:
        """Nodes of the tree, and every match as {capture: text of its first node}: a JSON list, each once, sorted."""
        root = self.parser.parse(content).root_node
        found = {
            json.dumps({name: text_of(nodes[0], content) for name, nodes in captures.items()}, sort_keys=True)
            for _, captures in self.cursor(self.query).matches(root)
        }
        return root.descendant_count, f"[{','.join(sorted(found))}]".encode()


def text_of(node: Any, content: bytes) -> str:
    """The source of a node, as much of it as a name or an import can need."""
    return content[node.start_byte : min(node.end_byte, node.start_byte + TEXT_BYTES)].decode("utf-8", "replace")


def missing_at_start(root: Any) -> int:
    """Missing tokens before the first byte: queries pass them over, since what ends at 0 lies before their range."""
    count, open_nodes = 0, [root]
    while open_nodes:
        node = open_nodes.pop()
        for index in range(node.child_count):
            child = node.child(index)
            if child.start_byte > 0:
                break
            count += child.is_missing and child.end_byte == 0
            open_nodes.append(child)
    return count


def cover(nodes: Iterable[Any]) -> tuple[int, int, int]:
    """How many nodes there are, the bytes they cover, each once, and the bytes of the first that lies in no other."""
    spans = sorted([node.byte_range for node in nodes])
    total = reached = first = 0
    for start, end in spans:
        if end > reached:
            total += end - max(start, reached)
            if start == spans[0][0]:
                first = end - start
            reached = end
    return len(spans), total, first


class Grammars:
    """Grammars by name, each loaded when a file first needs it."""

    def __init__(self, known: dict[str, dict[str, Any]]) -> None:
        self.known = known
        self.loaded: dict[str, Grammar] = {}
        self.finders: dict[str, Finder] = {}

    def load(self, name: str) -> None:
        """Load what a file of this grammar needs."""
        if "find" not in self.known[name]:
            self.get(name)
        elif name not in self.finders:
            self.finders[name] = Finder(self.known[name]["grammar"], self.known[name]["find"])

    def answer(self, name: str, content: bytes) -> tuple[tuple[int, ...], bytes]:
        """The first seven values of `ANSWER`, and what was found in the file."""
        if name in self.finders:
            nodes, found = self.finders[name].find(content)
            return (nodes, *(0,) * 6), found
        return self.measure(name, content), b""

    def get(self, name: str) -> Grammar:
        if name not in self.loaded:
            self.loaded[name] = Grammar(name, self.known[name]["query"], self.known[name]["captures"])
        return self.loaded[name]

    def measure(self, name: str, content: bytes) -> tuple[int, ...]:
        """The first seven values of `ANSWER`, by the second grammar where that finds fewer bytes in error."""
        values = self.get(name).measure(content)
        second = self.known[name]["second"]
        return min(values, self.get(second).measure(content), key=wrong_bytes) if second and values[3] else values


def wrong_bytes(values: tuple[int, ...]) -> int:
    return values[3]


def limit_memory(size: int) -> None:
    """Let allocations beyond `size` bytes fail, which costs this process, not the machine."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # Not every system supports this one; the limit of time still bounds what a grammar can take.
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def serve(read: Callable[[int], bytes], write: Callable[[bytes], object]) -> None:
    """Answer files until the input ends."""
    settings = json.loads(read(LENGTH.unpack(read(LENGTH.size))[0]))
    limit_memory(settings["max_memory"])
    seconds = settings["timeout"]
    grammars = Grammars(settings["grammars"])
    try:
        import tree_sitter  # noqa: F401 - a broken installation is to show before the first file
    except ImportError as error:
        message = json.dumps({"error": str(error)}).encode()
        write(LENGTH.pack(len(message)) + message)
        return
    write(LENGTH.pack(2) + b"{}")
    while len(header := read(FILE.size)) == FILE.size:
        name_length, length = FILE.unpack(header)
        name, content = read(name_length), read(length)
        if len(content) < length:
            return
        message = b""
        values: tuple[int, ...] = (0,) * 7
        try:
            grammars.load(name.decode())  # loading counts for no file
            # CPU time, not wall time: a loaded machine must not change what is found. The signal ends this process.
            signal.setitimer(signal.ITIMER_PROF, seconds)
            values, message = grammars.answer(name.decode(), content)
        except Exception as error:
            message = f"{type(error).__name__}: {error}"[:300].encode()
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        write(ANSWER.pack(*values, len(message)) + message)


def main() -> None:
    # Nodes make no cycles, and there are millions of them.
    gc.disable()
    # An interrupt from the keyboard goes to all processes of the terminal; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    output = sys.stdout.fileno()
    serve(sys.stdin.buffer.read, lambda data: os.write(output, data))


if __name__ == "__main__":
    main()
