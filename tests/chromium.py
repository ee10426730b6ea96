"""Chromium without a window, driven over its DevTools pipe with the standard library alone."""

import base64
import contextlib
import io
import json
import os
import select
import shutil
import subprocess
import time

from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new --no-sandbox --no-first-run --disable-extensions --hide-scrollbars --mute-audio"
    " --disable-background-networking --use-angle=swiftshader --enable-unsafe-swiftshader"
    " --remote-debugging-pipe about:blank"
)

LEFT = ("navigated or closed", "context was destroyed", "Cannot find context")


def find_browser():
    """The path of a Chromium; None where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class PageLeftError(AssertionError):
    """The page was left, or loaded again, before it answered."""


class Browser:
    """One page in a browser of its own.

    Attributes:
        complaints: Exceptions and errors that the page has reported.
        requests: The addresses that the page has asked for.
        dialogs: What the page has said in boxes of their own, which were closed.
    """

    def __init__(self, path, profile, timeout=120.0):
        self.timeout, self.complaints = timeout, []
        self.requests, self.dialogs = [], []
        self._number, self._session, self._rest = 0, None, b""
        from_us, self._out = os.pipe()  # the browser reads its descriptor 3 and writes to its 4
        self._in, to_us = os.pipe()
        command = [path, *FLAGS.split(), f"--user-data-dir={profile}", "--window-size=1000,900"]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{from_us} 4>&{to_us}', "browser", *command],
            pass_fds=(from_us, to_us),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_us)
        os.close(to_us)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """Asks for something and returns the answer; what happens meanwhile is noted."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._hear()
            if heard.get("id") == number:
                if any(each in str(heard.get("error")) for each in LEFT):
                    raise PageLeftError(heard)
                assert "error" not in heard, heard
                return heard["result"]
            self._note(heard)

    def evaluate(self, expression):
        """The value of an expression of JavaScript, awaited."""
        options = {"awaitPromise": True, "returnByValue": True}
        answer = self.call("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression, seconds=120.0):
        """Waits until an expression of JavaScript is true, of whatever page there is; its value."""
        end, value = time.monotonic() + seconds, None
        while not value:
            assert time.monotonic() < end, f"it never came: {expression}"
            with contextlib.suppress(PageLeftError):
                value = self.evaluate(expression)
            if not value:
                time.sleep(0.1)
        return value

    def open(self, url, width=1280, height=900):
        """Goes to a page in a window of a size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=url)

    def click(self, selector, nth=0):
        """Clicks on the middle of an element, as a mouse does, once it is there."""
        element = f"document.querySelectorAll({json.dumps(selector)})[{nth}]"
        self.wait(f"!!{element} && !{element}.disabled")
        x, y = self.evaluate(
            f"(e => (e.scrollIntoView({{block: 'center', behavior: 'instant'}}), "
            f"e = e.getBoundingClientRect(), [e.x + e.width / 2, e.y + e.height / 2]))({element})"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text):
        """Types a text where the focus is."""
        self.call("Input.insertText", text=text)

    def press(self, key, code=None, number=0, **more):
        """Presses a key, such as ``press("Tab", number=9)``."""
        names = {"key": key, "code": code or key, "windowsVirtualKeyCode": number, **more}
        self.call("Input.dispatchKeyEvent", type="keyDown", **names)
        self.call("Input.dispatchKeyEvent", type="keyUp", **names)

    def give_file(self, selector, path):
        """Chooses a file in a field for files."""
        self.wait(f"!!document.querySelector({json.dumps(selector)})")
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def whole_page(self):
        """A picture of the page from its top to its end."""
        width, height = self.evaluate("[innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, 6000), "scale": 1}
        shot = self.call(
            "Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True
        )
        return Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")

    def window(self):
        """A picture of what the window shows; unlike the whole page, it moves nothing."""
        shot = self.call("Page.captureScreenshot", format="png")
        return Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")

    def screenshot(self, selector):
        """What the page shows where an element is."""
        box = self.evaluate(
            f"(e => (e.scrollIntoView(), e = e.getBoundingClientRect(), "
            f"[e.x + scrollX, e.y + scrollY, e.width, e.height]))"
            f"(document.querySelector({json.dumps(selector)}))"
        )
        clip = dict(zip(("x", "y", "width", "height"), box, strict=True), scale=1)
        shot = self.call("Page.captureScreenshot", format="png", clip=clip)
        return Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")

    def close(self):
        """Ends the browser."""
        self._process.kill()
        self._process.wait()
        os.close(self._out)
        os.close(self._in)

    def _hear(self):
        end = time.monotonic() + self.timeout
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            data = os.read(self._in, 1 << 20) if ready else b""
            assert data, "the browser says nothing"
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, heard):
        method, said = heard.get("method"), heard.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(said["message"])
            self._number += 1
            close = {"id": self._number, "method": "Page.handleJavaScriptDialog"}
            close |= {"params": {"accept": False}, "sessionId": self._session}
            os.write(self._out, json.dumps(close).encode() + b"\0")
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(said["exceptionDetails"])
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "assert"):
            self.complaints.append(said["args"])
        elif method == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.complaints.append(said["entry"])
