"""Pages a second and fidelity of code: codemill against datatrove's WarcReader with Trafilatura, on one WARC file.

    python benchmarks/web.py [--work FOLDER] [--theirs 2500] [--warc FILE]

Without a WARC file, one is made: HTML of Debian's documentation packages (apt-get download, dpkg -x: a Debian or Ubuntu
machine), and pages that Pygments makes of the standard library's modules in all its ways to number lines. Each tool
runs in one process. As one of them is slow, all may be given the first so many pages; datatrove gets an environment of
its own. lxml has to be installed beside codemill (pip install lxml).

Fidelity: the share of known listings whose every character stands in what a tool puts out, line ends apart. Known are
the modules that Pygments rendered, and what another parser (lxml) reads out of every `<pre>` of the documentation.
Trafilatura and resiliparse give plain text, so a listing counts for them wherever it stands.
"""

import argparse
import gzip
import inspect
import json
import re
import subprocess
import sys
import textwrap
import time
import venv
from pathlib import Path

WORK = Path("bench-web")
PACKAGES = (
    *("python3.11-doc", "postgresql-doc-15", "debian-handbook", "debian-reference-en", "sqlite3-doc"),
    *("apache2-doc", "python-django-doc", "cmake-doc", "erlang-doc", "ghc-doc"),
    *("installation-guide-amd64", "linux-doc-6.1", "git-doc", "nodejs-doc", "python-sqlalchemy-doc"),
    *("bash-doc", "octave-doc", "groovy-doc", "bind9-doc", "gnuplot-doc"),
    *("lilypond-doc-html", "developers-reference", "harden-doc", "python-sympy-doc", "exim4-doc-html"),
    "sbcl-doc",
)
MODULES = (
    *("json.decoder", "textwrap", "inspect", "argparse", "ast", "calendar", "csv", "difflib"),
    *("email.message", "fractions", "heapq", "tarfile"),
)
THEIRS = """
import json, sys, time
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.readers import WarcReader
folder, name, limit, out = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
start = time.perf_counter()
pages = 0
with open(out, "w") as lines:
    reader = WarcReader(folder, glob_pattern=name, limit=limit)
    for doc in Trafilatura().run(reader.run()):
        pages += 1
        lines.write(json.dumps([doc.metadata.get("url"), doc.text]) + "\\n")
print(json.dumps({"seconds": time.perf_counter() - start, "extracted": pages}))
"""
PLAIN = """
import json, sys, time
from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding
start, pages = time.perf_counter(), 0
with open(sys.argv[1], "rb") as file, open(sys.argv[3], "w") as lines:
    for record in ArchiveIterator(file, record_types=WarcRecordType.response):
        if pages == int(sys.argv[2]):
            break
        pages += 1
        data = record.reader.read()
        html = bytes_to_str(data, detect_encoding(data))
        text = extract_plain_text(html, preserve_formatting=True, main_content=True)
        lines.write(json.dumps([record.headers["WARC-Target-URI"], text]) + "\\n")
print(json.dumps({"seconds": time.perf_counter() - start, "extracted": pages}))
"""
OURS = """
import json, sys, time
from codemill.web.page import read_page
from codemill.web.records import Others, read_records
start, pages, extracted = time.perf_counter(), 0, 0
with open(sys.argv[1], "rb") as file, open(sys.argv[3], "w") as lines:
    for record in read_records(file, 0, None, 5_000_000, Others({})):
        if pages == int(sys.argv[2]):
            break
        pages += 1
        page = read_page(record)
        extracted += page.text is not None
        lines.write(json.dumps([record.url, (page.text or b"").decode()]) + "\\n")
print(json.dumps({"seconds": time.perf_counter() - start, "extracted": extracted}))
"""


def make_warc(work: Path) -> Path:
    """The WARC file of the documentation packages and of rendered modules, made once; rendered modules come first."""
    from codemill.web.pack import pack

    out = work / "pages.warc.gz"
    if out.exists():
        return out
    debs, root, known = work / "debs", work / "root", work / "known"
    debs.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "download", "-q", *PACKAGES], check=True, cwd=debs, stdout=subprocess.DEVNULL)
    for deb in sorted(debs.glob("*.deb")):
        subprocess.run(["dpkg", "-x", deb, root], check=True)
    known.mkdir(exist_ok=True)
    for name, html in rendered().items():
        (known / f"{name}.html").write_text(html, encoding="utf-8")
    folders = [
        folder for folder in sorted((root / "usr/share/doc").iterdir()) if folder.is_dir() and not folder.is_symlink()
    ]
    print(f"{out}: {pack(out, [known, *folders]):,} pages")
    return out


def sources() -> dict[str, str]:
    """Listings that the rendered pages hold: by module."""
    return {name: inspect.getsource(__import__(name, fromlist=["x"])).rstrip() for name in MODULES}


def rendered() -> dict[str, str]:
    """Pages with the modules as Pygments renders them, by module and way."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    ways = {
        "plain": {},
        "table": {"linenos": "table"},
        "inline": {"linenos": "inline"},
        "anchors": {"linenos": "table", "lineanchors": "line", "anchorlinenos": True},
        "spans": {"linespans": "line", "wrapcode": True},
        "styles": {"noclasses": True},
    }
    words = textwrap.fill(
        "The module below is shown whole, with a few sentences around it as a tutorial has them. " * 5
    )
    pages = {}
    for name, source in sources().items():
        for way, options in ways.items():
            listing = highlight(source, PythonLexer(stripnl=False, ensurenl=False), HtmlFormatter(**options))
            pages[f"{name}-{way}"] = f"<html><body><h1>{name}</h1><p>{words}</p>{listing}<p>{words}</p></body></html>"
    return pages


def marked(warc: Path, limit: int) -> dict[str, list[str]]:
    """URL -> listings of two lines or more that lxml reads out of the page's `<pre>` elements."""
    import lxml.html
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    parser = lxml.html.HTMLParser(encoding="utf-8", huge_tree=True)
    found: dict[str, list[str]] = {}
    with warc.open("rb") as file:
        for number, record in enumerate(ArchiveIterator(file, record_types=WarcRecordType.response)):
            if number == limit:
                break
            url, data = record.headers["WARC-Target-URI"], record.reader.read()
            if url.startswith("https://known."):
                module = re.sub(r"-\w+\.html$", "", url.rpartition("/")[2])
                found[url] = [sources()[module]]
                continue
            try:
                tree = lxml.html.document_fromstring(data.decode("utf-8", "replace").encode(), parser=parser)
            except (ValueError, lxml.etree.LxmlError):
                continue
            found[url] = [text for pre in tree.iter("pre") if (text := _pre(pre))]
    return found


def _pre(pre: object) -> str | None:
    if any(above.tag == "pre" for above in pre.iterancestors()):  # type: ignore[attr-defined] # lxml has no types
        return None
    for line in pre.iter("br"):  # type: ignore[attr-defined]
        line.tail = "\n" + (line.tail or "")
    text = normal(pre.text_content())  # type: ignore[attr-defined]
    gutter = re.fullmatch(r"\s*\d+(\s+\d+)*\s*", text)
    return text if "\n" in text and not gutter else None


def normal(text: str) -> str:
    """Text with its line ends, no-break spaces and outer blank lines made alike."""
    text = text.replace("\r\n", "\n").replace("\xa0", " ")
    return re.sub(r"\A(?:[ \t\f\v]*\n)+", "", text).rstrip()


def fidelity(out: Path, known: dict[str, list[str]]) -> tuple[int, int, int, int]:
    """Identical and all of the rendered listings, then of the marked ones; pages that a tool drops count too."""
    texts = dict(json.loads(line) for line in out.open(encoding="utf-8"))
    counts = [0, 0, 0, 0]
    for url, listings in known.items():
        at = 0 if url.startswith("https://known.") else 2
        text = (texts.get(url) or "").replace("\r\n", "\n").replace("\xa0", " ")
        for listing in listings:
            counts[at] += listing in text
            counts[at + 1] += 1
    return counts[0], counts[1], counts[2], counts[3]


def environment(work: Path) -> Path:
    """Their environment's Python, made once."""
    folder = work / "theirs"
    python = folder / "bin/python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        packages = ["datatrove[io,processing]>=0.10", "trafilatura", "lxml_html_clean"]
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    return python


def timed(python: Path, script: str, *args: object) -> dict[str, float]:
    done = subprocess.run([python, "-c", script, *map(str, args)], check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--warc", type=Path, help="measure on this file instead")
    parser.add_argument("--theirs", type=int, default=2500, help="pages that the slow tool is given; 0: all")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    warc = (options.warc or make_warc(options.work)).resolve()
    with gzip.open(warc) as stream:
        total = sum(line.startswith(b"WARC-Type: response") for line in stream)
    few = min(options.theirs or total, total)
    here = Path(sys.executable)
    tools = {
        "codemill": (here, OURS, (warc, few)),
        "resiliparse, plain text": (here, PLAIN, (warc, few)),
        "datatrove, Trafilatura": (environment(options.work), THEIRS, (warc.parent, warc.name, few)),
    }
    if few < total:
        tools["codemill, whole file"] = (here, OURS, (warc, total))
    known = marked(warc, few)
    print(f"{warc.name}: {total:,} pages, {warc.stat().st_size / 1e6:,.0f} MB; fidelity on the first {few:,} pages\n")
    print("| tool | pages | seconds | pages/s | extracted | rendered listings | marked listings |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, (python, script, args) in tools.items():
        out = options.work / f"{name.split(',')[0]}.jsonl"
        result = timed(python, script, *args, out)
        pages = int(args[-1])
        seconds = result["seconds"]
        good, all_, other, others = fidelity(out, known)
        print(
            f"| {name} | {pages:,} | {seconds:.1f} | {pages / seconds:,.1f} | {int(result['extracted']):,} "
            f"| {good / max(all_, 1):.1%} of {all_:,} | {other / max(others, 1):.1%} of {others:,} |",
            flush=True,
        )
    print(f"\nmeasured {time.strftime('%Y-%m-%d')} with Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
