"""Commands in processes of their own that do not import PyTorch and Lightning anew each time.

A process that has imported them waits, and forks where a command or a script is to run. It has its
own environment, folder, output and exit code, and whatever it does to its process ends with it;
what is decided while importing is the test's, such as the number of threads. Tests of that, and of
signals, start a process the plain way.
"""

import atexit
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
_NUMBER = struct.Struct("!i")
_RUNNING = []


def redream(*arguments, env=None, cwd=None):
    """Runs ``redream ARGUMENTS``.

    Args:
        *arguments: The command line after the program's name.
        env: The environment; the test's if None.
        cwd: Where; the test's folder if None.

    Returns:
        As ``subprocess.run`` of captured text.
    """
    return start(*arguments, env=env, cwd=cwd).finish()


def script(path, *arguments, env=None, cwd=None):
    """Runs ``python PATH ARGUMENTS``; as :func:`redream` otherwise."""
    return start(*arguments, path=path, env=env, cwd=cwd).finish()


def python(code):
    """Runs ``python -c CODE``; as :func:`redream` otherwise."""
    return start(code=code).finish()


def start(*arguments, path=None, code=None, env=None, cwd=None):
    """Starts ``redream ARGUMENTS``, a script or a program; one at a time: what runs is killed.

    Returns:
        What has been started.
    """
    for each in _RUNNING:
        each.kill()
        each.finish()
    request = {
        "path": path and str(path),
        "code": code,
        "arguments": [str(each) for each in arguments],
        "env": dict(os.environ if env is None else env),
        "cwd": str(cwd or Path.cwd()),
    }
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # which are never full
    if os.name == "posix":
        process = _Forked(_waiting(), request, out.fileno(), err.fileno())
    else:
        program = [request["path"]] if path else ["-c", code] if code else ["-m", "redream"]
        command = [sys.executable, *program, *request["arguments"]]
        process = subprocess.Popen(command, env=env, cwd=cwd, stdout=out, stderr=err)
    return Started(process, request["arguments"], out, err)


class Started:
    """A command that runs."""

    def __init__(self, process, arguments, out, err):
        self._process, self._arguments, self._outputs = process, arguments, (out, err)
        self.pid = process.pid
        _RUNNING[:] = [self]

    def poll(self):
        """Its exit code; None while it runs."""
        return self._process.poll()

    def kill(self):
        """Kills it, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    def finish(self):
        """Waits for its end; as ``subprocess.run`` of captured text."""
        code, said = self._process.wait(), []
        _RUNNING.clear()
        for each in self._outputs:
            each.seek(0)
            said.append(each.read().decode())
            each.close()
        return subprocess.CompletedProcess(self._arguments, code, *said)


class _Forked:
    """A process that another one has forked for this one: its number comes first, then its end."""

    def __init__(self, waiting, request, *outputs):
        text = json.dumps(request).encode()
        self._waiting, self._code = waiting, None
        socket.send_fds(waiting, [_NUMBER.pack(len(text))], outputs)
        waiting.sendall(text)
        self.pid = _received_number(waiting)

    def poll(self):
        if self._code is None and not select.select([self._waiting], [], [], 0.0)[0]:
            return None
        return self.wait()

    def wait(self):
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(_received_number(self._waiting))
        return self._code


@cache
def _waiting():
    """A connection to the process that waits: one for each process of tests, it ends with it."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, __file__, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        env={"OMP_NUM_THREADS": "1"} | os.environ,
    )
    theirs.close()

    def end():
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _received_number(connection):
    return _NUMBER.unpack(_received(connection, _NUMBER.size))[0]


def _received(connection, num):
    parts = b""
    while len(parts) < num:
        part = connection.recv(num - len(parts))
        if not part:
            raise EOFError("the other process has gone")
        parts += part
    return parts


def _serve(connection):
    """Forks for each request, until the tests are gone."""
    while True:
        head, outputs, _, _ = socket.recv_fds(connection, _NUMBER.size, 2)
        if not head:
            return
        request = json.loads(_received(connection, _NUMBER.unpack(head)[0]))
        process = os.fork()
        if process == 0:
            connection.close()
            os._exit(_run(request, *outputs))
        connection.sendall(_NUMBER.pack(process))
        for each in outputs:
            os.close(each)
        _, status = os.waitpid(process, 0)
        connection.sendall(_NUMBER.pack(status))


def _run(request, out, err):
    """The command, in the process that was forked for it; its exit code."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    path = request["path"]
    sys.argv = [path or "redream", *request["arguments"]]
    code = 1
    try:
        if path:
            sys.path.insert(0, str(Path(path).parent))
            runpy.run_path(path, run_name="__main__")
            code = 0
        elif request["code"]:
            exec(request["code"], {"__name__": "__main__"})
            code = 0
        else:
            from redream.cli import main

            code = main()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _prepare():
    """Imports what commands import."""
    import gc

    gc.disable()
    import diffusers
    import open_clip  # noqa: F401
    from transformers import CLIPTextModel, CLIPTokenizer  # noqa: F401

    import redream.data
    import redream.method.module
    import redream.tools.retrieve
    import redream.tools.run
    from redream.plugins import list_components

    assert diffusers.UNet2DConditionModel and diffusers.AutoencoderKL and redream.data
    list_components()
    gc.freeze()
    gc.enable()


if __name__ == "__main__":
    os.environ.pop("REDREAM_PLUGINS", None)
    served = socket.socket(fileno=int(sys.argv[1]))
    sys.path[0] = str(ROOT)
    _prepare()
    _serve(served)
