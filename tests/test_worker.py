from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import psutil
import pytest

from autotl import errors
from autotl.worker import Worker, memory_ceiling

HERE = Path(__file__).parent
ROOT = HERE.parent
MEGABYTE = 1 << 20


@pytest.fixture(autouse=True)
def _functions_are_importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HERE))


@pytest.fixture(scope="module")
def worker():
    with Worker() as one:
        yield one


@pytest.fixture
def works(worker):
    """Whatever the test did to the worker, the next call works."""
    yield worker
    assert worker.call("worker_faults:echo", {"still": "here"}) == {"still": "here"}


def gone(pid: int, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


# ---- values ----


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"text": "ä\n\u2028\x00 'quoted'", "numbers": [1, 2.5, -1e300, None, True]},
        {"big": "y" * (3 * MEGABYTE)},
        {"infinite": math.inf},
    ],
)
def test_a_spec_comes_back_whole(works, spec):
    assert works.call("worker_faults:echo", spec) == spec


def test_a_process_serves_many_calls(works):
    pids = {works.call("worker_faults:identity", {"names": []})["pid"] for _ in range(3)}
    assert pids == {works.pid}


def test_a_spec_that_is_not_json_is_refused_before_it_is_sent(works):
    with pytest.raises(TypeError):
        works.call("worker_faults:echo", {"path": Path()})


def test_a_result_that_is_not_json_is_a_bug(works):
    with pytest.raises(errors.InternalError, match="TypeError"):
        works.call("worker_faults:returns_no_json", {})


def test_the_child_has_no_stdin_and_its_libraries_are_told_first():
    names = ["KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL", "OMP_NUM_THREADS", "EXTRA"]
    with Worker(threads=3, environment={"EXTRA": "yes"}) as one:
        found = one.call("worker_faults:identity", {"names": names})
    assert found["stdin"] == ""
    assert not found["keras"]
    assert found["environment"] == dict(zip(names, ("tensorflow", "3", "3", "yes"), strict=True))


# ---- errors ----


@pytest.mark.parametrize(
    ("kind", "expected", "text"),
    [
        ("data", errors.DataError, "No image."),
        ("plugin", errors.PluginError, "Odd."),
        ("memory", errors.OutOfMemoryError, "no room"),
        ("disk", errors.DiskError, "disk is full"),
        ("store", errors.DiskError, "No free disk"),
        ("value", errors.InternalError, "ValueError: first line"),
    ],
)
def test_errors_come_back_as_their_class(works, kind, expected, text):
    with pytest.raises(errors.AutotlError, match=text) as caught:
        works.call("worker_faults:raises", {"kind": kind})
    assert type(caught.value) is expected


def test_hint_and_details_of_an_error_come_back(works):
    with pytest.raises(errors.DataError) as caught:
        works.call("worker_faults:raises", {"kind": "data"})
    assert (caught.value.hint, caught.value.details) == ("Add some.", ("a.jpg", "b.jpg"))


def test_a_bug_brings_its_traceback(works):
    with pytest.raises(errors.InternalError) as caught:
        works.call("worker_faults:raises", {"kind": "value"})
    assert any("worker_faults.py" in line for line in caught.value.details)
    assert caught.value.details[-1] == "second line"


@pytest.mark.parametrize("function", ["no_such_module:x", "worker_faults:no_such", "os", ""])
def test_an_unknown_function_is_a_bug_that_names_it(works, function):
    with pytest.raises(errors.InternalError):
        works.call(function, {})


def test_sys_exit_does_not_end_the_worker(works):
    before = works.pid
    with pytest.raises(errors.InternalError, match="SystemExit: 3"):
        works.call("worker_faults:exits", {"hard": False, "code": 3})
    assert works.pid == before


@pytest.mark.parametrize("code", [0, 7])
def test_a_process_that_exits_is_reported_with_its_last_words(works, code):
    with pytest.raises(errors.WorkerError, match=f"exit code {code}") as caught:
        works.call("worker_faults:exits", {"hard": True, "code": code})
    assert "last words" in caught.value.details


def test_sigkill_from_outside_is_taken_for_want_of_memory(works):
    with pytest.raises(errors.OutOfMemoryError, match="SIGKILL") as caught:
        works.call("worker_faults:dies", {"signal": "SIGKILL"})
    assert caught.value.details == ("before the signal",)


def test_a_crash_is_reported_with_its_signal_and_stack(works):
    with pytest.raises(errors.WorkerError, match="SIGSEGV") as caught:
        works.call("worker_faults:dies", {"signal": "SIGSEGV"})
    assert any("worker_faults.py" in line for line in caught.value.details)


def test_a_worker_that_died_between_calls_is_replaced(works):
    works.call("worker_faults:echo", {})
    os.kill(works.pid, signal.SIGKILL)
    assert gone(works.pid)
    assert works.call("worker_faults:echo", {"a": 1}) == {"a": 1}


def test_a_worker_that_dies_before_it_begins_is_replaced_once(works):
    """Stopped, it lets the request be written and reads nothing of it before it is killed."""
    works.call("worker_faults:echo", {})
    first = works.pid
    os.kill(first, signal.SIGSTOP)
    killer = threading.Timer(0.3, os.kill, (first, signal.SIGKILL))
    killer.start()
    assert works.call("worker_faults:echo", {"a": 1}) == {"a": 1}
    killer.join()
    assert works.pid != first


def test_a_death_that_is_seen_late_is_mended(works, monkeypatch):
    works.call("worker_faults:echo", {})
    os.kill(works.pid, signal.SIGKILL)
    assert gone(works.pid)
    monkeypatch.setattr("autotl.worker.process.Process.alive", lambda self: True)
    assert works.call("worker_faults:echo", {"a": 1}) == {"a": 1}


def test_a_process_that_dies_at_its_start_is_not_tried_again(tmp_path):
    started = tmp_path / "started"
    (tmp_path / "sitecustomize.py").write_text(
        f"import os; open({str(started)!r}, 'a').write('x'); os._exit(3)"
    )
    with (
        Worker(environment={"PYTHONPATH": str(tmp_path)}) as worker,
        pytest.raises(errors.WorkerError, match="exit code 3"),
    ):
        worker.call("worker_faults:echo", {})
    assert started.read_text() == "x"


# ---- limits ----


def test_the_deadline_kills():
    with Worker() as one:
        one.call("worker_faults:echo", {})
        pid, start = one.pid, time.monotonic()
        with pytest.raises(errors.DeadlineError, match=r"0\.3 seconds"):
            one.call("worker_faults:sleeps", {"seconds": 60}, deadline=0.3)
        assert time.monotonic() - start < 5
        assert gone(pid)
        assert one.call("worker_faults:echo", {"a": 1}, deadline=60) == {"a": 1}


def test_the_memory_ceiling_kills():
    with Worker(memory_limit=200 * MEGABYTE) as one:
        one.call("worker_faults:echo", {})
        pid = one.pid
        with pytest.raises(errors.OutOfMemoryError, match=r"ceiling of 0\.2 GB"):
            one.call("worker_faults:allocates", {"megabytes": 2000, "sleep": 60})
        assert gone(pid)
        assert one.call("worker_faults:allocates", {"megabytes": 5, "sleep": 0}) == 5


def test_pages_of_mapped_files_do_not_count(tmp_path):
    file = tmp_path / "mapped"
    file.write_bytes(b"\x01" * (150 * MEGABYTE))
    with Worker(memory_limit=100 * MEGABYTE) as one:
        total = one.call("worker_faults:maps", {"file": str(file)})
    assert total == 150 * MEGABYTE // 4096


def test_a_worker_that_grew_is_replaced_between_calls():
    with Worker(recycle_above=1) as one:
        first = one.call("worker_faults:identity", {"names": []})["pid"]
        assert one.pid is None
        assert gone(first)
        assert one.call("worker_faults:identity", {"names": []})["pid"] != first


def test_the_default_ceiling_leaves_room_for_others():
    assert 0 < memory_ceiling() < psutil.virtual_memory().total


# ---- output ----


def test_printing_disturbs_nothing(works):
    assert works.call("worker_faults:prints", {"lines": 5000}) == 5000


def test_what_it_prints_is_appended_to_the_log(tmp_path):
    log = tmp_path / "folder" / "worker.log"
    for _ in range(2):
        with Worker(log=log) as one:
            one.call("worker_faults:prints", {"lines": 2})
    assert log.read_text().count("line 1 ") == 2


def test_the_tail_is_of_this_call_alone():
    with Worker() as one:
        one.call("worker_faults:prints", {"lines": 3})
        with pytest.raises(errors.WorkerError) as caught:
            one.call("worker_faults:exits", {"hard": True, "code": 1})
    assert caught.value.details == ("last words",)


def test_progress_arrives_in_order_and_ends_with_the_last(works):
    seen: list[tuple[str, int, int]] = []
    spec = {"what": "views", "total": 5000}
    done = works.call("worker_faults:reports", spec, progress=lambda *told: seen.append(told))
    assert done == "done"
    assert seen[0] == ("views", 1, 5000)
    assert seen[-1] == ("views", 5000, 5000)
    assert seen == sorted(seen)
    assert len(seen) < 1000


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ZeroDivisionError])
def test_whatever_is_raised_in_the_parent_ends_the_process(works, kind):
    def interrupt(what, done, total):
        raise kind

    pid = works.pid
    with pytest.raises(kind):
        works.call("worker_faults:reports", {"what": "a", "total": 10}, progress=interrupt)
    assert gone(pid)


INTERRUPTED = """
import os, signal, threading, time
import psutil
from autotl.worker import Worker

signal.signal(signal.SIGINT, signal.default_int_handler)
with Worker() as one:
    one.call("worker_faults:echo", {})
    pid = one.pid
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        one.call("worker_faults:sleeps", {"seconds": 60})
    except KeyboardInterrupt:
        print("interrupted")
    end = time.monotonic() + 5
    while psutil.pid_exists(pid) and time.monotonic() < end:
        time.sleep(0.02)
    print("there" if psutil.pid_exists(pid) else "gone", one.call("worker_faults:echo", {}))
"""


def test_a_real_interrupt_during_a_call_ends_the_process():
    # in a process of its own: a runtime that other tests loaded here may not bear the signal
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["interrupted", "gone {}"]


# ---- life and death ----


def test_closing_ends_the_process_and_a_later_call_starts_another():
    one = Worker()
    first = one.call("worker_faults:identity", {"names": []})["pid"]
    one.close()
    assert gone(first)
    one.close()
    assert one.call("worker_faults:identity", {"names": []})["pid"] != first
    one.close()


@pytest.mark.parametrize("die", [False, True])
def test_temporary_files_go_with_the_process(die):
    left = []
    with Worker() as worker:
        try:
            worker.call("worker_faults:litters", {"die": die}, progress=lambda *at: left.append(at))
        except errors.OutOfMemoryError:
            assert die
        (name,) = {what for what, _, _ in left}
        assert Path(name).exists() is not die
    assert not Path(name).parent.exists()


def test_killing_takes_the_children_along():
    with Worker() as one:
        child = one.call("worker_faults:leaves_a_child", {})
        with pytest.raises(errors.DeadlineError):
            one.call("worker_faults:sleeps", {"seconds": 60}, deadline=0.2)
        assert gone(child)


PARENT = """
from autotl.worker import Worker
worker = Worker()
pid = worker.call("worker_faults:identity", {{"names": []}})["pid"]
print(pid, flush=True)
worker.call("worker_faults:{function}", {{"seconds": 120}})
"""


@pytest.mark.parametrize("function", ["sleeps", "holds_the_lock"])
def test_no_orphan_survives_a_killed_parent(tmp_path, function):
    script = tmp_path / "script.py"
    script.write_text(PARENT.format(function=function))
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"}
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, env=environment, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.3)
        assert psutil.pid_exists(pid)
        parent.kill()
    assert gone(pid)


def test_a_parent_that_forgets_to_close_leaves_no_orphan(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PARENT.format(function="echo") + "\nworker.call('worker_faults:echo', {})")
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"}
    told = subprocess.run(
        [sys.executable, str(script)], capture_output=True, env=environment, text=True, check=True
    )
    assert gone(int(told.stdout))


def test_it_works_from_a_zip_in_a_folder_that_is_gone(tmp_path, monkeypatch):
    archive = tmp_path / "autotl.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for name in ("__init__", "calls", "errors", *(f"worker/{p.stem}" for p in worker_files())):
            zipped.write(ROOT / "autotl" / f"{name}.py", f"autotl/{name}.py")
    folder = tmp_path / "odd folder"
    folder.mkdir()
    (folder / "json.py").write_text("raise AssertionError('the folder must not shadow anything')")
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys, autotl, json\n"
        "assert 'zip' in autotl.__file__, autotl.__file__\n"
        "from autotl.worker import Worker\n"
        "sys.path.insert(0, '')\n"
        "with Worker() as worker:\n"
        "    print(worker.call('worker_faults:echo', {'a': 1}))\n"
        "os.unlink('json.py')\n"
        "os.rmdir(os.getcwd())\n"
        "with Worker() as worker:\n"
        "    print(worker.call('worker_faults:echo', {'b': 2}))\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{archive}{os.pathsep}{HERE}"}
    told = subprocess.run(
        [sys.executable, "-P", str(script)],
        capture_output=True,
        env=environment,
        text=True,
        cwd=folder,
        check=False,
    )
    assert (told.stdout.splitlines(), told.returncode) == (["{'a': 1}", "{'b': 2}"], 0), told.stderr


def worker_files() -> list[Path]:
    return sorted((ROOT / "autotl" / "worker").glob("*.py"))


def test_modules_that_the_parent_finds_are_found_by_the_child(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def answer(spec, progress):\n    return 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    with Worker() as one:
        assert one.call("only_here:answer", {}) == 42


def test_importing_the_seam_imports_no_heavy_library():
    code = (
        "import sys, autotl.worker; "
        "print([m for m in ('keras', 'tensorflow', 'numpy', 'psutil', 'multiprocessing') "
        "if m in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert told.stdout.strip() == "[]"


@pytest.mark.slow
def test_warming_imports_keras_ahead_and_does_not_wait():
    with Worker() as one:
        start = time.monotonic()
        one.warm()
        one.warm()
        assert time.monotonic() - start < 2
        assert one.call("worker_faults:identity", {"names": []})["keras"]
