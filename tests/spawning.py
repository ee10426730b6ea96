"""Commands in processes of their own that do not import PyTorch and Lightning anew each time.

A process that has imported them waits, and forks where a command is to run. The command has its
own environment, folder, output and exit code, and whatever it does to its process ends with it;
what is decided while importing is the test's, such as the number of threads. Tests of that, and of
signals, start a process the plain way.
"""

import atexit
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path

_LENGTH = struct.Struct("!I")


def redream(*arguments, env=None, cwd=None):
    """Runs ``redream ARGUMENTS``.

    Args:
        *arguments: The command line after the program's name.
        env: The environment; the test's if None.
        cwd: Where; the test's folder if None.

    Returns:
        As ``subprocess.run`` of captured text.
    """
    request = {
        "arguments": [str(each) for each in arguments],
        "env": dict(os.environ if env is None else env),
        "cwd": str(cwd or Path.cwd()),
    }
    if os.name != "posix":
        command = [sys.executable, "-m", "redream", *request["arguments"]]
        return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True)
    return _forked(request)


def python(code):
    """Runs a program in Python where everything has been imported; as ``subprocess.run``."""
    return _forked({"arguments": [], "env": dict(os.environ), "cwd": str(Path.cwd()), "code": code})


def _forked(request):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:  # which are never full
        status = _ask(_waiting(), request, out.fileno(), err.fileno())
        said = []
        for each in (out, err):
            each.seek(0)
            said.append(each.read().decode())
    code = os.waitstatus_to_exitcode(status)
    return subprocess.CompletedProcess(request["arguments"], code, *said)


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


def _ask(waiting, request, *outputs):
    text = json.dumps(request).encode()
    socket.send_fds(waiting, [_LENGTH.pack(len(text))], outputs)
    waiting.sendall(text)
    return _LENGTH.unpack(_received(waiting, _LENGTH.size))[0]


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
        head, outputs, _, _ = socket.recv_fds(connection, _LENGTH.size, 2)
        if not head:
            return
        request = json.loads(_received(connection, _LENGTH.unpack(head)[0]))
        process = os.fork()
        if process == 0:
            connection.close()
            os._exit(_run(request, *outputs))
        for each in outputs:
            os.close(each)
        _, status = os.waitpid(process, 0)
        connection.sendall(_LENGTH.pack(status))


def _run(request, out, err):
    """The command, in the process that was forked for it; its exit code."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = ["redream", *request["arguments"]]
    code = 1
    try:
        from redream.cli import main

        code = exec(request["code"], {}) or 0 if "code" in request else main()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
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
    sys.path[0] = str(Path(__file__).parents[1])
    _prepare()
    _serve(served)
