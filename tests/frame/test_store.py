"""Files that are whole or not there, locks that end with their process, and journals that lose nothing."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from karyo_lib.store import (
    BusyError,
    CannotWriteError,
    Journal,
    OtherJournalError,
    locked,
    read_records,
    writing,
)

WRITER = """
import sys, time
from karyo_lib.store import BusyError, Journal
while True:
    try:
        journal = Journal(sys.argv[1], {"made": 1})
        break
    except BusyError:
        time.sleep(0.01)
kept = sum(record.get("n") is not None for record in journal.resume())
for n in range(kept, 100_000):
    journal.add({"n": n, "text": "x" * (n % 3000)}, {"n": None})
"""


def test_killed_at_any_moment_two_racing_writers_lose_and_double_nothing(tmp_path):
    path = tmp_path / "journal.jsonl"
    rng = random.Random(0)
    longest = size = 0
    for _ in range(4):
        writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path)]) for _ in range(2)]
        while not (path.exists() and path.stat().st_size > size):  # one of them has begun
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        numbers = [record["n"] for *_, record in read_records(path) if record.get("n") is not None]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= longest
        longest, size = len(numbers), path.stat().st_size
    assert longest > 0


def test_a_journal_is_continued_refused_or_begun_anew(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, {"model": "a"})
    offsets = journal.add({"n": 1}, {"n": 2})
    with pytest.raises(BusyError):
        Journal(path, {"model": "a"}, fresh=True)
    journal.close()
    assert [start for start, *_ in read_records(path)][1:] == offsets
    with path.open("ab") as file:
        file.write(b'{"n": 3}\nnonsense\n{"n": 4}\n{"n":')
    journal = Journal(path, {"model": "a"})
    assert [record["n"] for record in journal.resume() if "n" in record] == [1, 2, 3]
    journal.add({"n": 5})
    journal.close()
    assert [json.loads(line).get("n") for line in path.read_text().splitlines()] == [None, 1, 2, 3, 5]
    with pytest.raises(OtherJournalError):
        Journal(path, {"model": "b"})
    Journal(path, {"model": "b"}, fresh=True).close()
    assert [record for *_, record in read_records(path)] == [{"model": "b"}]


def test_a_locked_folder_says_which_process_is_at_work(tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(BusyError, match=rf"at work \(process {os.getpid()}\)"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        pass


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission_is_told_by_the_files_name(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(CannotWriteError) as caught, writing(tmp_path / "page.png"):
        pass
    tmp_path.chmod(0o700)
    assert "page.png" in caught.value.strerror
    assert ".part-" not in str(caught.value)


def test_a_folder_in_the_place_of_a_file_is_told_by_its_name(tmp_path):
    (tmp_path / "page.png").mkdir()
    (tmp_path / "page.png" / "x").touch()
    with pytest.raises(CannotWriteError, match=r"Cannot write 'page\.png'"), writing(tmp_path / "page.png"):
        pass
    (tmp_path / "file").touch()
    with (
        pytest.raises(CannotWriteError, match=r"Cannot write 'a\.csv'"),
        writing(tmp_path / "file" / "a.csv"),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".part")] == []
