"""A file is the old one or the new one, never a part; a damaged one is refused unread."""

import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest
import torch

from fromnoise.provenance import CorruptFile, load_tensors, save_tensors, sha256_of, write_whole

TENSORS = {
    "weight": torch.arange(12, dtype=torch.float32).reshape(3, 4) / 7,
    "count": torch.tensor(3),
    "empty": torch.zeros(0, 2, dtype=torch.float64),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
}


def test_sha256_is_the_published_one(tmp_path):
    """NIST's example: the message 'abc'."""
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path.write_bytes(b"abc" * 1_000_000)
    assert sha256_of(path) == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


def test_tensors_come_back_bit_for_bit(tmp_path):
    path = tmp_path / "checkpoint"
    save_tensors(path, TENSORS, {"step": "7", "name": "ä\n"})
    tensors, metadata = load_tensors(path)
    assert metadata == {"step": "7", "name": "ä\n"}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
    for nothing in (None, {}):
        save_tensors(path, {}, nothing)
        assert load_tensors(path) == ({}, {})


def test_every_flipped_bit_is_refused_before_anything_is_parsed(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint"
    save_tensors(path, TENSORS, {"step": "7"})
    content = path.read_bytes()
    parsed = []
    monkeypatch.setattr("safetensors.torch.load", lambda content: parsed.append(content))
    monkeypatch.setattr("json.loads", lambda content: parsed.append(content))
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(CorruptFile, match="checkpoint is damaged"):
            load_tensors(path)
    for length in (0, 1, 63, 64, 65, 72, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(CorruptFile):
            load_tensors(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(CorruptFile):
        load_tensors(path)
    assert not parsed


def test_a_write_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "file"
    write_whole(path, b"old")
    write_whole(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert path.stat().st_mode == plain.stat().st_mode, "a written file has other permissions"


WRITER = """
import sys
from fromnoise.provenance import write_whole
print("ready", flush=True)
letter = 0
while True:
    letter = (letter + 1) % 26
    write_whole(sys.argv[1], bytes([97 + letter]) * 400_000)
"""


def test_a_reader_never_sees_a_part_whatever_moment_the_writer_is_killed(tmp_path):
    path = tmp_path / "file"
    draw = random.Random(0)
    for _ in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(draw.uniform(0.02, 0.1))
        if path.exists():
            content = path.read_bytes()  # while it is being written
            assert content == content[:1] * 400_000
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        if path.exists():
            content = path.read_bytes()
            assert content == content[:1] * 400_000
    assert path.exists()


def test_no_room_keeps_the_old_file_and_no_draft(tmp_path):
    path = tmp_path / "file"
    write_whole(path, b"old")
    code = (
        "import sys\nfrom fromnoise.provenance import write_whole\n"
        "try: write_whole(sys.argv[1], b'x' * 100_000)\n"
        "except OSError as error: print(error.strerror, error.filename)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"File too large {path}\n", done.stderr
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_hashing_needs_no_torch():
    code = "import sys, fromnoise.provenance; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
