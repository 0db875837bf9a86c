from __future__ import annotations

import dataclasses
import errno
import logging
import os
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pytest

from autotl import activations, pixels
from autotl.activations import identity, images, passes, store
from autotl.errors import DataError, DiskError, ResourceError, UnreadableError, UsageError
from autotl.rows import opened

HERE = Path(__file__).parent
KEY = "a" * 40
OTHER = "b" * 40


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(HERE)


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    with store.holding():
        yield tmp_path / "store"


def put(folder: Path, key: str, count: int = 10) -> Path:
    with store.arrays(folder, [key], [(count,)], [np.float32]) as arrays:
        arrays[0][:] = np.arange(count)
    return folder / f"{key}.npy"


# ---- the store ----


def test_an_entry_is_found_again_and_whole(folder: Path) -> None:
    with store.holding():
        put(folder, KEY)
    found = store.find(folder, KEY)
    assert found is not None
    assert np.array_equal(np.load(found), np.arange(10))
    assert store.find(folder, OTHER) is None


@pytest.mark.parametrize("damage", ["cut", "byte", "record", "no record", "no file"])
def test_a_damaged_entry_is_not_found(folder: Path, damage: str) -> None:
    with store.holding():
        path = put(folder, KEY)
    about = path.with_suffix(".json")
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[:-4])
    elif damage == "byte":
        content[-1] ^= 1
        path.write_bytes(content)
    elif damage == "record":
        about.write_text("{")
    else:
        (about if damage == "no record" else path).unlink()
    assert store.find(folder, KEY) is None
    put(folder, KEY)
    assert store.find(folder, KEY) is not None


def test_nothing_is_left_when_filling_fails(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), store.arrays(folder, [KEY], [(4,)], [np.uint8]):
        raise ZeroDivisionError
    assert list(folder.iterdir()) == []


def test_large_files_are_checked_in_pieces(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "WHOLE", 400)
    monkeypatch.setattr(store, "CHUNK", 100)
    with store.holding():
        path = put(folder, KEY, 1000)
    whole = store.find(folder, KEY)
    assert whole == path
    store._let_go(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert store.find(folder, KEY) is None


def test_the_least_recently_used_goes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOTL_CACHE_GB", "0.00001")
    with store.holding():
        for age, key in ((30, KEY), (20, OTHER)):
            put(folder, key, 900)
            os.utime(folder / f"{key}.json", (0, time.time() - age))
    with store.holding():
        assert store.find(folder, KEY) is not None
    put(folder, "c" * 40, 900)
    assert store.find(folder, OTHER) is None
    assert store.find(folder, KEY) is not None


def test_what_is_in_use_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(folder, KEY)
    monkeypatch.setenv("AUTOTL_CACHE_GB", "0")
    put(folder, OTHER)
    assert store.clear(folder) == 0
    assert path.exists()
    assert not store.fits(folder, 1)


def test_what_another_process_uses_stays(folder: Path) -> None:
    with store.holding():
        path = put(folder, KEY)
    code = (
        "import sys; from pathlib import Path; from autotl.activations import store;"
        f"assert store.find(Path({str(folder)!r}), {KEY!r}); print('held', flush=True);"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HERE.parent
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        store.clear(folder)
        assert path.exists()
        other.communicate()
    assert store.clear(folder) > 0
    assert not path.exists()


def test_only_our_files_are_removed(folder: Path) -> None:
    folder.mkdir()
    for name in ("notes.json", "notes.npy"):
        (folder / name).write_text("mine")
    put(folder, KEY)
    store._let_go(folder / f"{KEY}.npy")
    store.clear(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["notes.json", "notes.npy"]


def test_a_full_disk_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_free", lambda _: 10)
    with pytest.raises(DiskError, match="No free disk"):
        put(folder, KEY)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT])
def test_a_folder_that_the_system_refuses_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*args: Any, **more: Any) -> None:
        raise OSError(code, os.strerror(code), "somewhere")

    with monkeypatch.context() as patched:
        patched.setattr(np.lib.format, "open_memmap", refuse)
        with pytest.raises(DiskError, match="cannot be used") as caught:
            put(folder, KEY)
    assert str(folder) in str(caught.value)
    assert "AUTOTL_CACHE" in caught.value.hint
    monkeypatch.setattr(Path, "mkdir", refuse)
    for refused in (store.make_room, store.fits):
        with pytest.raises(DiskError, match="cannot be used"):
            refused(folder, 1)


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "store"):
        with pytest.raises(DiskError, match=str(folder)):
            stored(folder)


def test_errors_of_the_block_are_not_the_stores(folder: Path) -> None:
    with pytest.raises(PermissionError), store.arrays(folder, [KEY], [(4,)], [np.uint8]):
        raise PermissionError(errno.EACCES, "not ours")


def test_other_errors_of_the_system_go_through(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_(*args: Any, **more: Any) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(np.lib.format, "open_memmap", break_)
    with pytest.raises(OSError, match="broken"):
        put(folder, KEY)


def test_the_disk_is_taken_before_it_is_filled(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with store.arrays(folder, [KEY], [(10**6,)], [np.uint8]):
        (draft,) = folder.glob(".writing-*")
        assert draft.stat().st_blocks * 512 >= 10**6
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskError, match="No space left"):
        put(folder, OTHER)
    assert not list(folder.glob(".writing-*"))


def test_a_file_system_that_cannot_reserve_is_used_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*args: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", unknown)
    assert np.array_equal(np.load(put(folder, KEY)), np.arange(10))


def test_an_entry_larger_than_the_cap_is_told_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "_said", set())
    monkeypatch.setenv("AUTOTL_CACHE_GB", "0.00001")
    with caplog.at_level(logging.WARNING, "autotl"):
        put(folder, KEY, 100)
        assert caplog.messages == []
        put(folder, OTHER, 5000)
        put(folder, "c" * 40, 5000)
    (said,) = caplog.messages
    for part in ("2e-05 GB", "1e-05 GB", str(folder), "AUTOTL_CACHE_GB"):
        assert part in said


def test_cap_and_usage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOTL_CACHE_GB", "2.5")
    put(folder, KEY)
    found = activations.usage(folder)
    assert (found.entries, found.cap) == (1, 2_500_000_000)
    assert found.bytes > 40
    monkeypatch.setenv("AUTOTL_CACHE_GB", "much")
    with pytest.raises(UsageError, match="much"):
        activations.cap(folder)
    monkeypatch.delenv("AUTOTL_CACHE_GB")
    monkeypatch.setattr(store, "_free", lambda _: 5000)
    assert activations.cap(folder) == (5000 + found.bytes) // 5


def test_the_folder_is_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOTL_CACHE", str(tmp_path))
    assert activations.cache_folder().parent == tmp_path


@pytest.mark.parametrize("named", ["~nobody-of-this-name/x", "~/x", None])
def test_a_cache_without_a_home_folder_is_wrong_usage(
    named: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", none)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: Path("~/.cache/autotl"))
    if named is None:
        monkeypatch.delenv("AUTOTL_CACHE")
    else:
        monkeypatch.setenv("AUTOTL_CACHE", named)
    with pytest.raises(UsageError, match=f"{named or '~/.cache/autotl'}.*no home folder") as caught:
        activations.cache_folder()
    assert "AUTOTL_CACHE" in str(caught.value)


# ---- pixels ----


def stored(folder: Path, count: int = 12, **changes: Any) -> tuple[Any, Any]:
    import tiny_backbone as tiny

    data, hashes = tiny.dataset(count)
    data = dataclasses.replace(data, **changes)
    rows = (tuple(range(count - 3)), tuple(range(count - 3, count)))
    return data, activations.store_pixels(data, hashes, rows, tiny.located(), folder=folder)


def test_pixels_are_stored_in_two_sizes(folder: Path) -> None:
    data, found = stored(folder)
    array, margin = np.load(found.pixels), np.load(found.margin)
    assert (array.shape, margin.shape) == ((12, 16, 16, 3), (9, 18, 18, 3))
    for row in (0, 8, 11):
        image = pixels.decode(data.read(row))
        assert np.array_equal(array[row], pixels.resize(image, 16, "squash"))
    assert np.array_equal(margin[8], pixels.resize(pixels.decode(data.read(8)), 18, "squash"))
    assert np.load(found.labels).tolist() == list(data.labels)


def wanting(folder: Path, crops: bool, read: Any = None) -> Any:
    """What `store_pixels` gives of nine training rows and three of validation."""
    import tiny_backbone as tiny

    data, hashes = tiny.dataset(12)
    data = dataclasses.replace(data, read=read or data.read)
    rows = (tuple(range(9)), (9, 10, 11))
    return activations.store_pixels(data, hashes, rows, tiny.located(), folder=folder, crops=crops)


def test_the_margin_is_stored_once_it_is_wanted(folder: Path) -> None:
    import tiny_backbone as tiny

    bare = wanting(folder, False)
    assert bare.margin == ""
    assert len(list(folder.glob("*.npy"))) == 3  # pixels, labels, seconds of decoding
    seen: list[int] = []

    def read(row: int) -> Any:
        seen.append(row)
        return tiny.dataset(12)[0].read(row)

    whole = wanting(folder, True, read)
    assert sorted(seen) == list(range(9))
    assert dataclasses.replace(whole, margin="") == bare
    assert np.load(whole.margin).shape == (9, 18, 18, 3)
    assert wanting(folder, False) == bare


@pytest.mark.parametrize("crops", [False, True])
def test_pixels_and_margin_are_stored_both_or_not_at_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch, crops: bool
) -> None:
    # pixels of 9,216 bytes have room, with 8,748 of the margin they have not
    monkeypatch.setenv("AUTOTL_CACHE_GB", "0.000012")
    with store.holding():
        found = wanting(folder, crops)
        assert not found.stored
        assert opened(found.pixels).shape == (12, 16, 16, 3)
        assert (found.margin != "") is crops


def test_what_is_stored_is_not_served_for_want_of_room_for_the_margin(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.holding():
        bare = wanting(folder, False)
        monkeypatch.setenv("AUTOTL_CACHE_GB", "0.000012")
        found = wanting(folder, True)
        assert not found.stored
        assert found.pixels == bare.pixels
        assert opened(found.margin).shape == (9, 18, 18, 3)


def test_a_second_call_decodes_nothing(folder: Path) -> None:
    _, first = stored(folder)

    def read(row: int) -> Any:
        raise AssertionError("read again")

    assert stored(folder, read=read)[1] == first


def test_what_exceeds_the_cap_is_decoded_when_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, kept = stored(folder)
    elsewhere = folder.with_name("elsewhere")
    monkeypatch.setenv("AUTOTL_CACHE_GB", "0.00001")
    with store.holding():
        _, found = stored(elsewhere)
        assert (kept.stored, found.stored, found.key) == (True, False, kept.key)
        assert found.decode > 0
        for one, other in ((kept.pixels, found.pixels), (kept.margin, found.margin)):
            assert np.array_equal(opened(one)[:], opened(other)[:])
        assert np.array_equal(np.load(kept.labels), np.load(found.labels))
        assert "decoded anew for every pass; AUTOTL_CACHE_GB" in caplog.text
        assert sum(path.stat().st_size for path in elsewhere.glob("*.npy")) < 1000
    assert not Path(found.pixels).exists()


@pytest.mark.parametrize("gone", ["pixels", "decode"])
def test_only_what_is_missing_must_fit_the_store(
    folder: Path, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    with store.holding():
        _, first = stored(folder)
    before = {path.name for path in folder.glob("*.npy")}
    missing = {
        "pixels": Path(first.pixels),
        "decode": min(folder.glob("*.npy"), key=lambda path: path.stat().st_size),
    }[gone]
    missing.unlink()
    missing.with_suffix(".json").unlink()
    # 12 x 16 x 16 x 3 are 9,216 bytes, 9 x 18 x 18 x 3 are 8,748; both are more than the cap
    monkeypatch.setenv("AUTOTL_CACHE_GB", "0.00002")
    with store.holding():
        _, again = stored(folder)
        assert again.stored
        assert (again.pixels, again.margin) == (first.pixels, first.margin)
        assert {path.name for path in folder.glob("*.npy")} == before


def test_an_example_that_changes_while_it_is_served_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tiny_backbone as tiny

    monkeypatch.setenv("AUTOTL_CACHE_GB", "0.00001")
    content = {row: tiny.dataset(12)[0].read(row) for row in range(12)}
    with store.holding():
        _, found = stored(folder, read=content.__getitem__)
        rows = opened(found.pixels)
        assert len(rows[:]) == 12
        content[5] = content[6]
        with pytest.raises(DataError, match="1 examples cannot be read any more") as caught:
            rows[4:8]
        assert caught.value.details == ("5.png: Its content is not what was loaded.",)


def test_a_damaged_entry_is_stored_anew(folder: Path) -> None:
    with store.holding():
        _, first = stored(folder)
    before = np.load(first.pixels)
    Path(first.pixels).write_bytes(b"nothing")
    _, second = stored(folder)
    assert np.array_equal(np.load(second.pixels), before)


def test_other_labels_have_another_key(folder: Path) -> None:
    _, first = stored(folder)
    _, second = stored(folder, labels=(2, 1, 0) * 4)
    assert first.key != second.key


def test_an_example_that_went_away_is_named(folder: Path) -> None:
    def read(row: int) -> Any:
        raise FileNotFoundError("gone")

    with pytest.raises(DataError, match="cannot be read any more") as caught:
        stored(folder, read=read)
    assert "0.png: gone" in caught.value.details
    assert list(folder.glob("*")) == []


def test_examples_that_changed_since_they_were_loaded_are_named(folder: Path) -> None:
    def read(row: int) -> Any:
        return np.full((8, 8, 3), row, np.uint8)

    with pytest.raises(DataError, match="12 examples cannot be read any more") as caught:
        stored(folder, read=read)
    assert "0.png: Its content is not what was loaded." in caught.value.details
    assert list(folder.glob("*")) == []


def test_an_interrupt_does_not_wait_for_what_is_queued(folder: Path) -> None:
    import tiny_backbone as tiny

    data, hashes = tiny.dataset(400)
    begun: list[int] = []

    def read(row: int) -> Any:
        begun.append(row)
        time.sleep(0.01)
        return data.read(row)

    def interrupted(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    slow = dataclasses.replace(data, read=read)
    with pytest.raises(KeyboardInterrupt):
        activations.store_rows(
            slow, range(400), hashes, tiny.located(), folder, progress=interrupted
        )
    assert len(begun) < 200


def test_another_decoder_has_another_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, first = stored(folder)
    monkeypatch.setattr(images.metadata, "version", lambda name: "0")
    assert stored(folder)[1].key != first.key


def some_rows(folder: Path) -> tuple[Any, Any]:
    """Rows 1, 2 and 5 of six, of which 2 cannot be read: the data, and what is stored."""
    import tiny_backbone as tiny

    data, hashes = tiny.dataset(6)

    def read(row: int) -> Any:
        if row == 2:
            raise UnreadableError("cut short")
        return data.read(row)

    bad = dataclasses.replace(data, read=read)
    return data, activations.store_rows(bad, (1, 2, 5), hashes, tiny.located(), folder)


def test_unreadable_rows_are_set_aside(folder: Path) -> None:
    _, found = some_rows(folder)
    assert found.rows == (1, 5)
    assert [(one.id, one.reason) for one in found.set_aside] == [("2.png", "cut short")]
    assert np.load(found.path).shape == (2, 16, 16, 3)


def test_rows_beyond_the_cap_are_served_without_the_unreadable(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOTL_CACHE_GB", "0.000001")
    with store.holding():
        data, found = some_rows(folder)
        assert (found.rows, len(found.set_aside), found.path.suffix) == ((1, 5), 1, ".rows")
        whole = pixels.resize(pixels.decode(data.read(5)), 16)
        assert np.array_equal(opened(found.path)[1], whole)
    assert list(folder.glob("*")) == []


# ---- passes ----


@pytest.fixture
def tiny(tmp_path: Path) -> Any:
    import tiny_backbone

    tiny_backbone.save_weights(tmp_path / "weights.npz")
    return tiny_backbone.located(tmp_path / "weights.npz")


IMAGES = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3)).astype(np.uint8)
WANTS = [(1, False), (3, True)]


def ensure(folder: Path, located: Any, **changes: Any) -> tuple[Path, ...]:
    given: dict[str, Any] = {
        "folder": folder,
        "key": "images",
        "read": lambda start, stop: IMAGES[start:stop],
        "count": len(IMAGES),
        "located": located,
        "pretrained": True,
        "seed": 0,
        "wants": WANTS,
    }
    return activations.ensure(**(given | changes))


def expected(located: Any, **changes: Any) -> list[np.ndarray]:
    from autotl import model

    net = model.build(located, **({"pretrained": True, "seed": 0} | changes))
    prepared = model.prepare(IMAGES, located.preprocessing)
    part = model.outputs(net, located.backbone.stages, WANTS)
    return [np.asarray(y) for y in part(prepared, training=False)]


@pytest.mark.parametrize("engine", ["keras", "onnxruntime"])
def test_stage_outputs_are_those_of_the_backbone(folder: Path, tiny: Any, engine: Any) -> None:
    maps, pooled = (np.load(path) for path in ensure(folder, tiny, engine=engine))
    wanted = expected(tiny)
    assert (maps.dtype, pooled.dtype) == (np.float16, np.float32)
    assert np.allclose(maps, wanted[0], rtol=2e-3, atol=2e-3)
    assert np.allclose(pooled, wanted[1], rtol=1e-4, atol=1e-5)


def test_what_is_stored_is_not_computed_again(folder: Path, tiny: Any) -> None:
    first = ensure(folder, tiny)

    def read(start: int, stop: int) -> Any:
        raise AssertionError("computed again")

    assert ensure(folder, tiny, read=read) == first
    assert ensure(folder, tiny, read=read, wants=WANTS[1:]) == first[1:]


def test_keys_differ_where_numbers_may(folder: Path, tiny: Any) -> None:
    given = [
        {},
        {"key": "others"},
        {"pretrained": False},
        {"pretrained": False, "seed": 1},
        {"located": dataclasses.replace(tiny, weights_sha256="1" * 64)},
    ]
    found = [ensure(folder, **({"located": tiny} | changes))[0] for changes in given]
    assert len(set(found)) == len(given)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A backbone whose build module is a file to be changed, and a pass without keras."""
    import tiny_backbone

    (tmp_path / "written_network.py").write_text("import keras\nrelu = keras.layers.ReLU\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(
        passes, "_forward", lambda *_: lambda x: [x[:, :2, :2], x.mean(axis=(1, 2))]
    )
    located = tiny_backbone.located()
    backbone = dataclasses.replace(located.backbone, build="written_network:build")
    return dataclasses.replace(located, backbone=backbone)


def test_a_mended_network_is_computed_anew(folder: Path, tmp_path: Path, written: Any) -> None:
    first = ensure(folder, written)
    assert ensure(folder, written) == first
    (tmp_path / "written_network.py").write_text("import keras\nrelu = keras.layers.ReLU(6)\n")
    assert not set(ensure(folder, written)) & set(first)


@pytest.mark.parametrize("raised", ["keras", "tensorflow", "onnxruntime", "tf2onnx", "tests"])
def test_other_versions_compute_anew(
    folder: Path, written: Any, raised: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "_version", lambda name: "1")
    first = ensure(folder, written)
    monkeypatch.setattr(identity, "_version", lambda name: "12"[name == raised])
    assert not set(ensure(folder, written)) & set(first)


@pytest.mark.parametrize("build", ["no_such_module:build", "no_such.module:build", "sys:build"])
def test_a_network_without_source_is_known_by_its_version(written: Any, build: str) -> None:
    backbone = dataclasses.replace(written.backbone, build=build)
    hidden = dataclasses.replace(written, backbone=backbone, distribution="autotl")
    known = identity.identity(hidden, True, 0)
    assert known[-2:-1] == [None]
    assert known[-1][0] == metadata.version("autotl")
    assert store.key_of(known)


def test_the_network_s_source_is_read_and_not_run(written: Any) -> None:
    assert identity.identity(written, True, 0)[-2] is not None
    assert "written_network" not in sys.modules


def test_random_weights_follow_the_seed(folder: Path, tiny: Any) -> None:
    _, pooled = ensure(folder, tiny, pretrained=False, seed=3)
    wanted = expected(tiny, pretrained=False, seed=3)[1]
    assert np.allclose(np.load(pooled), wanted, rtol=1e-4, atol=1e-5)


def test_a_damaged_output_is_computed_anew(folder: Path, tiny: Any) -> None:
    with store.holding():
        maps, _ = ensure(folder, tiny)
    before = np.load(maps)
    maps.write_bytes(maps.read_bytes()[:-100])
    assert np.array_equal(np.load(ensure(folder, tiny)[0]), before)


def test_large_values_are_kept_in_single_precision(
    folder: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "HALF_LIMIT", 0.5)
    maps, _ = ensure(folder, tiny)
    assert np.load(maps).dtype == np.float32


def test_values_that_are_not_finite_are_an_error(folder: Path, tiny: Any) -> None:
    bad = dataclasses.replace(
        tiny, preprocessing=dataclasses.replace(tiny.preprocessing, scale=float("nan"))
    )
    with pytest.raises(ResourceError, match="not finite"):
        ensure(folder, bad)


def test_engines_that_disagree_are_an_error(
    folder: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autotl.errors import InternalError

    monkeypatch.setattr(passes, "AGREEMENT", -1.0)
    with pytest.raises(InternalError, match="disagree on stage_1"):
        ensure(folder, tiny, engine="onnxruntime")
    assert list(folder.glob("*.onnx")) == []
    monkeypatch.undo()
    monkeypatch.syspath_prepend(HERE)
    ensure(folder, tiny, engine="onnxruntime")


def test_the_engine_depends_on_how_much_there_is() -> None:
    assert passes.engine_for(100, 160) == "keras"
    assert passes.engine_for(1500, 160) == "onnxruntime"
