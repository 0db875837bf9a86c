"""Many images, large ones, endless ones: read ahead within bounds, in order, and nothing left."""

from __future__ import annotations

import io
import itertools
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from autotl import files
from autotl.errors import DataError, UsageError
from autotl.prediction import Model, open_model, predict, reading
from tests import crafted
from tests.images import encoded, pattern
from tests.models import CARD, write_model

ROOT = Path(__file__).parents[1]
RED = np.full((9, 12, 3), (230, 20, 30), np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return open_model(write_model(tmp_path_factory.mktemp("model") / "model.onnx"))


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not _decoders()


def _decoders() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("autotl-decode")]


def _png(shade: int = 0, size: tuple[int, int] = (12, 9)) -> bytes:
    return encoded(np.full((size[1], size[0], 3), shade, np.uint8))


class _Session:
    """A session that does something before every run."""

    def __init__(self, real: Any, before: Any) -> None:
        self.real, self.before = real, before

    def run(self, names: Any, inputs: Any) -> Any:
        self.before(inputs)
        return self.real.run(names, inputs)


# ---- memory ----

PROGRAM = """
import sys
from autotl.prediction import predict
count = sum(1 for each in predict(sys.argv[1], sys.argv[2]) if each.label)
# not ru_maxrss: that counts what the process which started this one held
(peak,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(count, int(peak.split()[1]) // 1024)
"""


def _peak(model: Path, folder: Path) -> tuple[int, int]:
    """Images labelled, and the most memory that it took in MB."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(model), str(folder)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    count, megabytes = map(int, done.stdout.split())
    return count, megabytes


def test_ten_thousand_files_take_the_memory_of_a_thousand(model: Model, tmp_path: Path) -> None:
    content = [encoded(pattern(n % 5, n), ".jpg") for n in range(100)]
    for count in (1_000, 10_000):
        (tmp_path / str(count)).mkdir()
        for n in range(count):
            (tmp_path / str(count) / f"{n:05}.jpg").write_bytes(content[n % 100])
    few, of_few = _peak(model.path, tmp_path / "1000")
    many, of_many = _peak(model.path, tmp_path / "10000")
    assert (few, many) == (1_000, 10_000)
    assert of_many - of_few < 40


def test_photographs_that_wait_are_bounded_by_their_bytes(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 300 * 200 * 3
    monkeypatch.setattr(reading, "MOST_BYTES", 3 * size)
    decoded: list[int] = []
    real = reading.decode
    monkeypatch.setattr(reading, "decode", lambda content: (decoded.append(1), real(content))[1])
    coming = reading.decoded(((str(n), _png(n, (300, 200))) for n in range(48)), ahead=48)
    next(coming)
    _settles(decoded)
    threads = min(reading.MOST_THREADS, os.cpu_count() or 1)
    # the one that was taken, those that fill the room, and one that each thread was at
    assert 4 <= len(decoded) <= 1 + 3 + threads
    assert [int(name) for name, _ in coming] == list(range(1, 48))
    assert len(decoded) == 48


def test_one_image_larger_than_the_room_still_comes(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_BYTES", 10)
    found = list(predict(model, [_png(n) for n in range(40)], batch=4))
    assert [each.id for each in found] == [str(n) for n in range(40)]


def _settles(seen: list[int]) -> None:
    """Wait until nothing more happens."""
    while True:
        before = len(seen)
        time.sleep(0.3)
        if len(seen) == before:
            return


# ---- overlap and order ----


def test_the_next_batch_is_decoded_while_the_model_runs(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's first run ends only once an image of the next batch was decoded."""
    later = threading.Event()
    real = reading.decode

    def decode(content: Any) -> Any:
        image = real(content)
        if image[0, 0, 0] == 7:
            later.set()
        return image

    waited = []
    session = _Session(model.session, lambda _: waited.append(later.wait(20)))
    monkeypatch.setattr(reading, "decode", decode)
    inputs = [_png(0)] * 4 + [_png(7)] + [_png(0)] * 3
    found = list(predict(replace(model, session=session), inputs, batch=4))
    assert len(found) == 8
    assert waited == [True, True]


def test_order_is_kept_whatever_decodes_first(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = reading.decode
    delays = itertools.cycle([0.02, 0, 0, 0.01])
    monkeypatch.setattr(
        reading, "decode", lambda content: (time.sleep(next(delays)), real(content))[1]
    )
    inputs: list[Any] = []
    for n in range(30):
        inputs += [_png(n), RED, b"torn"]
    found = list(predict(model, inputs, batch=4))
    assert [each.id for each in found] == [str(n) for n in range(90)]
    assert [bool(each.error) for each in found] == [False, False, True] * 30
    assert all(each.label == "rouge" for each in found[1::3])


def test_neighbours_of_one_shape_are_run_together(model: Model) -> None:
    sizes: list[tuple[int, ...]] = []
    session = _Session(model.session, lambda inputs: sizes.append(inputs["image"].shape[:2]))
    inputs = [_png(size=(12, 9))] * 5 + [_png(size=(12, 8))] * 3 + [b"torn"] + [_png()] * 2
    assert len(list(predict(replace(model, session=session), inputs, batch=4))) == 11
    assert sizes == [(4, 9), (1, 9), (3, 8), (2, 9)]


@pytest.mark.parametrize(("batch", "spins"), [(1, True), (2, False), (16, False)])
def test_threads_that_wait_leave_the_processor_to_those_that_decode(
    model: Model, batch: int, spins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    told = []
    real = onnxruntime.SessionOptions

    class Options(real):  # type: ignore[misc, valid-type]
        def add_session_config_entry(self, key: str, value: str) -> None:
            told.append((key, value))
            super().add_session_config_entry(key, value)

    monkeypatch.setattr(onnxruntime, "SessionOptions", Options)
    for given, waits in (([_png()], spins), ([RED], True), (RED, True), (RED[None], True)):
        told.clear()
        (found,) = predict(model.path, given, batch=batch)
        assert found.label == "rouge"
        assert ("session.intra_op.allow_spinning", str(int(waits))) in told


# ---- generators ----


def test_a_generator_is_read_ahead_a_little_and_no_further(model: Model) -> None:
    taken = []

    def endless() -> Iterator[Any]:
        for n in itertools.count():
            taken.append(n)
            yield RED

    heard: list[tuple[str, int, int]] = []
    coming = predict(model, endless(), batch=2, progress=lambda *told: heard.append(told))
    assert taken == []
    found = list(itertools.islice(coming, 100))
    assert [each.id for each in found] == [str(n) for n in range(100)]
    assert len(taken) <= 100 + 3 * 2
    assert heard[:2] == [("predict", 1, 0), ("predict", 2, 0)]
    coming.close()  # type: ignore[attr-defined]


def test_what_a_generator_gives_wrongly_is_told_when_it_comes(model: Model, tmp_path: Path) -> None:
    def given(last: Any) -> Iterator[Any]:
        yield from [RED] * 50
        yield last

    with pytest.raises(UsageError, match="type int"):
        list(predict(model, given(3)))
    with pytest.raises(UsageError, match="nowhere"):
        list(predict(model, given(tmp_path / "nowhere.png")))
    with pytest.raises(DataError, match="no images"):
        list(predict(model, given(tmp_path)))


def test_what_a_generator_raises_goes_through(model: Model) -> None:
    def given() -> Iterator[Any]:
        yield _png()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(predict(model, given()))


# ---- ends before the end ----


def test_a_consumer_that_stops_early_leaves_no_threads(model: Model) -> None:
    coming = predict(model, [_png(n % 250) for n in range(500)])
    assert next(coming).error is None
    assert _decoders()
    coming.close()  # type: ignore[attr-defined]
    assert not _decoders()
    coming = predict(model, [_png()] * 50)
    next(coming)
    del coming
    assert not _decoders()


@pytest.mark.parametrize("fault", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_or_a_failing_run_leaves_no_threads(
    model: Model, fault: type[BaseException]
) -> None:
    def fail(_: Any) -> None:
        raise fault("odd")

    broken = replace(model, session=_Session(model.session, fail))
    expected = UsageError if fault is RuntimeError else fault
    with pytest.raises(expected):
        list(predict(broken, [_png()] * 200))
    assert not _decoders()


def test_ctrl_c_ends_the_command_at_once(model: Model, tmp_path: Path) -> None:
    content = encoded(np.zeros((1_500, 2_000, 3), np.uint8), ".jpg")
    for n in range(400):
        (tmp_path / f"{n}.jpg").write_bytes(content)
    command = [sys.executable, "-m", "autotl", "predict", str(model.path), str(tmp_path), "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as done:
        assert done.stdout
        assert done.stderr
        done.stdout.readline()
        done.send_signal(signal.SIGINT)
        began = time.monotonic()
        rest, told = done.communicate(timeout=60)
    assert time.monotonic() - began < 20
    assert done.returncode == 130
    assert "Interrupted" in told
    assert "Traceback" not in told
    assert rest.count("\n") < 398


LEFT = """
import io, sys, time
from PIL import Image
from autotl.prediction import predict

def begin():
    stream = io.BytesIO()
    Image.new("RGB", (2_000, 1_500), (230, 20, 30)).save(stream, "PNG", compress_level=1)
    coming = predict(sys.argv[1], [stream.getvalue()] * 60)
    print(next(coming).label, flush=True)
    time.sleep(1.5)  # until as many are decoded as may wait
    return coming

def fail():
    coming = begin()
    raise ValueError("a mistake of the user's")

if sys.argv[2] == "ends":
    coming = begin()
else:
    fail()
"""


@pytest.mark.parametrize(("how", "status"), [("ends", 0), ("fails", 1)])
def test_a_script_that_stops_halfway_ends(model: Model, how: str, status: int) -> None:
    """Whether it comes to its end or raises: nobody closes what gives the images."""
    done = subprocess.run(
        [sys.executable, "-c", LEFT, str(model.path), how],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (status, "rouge\n")
    told = done.stderr.splitlines()
    assert told[-1:] == (["ValueError: a mistake of the user's"] if status else [])
    assert done.stderr.count("Traceback") == status


def test_what_is_wrong_in_a_thread_is_raised_where_the_image_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(content: Any) -> Any:
        raise MemoryError("odd")

    monkeypatch.setattr(reading, "decode", fail)
    with pytest.raises(MemoryError, match="odd"):
        next(reading.decoded([("a", _png())], ahead=4))


# ---- images that were made to harm ----


def test_bombs_among_the_images_are_told_one_by_one(model: Model, tmp_path: Path) -> None:
    for name, make in crafted.IMAGES.items():
        (tmp_path / name).write_bytes(make())
    Image.fromarray(RED).save(tmp_path / "sound.png")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {Path(each.id).name: each for each in predict(model, tmp_path)}
    assert {name for name, each in found.items() if each.error is None} == {"sound.png"}
    assert found["sound.png"].label == "rouge"
    for name in ("huge.png", "pixels.png", "huge.tiff", "huge.bmp", "huge.ppm", "huge.gif"):
        assert "pixels" in str(found[name].error), found[name]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000


def _narrow(folder: Path, width: int, height: int) -> Path:
    path = folder / f"{width}x{height}.png"
    Image.new("RGB", (width, height), (230, 20, 30)).save(path)
    return path


@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_a_narrow_image_that_the_graph_would_make_huge_is_told(
    resize: Literal["crop", "squash"], tmp_path: Path
) -> None:
    """At 8 pixels, cropped: 8 × 16,000,000 of one; squashed: 8 × 12,000,000 on the way."""
    told = CARD | {"preprocessing": CARD["preprocessing"] | {"resize": resize}}
    model = open_model(write_model(tmp_path / "model.onnx", told, resize=resize))
    wide, tall = _narrow(tmp_path, 2_000_000, 1), _narrow(tmp_path, 1, 12_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = list(predict(model, [wide, RED, tall, np.zeros((12_000_000, 1, 3), np.uint8)]))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000
    refused = [bool(each.error) for each in found]
    assert refused == [resize == "crop", False, True, True]
    assert "is too narrow: resized to 8" in str(found[2].error)
    assert found[1].label == "rouge"


def test_few_narrow_images_are_run_together(tmp_path: Path) -> None:
    """Each becomes 8 × 2,000,000 pixels on its way: 48 MB of the 64 MB that a batch may have."""
    told = CARD | {"preprocessing": CARD["preprocessing"] | {"resize": "crop"}}
    model = open_model(write_model(tmp_path / "model.onnx", told, resize="crop"))
    sizes: list[int] = []
    session = _Session(model.session, lambda inputs: sizes.append(len(inputs["image"])))
    narrow = np.zeros((1, 250_000, 3), np.uint8)
    found = list(predict(replace(model, session=session), [narrow] * 3 + [RED] * 3))
    assert not any(each.error for each in found)
    assert sizes == [1, 1, 1, 3]


def test_a_file_too_large_for_an_image_is_not_read_whole(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_IMAGE", 1_000)
    (tmp_path / "a.bmp").write_bytes(encoded(RED, ".bmp") + b"\0" * 1_000)
    (tmp_path / "b.png").write_bytes(encoded(RED))
    first, second = predict(model, tmp_path)
    assert "more than 1,000 bytes" in str(first.error)
    assert second.label == "rouge"


def test_what_is_no_regular_file_is_told_and_not_opened(model: Model, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    Image.fromarray(RED).save(tmp_path / "sound.png")
    inputs = [tmp_path / "pipe.png", Path("/dev/zero"), tmp_path / "sound.png"]
    first, second, third = predict(model, inputs)
    assert first.error == second.error == "It is not a regular file."
    assert third.label == "rouge"
    (found,) = predict(model, tmp_path)  # a folder's images are files
    assert found.id == str(tmp_path / "sound.png")


# ---- Pillow's remarks ----


def _odd() -> bytes:
    """A JPEG that Pillow warns of: its EXIF block is torn."""
    stream = io.BytesIO()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x04\0\x12\x01\x03\0\xff\xff\xff\x7f\xff\xff\xff\xff"
    Image.fromarray(RED).save(stream, "JPEG", exif=exif)
    return stream.getvalue()


def test_remarks_of_pillow_are_no_errors_and_filters_are_as_before(model: Model) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        first, second = (predict(model, [_odd()] * 40) for _ in range(2))
        next(first)
        next(second)
        assert [each.label for each in first] == ["rouge"] * 39
        assert [each.label for each in second] == ["rouge"] * 39
        assert list(warnings.filters) == before


def test_a_filter_of_the_user_s_stays(model: Model) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        before = list(warnings.filters)
        list(predict(model, [_odd()]))
        assert list(warnings.filters) == before
