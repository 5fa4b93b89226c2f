"""Short programs, each a way of running processes or of ending; ``python programs.py NAME``."""

import atexit
import concurrent.futures
import ctypes
import multiprocessing
import os
import subprocess
import sys
import threading
import time

from calling import call

if os.environ.get("INSTRUMENT_IN_CODE"):
    import otel_llm

    otel_llm.instrument()


def few(name):
    for number in range(3):
        call(f"{name}-{number}")


AWAIT = """
import sqlite3, sys, time
store, *wanted = sys.argv[1:]
found, until = set(), time.monotonic() + 60
while not found.issuperset(wanted) and time.monotonic() < until:
    time.sleep(0.02)
    try:
        rows = sqlite3.connect(f"file:{store}?mode=ro", uri=True).execute("SELECT response_id FROM calls")
        found = {row[0] for row in rows}
    except sqlite3.OperationalError:
        pass
"""
"""Waits, in a process of its own, until these calls are in the store: 200 ms, where there is a processor."""


def await_kept(name):
    """Wait until a `few` calls are in the store."""
    wanted = [f"{name}-{number}" for number in range(3)]
    subprocess.run([sys.executable, "-I", "-c", AWAIT, os.environ["OTEL_LLM_STORE_PATH"], *wanted], check=True)


def reap(pids):
    for pid in pids:
        os.waitpid(pid, 0)


def fork():
    """Children that end by the interpreter's own exit, made by one that has called before."""
    few("parent")
    pids = []
    for number in range(3):
        pid = os.fork()
        if not pid:
            few(f"child{number}")
            sys.exit(0)
        pids.append(pid)
    few("parent-too")
    reap(pids)


def fork_twice():
    """A grandchild, as a daemon is made."""
    few("parent")
    pid = os.fork()
    if not pid:
        few("child")
        grandchild = os.fork()
        if not grandchild:
            few("grandchild")
            sys.exit(0)
        os.waitpid(grandchild, 0)
        sys.exit(0)
    os.waitpid(pid, 0)


def fork_unhooked():
    """A fork that Python hears nothing of, as uWSGI makes its workers."""
    libc = ctypes.PyDLL(None)
    few("parent")
    await_kept("parent")
    time.sleep(0.3)  # the parent's thread is at rest, as a server's is when it makes its workers
    pids = []
    for number in range(2):
        pid = libc.fork()
        if not pid:
            few(f"child{number}")
            await_kept(f"child{number}")
            os._exit(0)
        pids.append(pid)
    few("parent-too")
    reap(pids)


def processes(method):
    few("parent")
    context = multiprocessing.get_context(method)
    children = [context.Process(target=few, args=(f"child{number}",)) for number in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()


def mp_fork():
    processes("fork")


def mp_spawn():
    processes("spawn")


def mp_forkserver():
    processes("forkserver")


def before():
    """What comes after finds a store, and does not have to make it."""
    few("before")
    await_kept("before")


def pool():
    """Workers that end after each task."""
    with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1) as some:
        some.map(call, [f"task-{number}" for number in range(6)], chunksize=1)
        some.close()
        some.join()


def executor():
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as some:
        list(some.map(call, [f"task-{number}" for number in range(6)]))


def daemon_threads():
    """Threads that are still at it when the program ends."""
    begun = [threading.Event() for _ in range(3)]

    def work(number):
        few(f"thread{number}")
        begun[number].set()
        threading.Event().wait()

    for number in range(3):
        threading.Thread(target=work, args=(number,), daemon=True).start()
    for one in begun:
        one.wait()


def at_exit():
    """Models are called while the interpreter exits, once after and once before whatever we registered."""
    atexit.register(few, "late")
    call("first")
    atexit.register(few, "soon")


def at_exit_only():
    atexit.register(few, "late")


def stay():
    """Until nobody writes to its standard input any more."""
    few("stay")
    sys.stdin.read()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
