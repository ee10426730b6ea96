#!/usr/bin/env bash
# A Gradio page that nobody looks at still wakes its process a thousand times a second.
#
# Demos of 3D generation run beside the job that they started, often on the same few cores. The tempting
# guess: an idle asyncio server sleeps until somebody asks, as uvicorn's nearly does (10 wakes a second).
# Gradio's queue does not: off Windows it looks for events each millisecond (`sleep_when_free`) and for
# progress each 10 ms (`progress_update_sleep_when_free`), with no page open and no event ever sent. The
# second is easily overlooked: slowing the first alone leaves a hundred wakes a second. Neither is an
# argument of anything public.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv env && env/bin/pip install --quiet "gradio==6.31.0" 2>/dev/null
GRADIO_ANALYTICS_ENABLED=False env/bin/python - <<'PY'
import os, time
import gradio as gr

def wakes(settings, seconds=5.0):
    """Voluntary switches a second of the thread that serves, and its share of a core."""
    with gr.Blocks() as page:
        gr.Textbox().change(lambda: None)
    page.queue()
    for name, value in settings.items():
        setattr(page._queue, name, value)
    page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", ssr_mode=False)
    time.sleep(2.0)
    def count():
        found = 0
        for task in os.listdir("/proc/self/task"):
            if int(task) != os.getpid():
                lines = open(f"/proc/self/task/{task}/status").read().splitlines()
                found += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary"))
        return found
    before, began, used = count(), time.monotonic(), time.process_time()
    time.sleep(seconds)
    gone = time.monotonic() - began
    found = (count() - before) / gone, 100.0 * (time.process_time() - used) / gone
    page.close()
    return found

print("gradio", gr.__version__)
idle = wakes({})
half = wakes({"sleep_when_free": 0.25})
quiet = wakes({"sleep_when_free": 0.25, "progress_update_sleep_when_free": 1.0})
for name, (count, share) in {"as it is": idle, "one slowed": half, "both slowed": quiet}.items():
    print(f"{name:12} {count:6.0f} wakes a second, {share:5.2f} % of a core, nobody looks")
raise SystemExit(0 if idle[0] > 300 and half[0] > 60 and quiet[0] < 40 else 1)
PY
