"""Archives on servers: an object store and plain HTTP, both real and on this machine, give what local files give."""

import functools
import http.server
import threading

import pytest

from codemill.engine import Engine
from codemill.web.pipeline import run_web
from tests.sources.test_remote import bucket, put, server  # noqa: F401 - fixtures
from tests.web.test_run import crawl, decided, recipe  # noqa: F401 - fixtures


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_):
        pass


@pytest.fixture
def site(tmp_path):
    """The address of a server of a folder, and the folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}", folder
    served.shutdown()
    served.server_close()
    thread.join()


def reasons(place, made):
    return sorted((status, reason or "") for status, reason in decided(place, made).values())


def run_from(place, path):
    place.mkdir(exist_ok=True)
    made = recipe(place, **{f'path = "{place}/*.warc.gz"': f'path = "{path}"'})
    run_web(made, Engine())
    return reasons(place, made)


def test_archives_on_an_object_store(crawl, bucket, tmp_path):  # noqa: F811
    put(bucket, "crawl/one.warc.gz", (crawl / "crawl.warc.gz").read_bytes())
    _, name, query = bucket
    local = run_from(tmp_path / "local", crawl / "*.warc.gz")
    assert len(local) > 15
    assert run_from(tmp_path / "s3", f"s3://{name}/crawl/*.warc.gz{query}") == local


def test_archives_behind_http(crawl, site, tmp_path):  # noqa: F811
    address, folder = site
    (folder / "one.warc.gz").write_bytes((crawl / "crawl.warc.gz").read_bytes())
    local = run_from(tmp_path / "local", crawl / "*.warc.gz")
    assert run_from(tmp_path / "http", f"{address}/one.warc.gz") == local
