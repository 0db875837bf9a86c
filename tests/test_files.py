from __future__ import annotations

import os
from pathlib import Path

import pytest

from autotl.errors import RunFolderError, UsageError
from autotl.files import checked, expanded, file_ref, homeless, look


def test_what_lies_at_a_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    found = {name: look(tmp_path / name) for name in ("", "file", "pipe", "none", "loop")}
    assert found == {"": "folder", "file": "file", "pipe": "other", "none": None, "loop": None}
    assert look(tmp_path / "file" / "below") is None
    assert look(tmp_path / ("x" * 300)) is None
    assert look(Path("a\0b")) is None


def test_what_may_not_be_looked_at_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(UsageError, match="/private cannot be looked at: Permission denied"):
        look(Path("/private"))


def test_a_tilde_is_put_in_where_there_is_such_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert expanded(Path("~/photos")) == Path("/home/me/photos")
    assert expanded(Path("~nobody-of-this-name/photos")) == Path("~nobody-of-this-name/photos")


def test_a_tilde_for_which_there_is_no_home_is_told_from_a_folder() -> None:
    assert homeless(expanded(Path("~nobody-of-this-name/photos")))
    for path in ("/a/~b", "a/~b", ".", "/"):
        assert not homeless(expanded(Path(path)))


def test_a_file_outside_its_folder_has_no_reference(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "run").mkdir()
    with pytest.raises(ValueError, match="secret"):
        file_ref(tmp_path / "secret", tmp_path / "run")


def test_a_file_that_is_not_as_recorded_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    path.write_bytes(b"abc")
    ref = file_ref(path, tmp_path)
    assert checked(ref, tmp_path) == path.resolve()
    path.write_bytes(b"abd")
    with pytest.raises(RunFolderError, match="content differs") as caught:
        checked(ref, tmp_path)
    assert (
        caught.value.hint == "Put the file back as it was, or: start a new run in another folder."
    )
