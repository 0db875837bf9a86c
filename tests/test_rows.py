"""Rows that a process decodes for another: equal to an array, thread by thread, errors told."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotl.errors import DataError, InternalError, WorkerError
from autotl.rows import BLOCK, Server, Source, ahead, opened

ARRAY = np.random.default_rng(0).integers(0, 256, (3 * BLOCK + 5, 4, 4, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    def read(row: int) -> np.ndarray:
        if row == 3:
            raise KeyError("three")
        if row == 7:
            raise DataError("Row 7 is torn.", hint="Mend it.", details=("seven.jpg",))
        return ARRAY[row]

    made = Server({"all": Source(shape=ARRAY.shape, read=read)})
    yield made
    made.close()


def test_served_rows_look_like_the_array(server: Server) -> None:
    rows = opened(server.path("all"))
    assert (len(rows), rows.shape, rows.dtype) == (len(ARRAY), ARRAY.shape, ARRAY.dtype)
    for key in (slice(8, 3 * BLOCK), [9, 8, 9], np.array([-1, 100]), slice(5, 5), 12):
        np.testing.assert_array_equal(rows[key], ARRAY[key])


@given(st.lists(st.integers(8, len(ARRAY) - 1), max_size=2 * BLOCK))
def test_any_rows_come_in_the_order_asked(server: Server, wanted: list[int]) -> None:
    np.testing.assert_array_equal(opened(server.path("all"))[wanted], ARRAY[wanted])


def test_threads_get_their_own_answers(server: Server) -> None:
    rows = opened(server.path("all"))
    wanted = np.random.default_rng(1).integers(8, len(ARRAY), (40, 20))
    with ThreadPoolExecutor(8) as threads:
        for asked, found in zip(wanted, threads.map(rows.__getitem__, wanted), strict=True):
            np.testing.assert_array_equal(found, ARRAY[asked])


def test_the_readers_error_is_the_decoders(server: Server) -> None:
    rows = opened(server.path("all"))
    with pytest.raises(DataError, match="Row 7 is torn") as caught:
        rows[5:9]
    assert (caught.value.hint, caught.value.details) == ("Mend it.", ("seven.jpg",))
    np.testing.assert_array_equal(rows[8:9], ARRAY[8:9])


def test_an_error_that_is_not_ours_is_a_bug_with_its_traceback(server: Server) -> None:
    rows = opened(server.path("all"))
    with pytest.raises(InternalError, match="failed with KeyError: 'three'") as caught:
        rows[3]
    assert any("in read" in line for line in caught.value.details)
    np.testing.assert_array_equal(rows[8:9], ARRAY[8:9])


def test_another_process_reads_them(server: Server) -> None:
    code = "import sys; from autotl.rows import opened; print(opened(sys.argv[1])[8:].sum())"
    told = subprocess.run(
        [sys.executable, "-c", code, str(server.path("all"))],
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(told.stdout) == int(ARRAY[8:].sum())


def test_a_closed_server_is_gone() -> None:
    made = Server({"all": Source(shape=ARRAY.shape, read=lambda row: ARRAY[row])})
    rows = opened(made.path("all"))
    made.close()
    made.close()
    assert not made.path("all").exists()
    with pytest.raises(WorkerError, match="is gone"):
        rows[0]


def test_closing_ends_what_is_open_and_waits_for_nobody() -> None:
    begun, go = threading.Event(), threading.Event()

    def read(row: int) -> np.ndarray:
        begun.set()
        go.wait(10)
        return ARRAY[row]

    made = Server({"all": Source(shape=ARRAY.shape, read=read)})
    rows, told = opened(made.path("all")), []

    def ask() -> None:
        try:
            rows[:BLOCK]
        except WorkerError as error:
            told.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    assert begun.wait(10)
    made.close()
    go.set()
    asking.join(10)
    assert not asking.is_alive()
    assert len(told) == 1


def test_closing_does_not_hang_where_the_socket_has_gone() -> None:
    made = Server({"all": Source(shape=ARRAY.shape, read=lambda row: ARRAY[row])})
    shutil.rmtree(made.path("all").parent)
    closing = threading.Thread(target=made.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()
    assert not made._waiting.is_alive()


def test_a_reader_that_is_killed_leaves_the_server_for_the_next(server: Server) -> None:
    code = (
        "import sys; from autotl.rows import opened; rows = opened(sys.argv[1]);"
        "print(rows[8].sum(), flush=True)\nwhile True: rows[8:]"
    )
    command = [sys.executable, "-c", code, str(server.path("all"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert int(reader.stdout.readline()) == int(ARRAY[8].sum())
        reader.kill()
    assert reader.returncode == -9
    np.testing.assert_array_equal(opened(server.path("all"))[8:], ARRAY[8:])


def test_a_long_name_of_the_temporary_folder_is_gone_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    made = Server({"all": Source(shape=ARRAY.shape, read=lambda row: ARRAY[row])})
    np.testing.assert_array_equal(opened(made.path("all"))[3], ARRAY[3])
    made.close()


def test_what_a_killed_process_left_is_removed() -> None:
    code = (
        "import os, sys; from autotl.rows import Server; made = Server({});"
        "print(made._folder.name, flush=True); os.kill(os.getpid(), 9)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    left = Path(told.stdout.strip())
    assert left.is_dir()
    living = Server({})
    other = Server({})
    assert not left.exists()
    assert living.path("x").parent.is_dir()
    living.close()
    other.close()


def test_a_stored_array_is_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", ARRAY)
    assert isinstance(opened(tmp_path / "rows.npy"), np.memmap)


@pytest.mark.parametrize("threads", [1, 3])
def test_ahead_keeps_the_order_and_raises_what_was_raised(threads: int) -> None:
    assert list(ahead(lambda x: x * x, range(20), threads=threads)) == [x * x for x in range(20)]
    with pytest.raises(ZeroDivisionError):
        list(ahead(lambda x: 1 // x, [1, 0, 1], threads=threads))
