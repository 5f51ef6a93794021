"""Only the published bytes come through, and nothing half-done is kept."""

import gzip
import hashlib
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

from fromnoise import datasets
from fromnoise.datasets import fashion_mnist, mnist
from fromnoise.downloads import DownloadError, RemoteFile, cache_folder, fetch, parse_idx


def idx(array: np.ndarray) -> bytes:
    header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """A proxy in the environment would stand between the test and its server."""
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server():
    """A web server whose answers a test sets: path -> (status, body, promised length)."""
    answers: dict[str, tuple[int, bytes, int]] = {}
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, body, promised = answers.get(self.path, (404, b"not here", 8))
            self.send_response(status)
            self.send_header("Content-Length", str(promised))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    httpd.answers, httpd.asked = answers, asked
    httpd.url = f"http://127.0.0.1:{httpd.server_port}/data/"
    yield httpd
    httpd.shutdown()
    httpd.server_close()
    thread.join()


CONTENT = idx(np.arange(60).reshape(3, 4, 5))
FILE = RemoteFile("a.gz", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def serve(server, body=CONTENT, status=200, promised=None):
    server.answers["/data/a.gz"] = (status, body, len(body) if promised is None else promised)


def test_the_published_file_arrives_is_kept_and_is_not_asked_for_again(server, tmp_path):
    serve(server)
    assert fetch(FILE, server.url, tmp_path / "new") == CONTENT
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.gz"]
    assert fetch(FILE, server.url, tmp_path / "new") == CONTENT
    assert server.asked == ["/data/a.gz"]


def test_the_address_may_lack_its_last_slash(server, tmp_path):
    serve(server)
    assert fetch(FILE, server.url.rstrip("/"), tmp_path) == CONTENT


@pytest.mark.parametrize(
    "body, status, promised, words",
    [
        (CONTENT[:-1] + b"!", 200, None, "published SHA-256"),
        (CONTENT + b"more", 200, None, "published SHA-256"),
        (CONTENT[:20], 200, None, f"cut off: 20 of {len(CONTENT)}"),
        (CONTENT[:20], 200, len(CONTENT), "cut off"),
        (b"", 200, None, f"cut off: 0 of {len(CONTENT)}"),
        (b"\n<!doctype html><p>Please log in", 200, None, "web page"),
        (b"gone", 404, None, "404"),
        (b"oops", 503, None, "503"),
    ],
    ids=["wrong byte", "longer", "short", "cut", "empty", "html", "missing", "server down"],
)
def test_anything_else_is_refused_and_leaves_nothing(
    server, tmp_path, body, status, promised, words
):
    serve(server, body, status, promised)
    with pytest.raises(DownloadError, match=words):
        fetch(FILE, server.url, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def nowhere():
    """An address at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{probe.getsockname()[1]}/"


def test_offline_without_a_copy_says_which_address_failed(nowhere, tmp_path):
    with pytest.raises(DownloadError, match=f"{nowhere}a.gz could not be reached"):
        fetch(FILE, nowhere, tmp_path, timeout=2.0)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_never_answers_is_given_up(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(DownloadError, match="could not be reached"):
            fetch(FILE, f"http://127.0.0.1:{silent.getsockname()[1]}/", tmp_path, timeout=0.2)


def test_offline_with_a_sound_copy_needs_no_network(nowhere, tmp_path):
    (tmp_path / "a.gz").write_bytes(CONTENT)
    assert fetch(FILE, nowhere, tmp_path) == CONTENT


def test_a_damaged_copy_is_replaced(server, tmp_path):
    serve(server)
    (tmp_path / "a.gz").write_bytes(CONTENT[:-3] + b"bad")
    assert fetch(FILE, server.url, tmp_path) == CONTENT
    assert (tmp_path / "a.gz").read_bytes() == CONTENT


def test_a_damaged_copy_is_never_used_when_offline(nowhere, tmp_path):
    (tmp_path / "a.gz").write_bytes(b"half")
    with pytest.raises(DownloadError, match=r"cached copy .*a\.gz is damaged"):
        fetch(FILE, nowhere, tmp_path, timeout=2.0)


def test_a_write_that_fails_leaves_no_part(server, tmp_path, monkeypatch):
    serve(server)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        fetch(FILE, server.url, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_cache_is_where_the_caller_or_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("FROMNOISE_DATA", str(tmp_path / "env"))
    assert cache_folder("mnist") == tmp_path / "env" / "mnist"
    assert cache_folder("mnist", tmp_path) == tmp_path / "mnist"
    monkeypatch.delenv("FROMNOISE_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("mnist") == tmp_path / ".cache" / "fromnoise" / "mnist"


@pytest.mark.parametrize("shape", [(7,), (3, 4, 5), (2, 0)])
def test_idx_files_hold_what_was_put_in(shape):
    array = np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)
    np.testing.assert_array_equal(parse_idx(idx(array)), array)


@pytest.mark.parametrize(
    "content, words",
    [
        (b"plain text", "not a whole gzip"),
        (idx(np.zeros((2, 3)))[:-6], "not a whole gzip"),
        (gzip.compress(b"", mtime=0), "not an IDX"),
        (gzip.compress(b"\0\0\x0d\x01\0\0\0\x01abcd", mtime=0), "not an IDX"),
        (gzip.compress(b"\0\0\x08\x03\0\0\0\x01", mtime=0), "inside its header"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcd", mtime=0), "promises the shape"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\x03abcd", mtime=0), "promises the shape"),
    ],
)
def test_what_is_not_idx_is_refused_by_name(content, words):
    with pytest.raises(ValueError, match=f"labels.gz.*{words}"):
        parse_idx(content, "labels.gz")


@pytest.mark.parametrize(
    "load, files", [(mnist, "MNIST_FILES"), (fashion_mnist, "FASHION_MNIST_FILES")]
)
def test_a_set_is_loaded_from_a_server_split_and_scaled(server, tmp_path, monkeypatch, load, files):
    rng = np.random.default_rng(0)
    arrays = [
        rng.integers(0, 256, (12, 28, 28)),
        rng.integers(0, 10, 12),
        rng.integers(0, 256, (4, 28, 28)),
        rng.integers(0, 10, 4),
    ]
    small = []
    for file, array in zip(getattr(datasets, files), arrays, strict=True):
        body = idx(array)
        server.answers[f"/data/{file.name}"] = (200, body, len(body))
        small.append(RemoteFile(file.name, len(body), hashlib.sha256(body).hexdigest()))
    monkeypatch.setattr(datasets, files, tuple(small))
    sets = load(cache_dir=tmp_path, base_url=server.url)
    assert [len(part.images) for part in sets[:3]] == [10, 2, 4]
    assert sets.n_levels == 256
    images = torch.cat([sets.train.images, sets.validation.images])
    expected = torch.from_numpy(arrays[0]).double()[:, None] / 127.5 - 1
    torch.testing.assert_close(images.double(), expected, rtol=0, atol=1e-6)
    expected = torch.from_numpy(arrays[2]).double()[:, None] / 127.5 - 1
    torch.testing.assert_close(sets.test.images.double(), expected, rtol=0, atol=1e-6)
    labels = torch.cat([sets.train.labels, sets.validation.labels])
    assert labels.tolist() == arrays[1].tolist()
    assert sets.test.labels.tolist() == arrays[3].tolist()


def test_a_real_set_is_not_taken_from_a_server_that_has_another(server, tmp_path):
    for file in datasets.MNIST_FILES:
        server.answers[f"/data/{file.name}"] = (200, CONTENT, len(CONTENT))
    with pytest.raises(DownloadError):
        mnist(cache_dir=tmp_path, base_url=server.url)
