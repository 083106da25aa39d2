"""A real headless browser that tests drive: open a page, type, press keys, ask what is there, read its console.

Entry point: `Browser`. It speaks the DevTools protocol over two pipes, so it needs no port and no further package.
`support.browser` looks at finished files; this is for pages that a server gives.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time

import pytest

KEYS = {"Enter": ("\r", 13), "Tab": ("", 9), " ": (" ", 32), "ArrowRight": ("", 39), "ArrowDown": ("", 40)}
SHIFT = 8  # the modifier


class Browser:
    """One tab of one browser; a context manager. Skips the test where no browser is installed."""

    def __init__(self, folder):
        self._folder = folder
        self.console = []
        """Whatever the page has said: messages, errors, violations of its policy, exceptions, dialogs."""

    def __enter__(self):
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        if chromium is None:
            pytest.skip("no headless browser is installed")
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (theirs_in, theirs_out)]
        options = [
            "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe",
            "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
            f"--user-data-dir={self._folder / 'profile'}", "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{ends[0]} 4>&{ends[1]}', "bash", chromium, *options],
            pass_fds=ends, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for end in (theirs_in, theirs_out, *ends):
            os.close(end)
        self._rest, self._number, self._session, self._loaded = b"", 0, None, 0
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")
        return self

    def __exit__(self, *exception):
        os.close(self._to)  # the browser ends when nobody speaks to it
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._from)

    # -- what a person does -----------------------------------------------------------------------------------------

    def open(self, url):
        """Go to an address; returns once the page and its scripts are loaded."""
        before = self._loaded
        self._call("Page.navigate", url=url)
        self._wait(lambda: self._loaded > before, f"{url} was not loaded")

    def press(self, key, shift=False):
        """Press one key, by its name."""
        text, code = KEYS[key]
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": SHIFT if shift else 0}
        self._call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self._call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text):
        """Type a text where the focus is."""
        self._call("Input.insertText", text=text)

    def looks(self, width, height=900, dark=False):
        """Set the size of the window, in CSS pixels, and what the user prefers."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    # -- what is there ----------------------------------------------------------------------------------------------

    def ask(self, script):
        """The value of an expression in the page; a promise is awaited."""
        reply = self._call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in reply, reply["exceptionDetails"]
        return reply["result"].get("value")

    def until(self, script, seconds=60):
        """Return as soon as an expression is true."""
        self._wait(lambda: self.ask(f"Boolean({script})"), f"never true: {script}", seconds)

    def picture(self, path, whole=False):
        """Write what is seen, or the whole page, as PNG."""
        shot = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    # -- the protocol -----------------------------------------------------------------------------------------------

    def _call(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for reply in self._messages(1.0):
                if reply.get("id") == self._number:
                    assert "error" not in reply, (method, reply["error"])
                    return reply["result"]
        raise AssertionError(f"the browser does not answer {method}")

    def _wait(self, condition, problem, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, problem
            for _ in self._messages(0.1):
                pass

    def _messages(self, seconds):
        """Messages that have come, at most `seconds` from now; those that are of the page are noted."""
        if select.select([self._from], [], [], seconds)[0]:
            self._rest += os.read(self._from, 1 << 20)
        *whole, self._rest = self._rest.split(b"\0")
        messages = [json.loads(one) for one in whole]
        for message in messages:
            self._note(message.get("method"), message.get("params", {}))
        return messages

    def _note(self, method, parameters):
        match method:
            case "Page.loadEventFired":
                self._loaded += 1
            case "Runtime.consoleAPICalled":
                self.console.append(" ".join(str(one.get("value", one)) for one in parameters["args"]))
            case "Runtime.exceptionThrown":
                self.console.append(json.dumps(parameters["exceptionDetails"]))
            case "Log.entryAdded":
                self.console.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
            case "Page.javascriptDialogOpening":
                self.console.append(f"dialog: {parameters['message']}")
