"""Work in a process of its own that dies by SIGKILL at a chosen call."""

import os
import signal
import traceback


def killed(work, at, where, number=1, before=None):
    """Forks, does ``work``, and dies as ``where.at`` is called for the ``number``-th time.

    Args:
        work: What to do; it must not come to its end.
        at: Name of the function.
        where: The module that has it.
        number: Which call.
        before: Takes the arguments of that call and does half of its work.
    """
    process = os.fork()
    if not process:
        try:
            _die_at(at, where, number, before)
            work()
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status


def _die_at(at, where, number, before):
    plain, calls = getattr(where, at), []

    def call(*arguments, **named):
        calls.append(at)
        if len(calls) < number:
            return plain(*arguments, **named)
        if before is not None:
            before(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(where, at, call)
