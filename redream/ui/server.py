"""The server: the page and the files of runs, behind the guard, and the queue's clock."""

import os
import socket

import gradio as gr
import uvicorn
from fastapi import FastAPI

from redream.ui.clock import ticking
from redream.ui.files import add_files
from redream.ui.guard import Guard
from redream.ui.live import add_live
from redream.ui.looking import Looking
from redream.ui.objects import add_objects
from redream.ui.page import make_page, style, theme
from redream.ui.queue import Queue
from redream.ui.safety import MAX_UPLOAD


def make_app(queue: Queue, password: str | None = None) -> Guard:
    """The application.

    Args:
        queue: The runs.
        password: What is asked for where others can reach the address; None where nobody can.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_files(app, queue.out)
    add_objects(app, queue.out)
    add_live(app, queue)
    page = make_page(queue, Looking(queue.out, queue.started_in))
    page.queue(default_concurrency_limit=4, max_size=64, api_open=False)
    # Gradio looks 1000 times a second for events and 100 times for their progress, all day long
    page._queue.sleep_when_free, page._queue.progress_update_sleep_when_free = 0.25, 1.0
    gr.mount_gradio_app(
        app, page, path="/", footer_links=[], run_history=False, ssr_mode=False, pwa=False,
        mcp_server=False, enable_monitoring=False, max_file_size=MAX_UPLOAD, show_error=False,
        theme=theme(), css=style(), blocked_paths=[os.getcwd()],
    )  # fmt: skip
    return Guard(app, password)


def serve(queue: Queue, host: str, port: int, password: str | None) -> None:
    """Serves until Ctrl-C; runs go on without it.

    Raises:
        ValueError: If the port is taken, or no address of this computer.
    """
    server, bound = make_server(queue, host, port, password)
    name = f"[{host}]" if ":" in host else host
    print(f"http://{name}:{bound.getsockname()[1]}/  (Ctrl-C ends; runs go on)", flush=True)
    with ticking(queue):
        server.run(sockets=[bound])


def make_server(
    queue: Queue, host: str, port: int, password: str | None = None
) -> tuple[uvicorn.Server, socket.socket]:
    """The server, and what it listens on.

    Raises:
        ValueError: If the port is taken, or no address of this computer.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, port), family=family)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ValueError(f"cannot listen on {host}, port {port}: {why}; try --port 0") from error
    config = uvicorn.Config(
        make_app(queue, password), log_level="error", access_log=False, timeout_graceful_shutdown=2
    )
    return uvicorn.Server(config), bound
