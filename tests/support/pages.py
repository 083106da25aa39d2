"""A page read back, hostile text to put into it, a training log, comparisons: what the tests of reports share."""

from html.parser import HTMLParser

from reckon.comparison.workers import run_here
from reckon.reports.comparison.report import page_of
from reckon.reports.comparison.tables import tables_of
from support.run_files import POLICY_KEYS

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that every tag is closed."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def history():
    steps = [{"step": step, **{key: step / 50 for key in sorted(POLICY_KEYS)}} for step in range(1, 41)]
    return [*steps, {"step": 20, "eval_ndcg@10": 0.2}, {"step": 40, "eval_ndcg@10": 0.3}]


def here(cells, workers):
    """Runs the cells of a comparison in this process."""
    for cell in cells:
        if not cell.finished:
            run_here(cell)


def page(comparison):
    return page_of(comparison, tables_of(comparison))
