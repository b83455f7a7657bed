"""Renders notebooks as readable text, Markdown and code in turn, on the way out of a corpus; blobs stay what they are.

Two styles. `markdown` leaves text cells as they are and puts code into fences that name its language: what people read
and write, for any kernel. `percent` is a script of the kernel's language with text as comments and `# %%` between
cells: what parsers and scorers of that language read.
"""

import re
from collections.abc import Iterable

from codemill.annotate.notebook import Cell, Kernel, Notebook, NotebookError, magic_fence, read_notebook
from codemill.recipe import NotebookSettings

__all__ = ["NotebookError", "notebook_text", "read_notebook", "render"]

# Pictures within text: data URLs and a notebook's own attachments, in Markdown and in HTML.
_PICTURE = re.compile(
    r"!\[([^\]\n]{0,300})\]\(\s*<?(?:data:[^)\s]*|attachment:[^)\n]{0,300})[^)\n]{0,100}\)"
    r"|<img\b[^>]{0,200}?\bsrc\s*=\s*([\"'])(?:data:|attachment:)[^\"'>]*\2[^>]{0,300}>",
    re.IGNORECASE,
)
_BARE_DATA = re.compile(r"data:image/[\w.+-]{1,40};base64,[A-Za-z0-9+/=%]{64,}")
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_BACKTICKS = re.compile(r"^[ \t]*(`{3,}|~{3,})", re.MULTILINE)
_BLANKS = re.compile(r"\n{4,}")


def notebook_text(content: bytes, settings: NotebookSettings) -> str:
    """The notebook in these bytes as text.

    Raises:
        NotebookError: it is none; the message says why.
    """
    return render(read_notebook(content), settings)


def render(notebook: Notebook, settings: NotebookSettings) -> str:
    """A notebook as text that ends with a newline; empty cells are left out."""
    style = _percent if settings.style == "percent" else _markdown
    parts = [part for cell in notebook.cells for part in style(cell, notebook.kernel, settings)]
    return _BLANKS.sub("\n\n\n", "\n\n".join(parts)) + "\n" if parts else ""


def _markdown(cell: Cell, kernel: Kernel, settings: NotebookSettings) -> Iterable[str]:
    source = _clean(cell.source)
    if cell.kind != "code":
        if source:
            yield _closed(source)
        return
    if source:
        yield _fenced(source, magic_fence(source) or kernel.fence)
    output = _outputs(cell, settings)
    if output:
        yield _fenced(output, "output")


def _percent(cell: Cell, kernel: Kernel, settings: NotebookSettings) -> Iterable[str]:
    source = _clean(cell.source)
    if source:
        mark = {"code": "", "text": " [markdown]"}.get(cell.kind, " [raw]")
        # Magics and shell commands are no code of the language; as comments they lose nothing.
        body = (
            "\n".join(_commented_magic(line, kernel) for line in source.split("\n"))
            if cell.kind == "code" and not magic_fence(source)
            else _comment(source, kernel)
        )
        yield f"{kernel.comment} %%{mark}\n{body}"
    output = _outputs(cell, settings)
    if output:
        yield _comment(f"Output:\n{output}", kernel)


def _comment(text: str, kernel: Kernel) -> str:
    return "\n".join(f"{kernel.comment} {line}".rstrip() for line in text.split("\n"))


def _commented_magic(line: str, kernel: Kernel) -> str:
    is_magic = line.startswith(("%", "!")) and kernel.comment == "#"
    return f"{kernel.comment} {line}" if is_magic else line


def _outputs(cell: Cell, settings: NotebookSettings) -> str:
    """The textual outputs of a cell, as much of them as the settings allow; a cut is marked."""
    if settings.outputs == "drop" or not cell.outputs:
        return ""
    pieces = [_ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n").strip("\n") for _, text in cell.outputs]
    text = "\n".join(piece.rstrip() for piece in pieces if piece.strip())
    return text if len(text) <= settings.output_chars else text[: settings.output_chars].rstrip() + "\n…"


def _clean(source: str) -> str:
    """A cell without embedded pictures and without blank lines around it."""
    source = source.replace("\r\n", "\n")
    if "data:" in source or "attachment:" in source:
        source = _BARE_DATA.sub("", _PICTURE.sub(lambda found: found.group(1) or "", source))
    return source.strip("\n").rstrip()


def _fenced(text: str, name: str) -> str:
    """Text in a fence longer than any in it."""
    longest = max((len(found) for found in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{name}\n{text}\n{fence}"


def _closed(text: str) -> str:
    """Markdown whose fences are closed, so that what follows is not swallowed by them."""
    opened = ""
    for found in _BACKTICKS.finditer(text):
        fence = found.group(1)
        if not opened:
            opened = fence
        elif fence[0] == opened[0] and len(fence) >= len(opened):
            opened = ""
    return f"{text}\n{opened}" if opened else text
