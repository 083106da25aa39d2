"""A page looked at in a real headless browser, where one is installed: what its console says, and what was laid out.

Entry point: `look`. The page is put into one frame for each width, and a script beside it (never in it) measures.
"""

import html
import json
import re
import shutil
import subprocess

import pytest

MEASURE = """
const measure = page => {
  const out = {};
  out.width = page.documentElement.scrollWidth;
  out.charts = [...page.querySelectorAll("figure svg")].map(svg => {
    const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
    const shapes = [...svg.querySelectorAll("path, use, text")].filter(one => one.getBoundingClientRect().width > 0);
    const sizes = [...svg.querySelectorAll("text")].map(one => parseFloat(getComputedStyle(one).fontSize) * scale);
    return {name: svg.getAttribute("aria-label"), width: box.width, height: box.height, left: box.left,
            right: box.right, shapes: shapes.length, smallest: Math.min(...sizes), text: svg.textContent};
  });
  out.wide = [...page.querySelectorAll("main *")].filter(one => {
    const box = one.getBoundingClientRect();
    return box.width > 0 && box.right > page.documentElement.clientWidth + 1 && !one.closest(".scroll, pre, svg");
  }).map(one => one.outerHTML.slice(0, 80));
  out.fonts = Math.min(...[...page.querySelectorAll("p, td, th, h2, h3, figcaption, small")].map(
    one => parseFloat(getComputedStyle(one).fontSize)));
  out.headings = [...page.querySelectorAll("h2")].map(one => one.textContent);
  return out;
};
addEventListener("load", () => {
  const frames = [...document.querySelectorAll("iframe")];
  document.body.textContent = JSON.stringify(frames.map(frame => measure(frame.contentDocument)));
});
"""


def look(path, folder, widths):
    """Console lines of errors and warnings; and the measures of MEASURE at each width, of the page at `path`."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no headless browser is installed")
    frame = folder / "frames.html"
    frames = "".join(
        f'<iframe src="{path.resolve().as_uri()}" style="width:{width}px;height:900px;border:0"></iframe>'
        for width in widths
    )
    frame.write_text(
        f'<!doctype html><meta charset="utf-8"><script>{MEASURE}</script>{frames}',
        encoding="utf-8",
    )
    done = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
         "--no-first-run", "--enable-logging=stderr", "--v=0", f"--user-data-dir={folder / 'profile'}",
         f"--window-size={max(widths) + 20},1000", "--virtual-time-budget=4000", "--dump-dom",
         frame.resolve().as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line or "net_error" in line]
    measured = re.search(r"<body>(.*)</body>", done.stdout, re.DOTALL)
    assert measured, done.stderr[-2000:]
    return console, json.loads(html.unescape(measured[1]))
