"""Where a run is, a few hundred bytes a time: asked for every three seconds, so past Gradio.

An event of Gradio's costs tens of milliseconds of a core, this a few; a page that watches must not
be felt by the run. When the state changes, the page has Gradio paint everything anew.
"""

from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse

from redream.ui import pieces
from redream.ui.queue import Queue
from redream.ui.runs import read_run
from redream.ui.safety import inside

SCRIPT = """() => {
  document.body.dataset.ready = 'yes';
  setInterval(async () => {
    const name = document.querySelector('#chosen textarea, #chosen input')?.value;
    const shown = document.querySelector('.rd-progress');
    if (!name || document.hidden) return;
    const answer = await fetch('live/' + name.split('/').map(encodeURIComponent).join('/'))
      .catch(() => null);
    if (!answer?.ok) return;
    const now = await answer.json();
    if (!shown || shown.dataset.run !== name || shown.dataset.state !== now.state) {
      document.querySelector('#refresh')?.click();
      return;
    }
    if (shown.outerHTML !== now.progress) shown.outerHTML = now.progress;
    const sheet = document.querySelector('.rd-sheet');
    if (sheet && now.sheet && sheet.outerHTML !== now.sheet) sheet.outerHTML = now.sheet;
    if (!sheet && now.sheet) document.querySelector('#refresh')?.click();
  }, 3000);
}"""
"""What the page runs once it is loaded; ``ready`` tells scripts that what they type is heard."""


def add_live(app: FastAPI, queue: Queue) -> None:
    """Adds the route.

    Args:
        app: The server.
        queue: The runs.
    """

    @app.get("/live/{name:path}")
    def live(name: str) -> JSONResponse:
        try:
            folder = inside(queue.out, name)
        except ValueError as error:
            raise HTTPException(404, str(error)) from error
        if not folder.is_dir():
            raise HTTPException(404, "there is no such run")
        run = read_run(queue.out.resolve(), folder)
        place = queue.places().get(run.folder, 0) if run.state == "queued" else 0
        return JSONResponse(
            {
                "state": run.state,
                "progress": pieces.progress(run, place),
                "sheet": pieces.sheet(run),
            }
        )
