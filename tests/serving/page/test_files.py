"""What the pages are given, without a browser: policy, files, the routes that were made for them."""

import re
import threading

import pytest
from starlette.testclient import TestClient
from support import serving

from reckon.errors import DataError
from reckon.serving.app import create_app
from reckon.serving.config import ServiceConfig
from reckon.serving.routes.pages import FOLDER, PAGES, POLICY

MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|srcdoc")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_the_strict_policy_and_needs_nothing_from_elsewhere(served, path):
    reply = served.client.get(path)
    assert reply.status_code == 200 and reply.headers["content-security-policy"] == POLICY and "unsafe" not in POLICY
    assert not re.search(r"https?://|<style|\sstyle=|\son\w+=", reply.text)
    scripts = re.findall(r"<script[^>]*>", reply.text)
    assert scripts == [f'<script type="module" src="/static/{PAGES[path][0]}.js">']
    for address in re.findall(r'(?:src|href)="(/[^"]*)"', reply.text):
        assert served.client.get(address).status_code == 200, address


def test_no_script_makes_markup_of_text():
    for path in (FOLDER / "static").glob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert not MARKUP.search(text), path.name
        for module in re.findall(r'from "\./([\w.]+)"', text):
            assert (FOLDER / "static" / module).exists()


def test_a_file_is_sent_once_and_then_only_confirmed(served):
    reply = served.client.get("/static/page.css")
    assert reply.headers["cache-control"] == "no-cache" and reply.headers["content-type"].startswith("text/css")
    assert reply.content == (FOLDER / "static" / "page.css").read_bytes()
    again = served.client.get("/static/page.css", headers={"If-None-Match": f'"other", W/{reply.headers["etag"]}'})
    assert again.status_code == 304 and again.content == b""


@pytest.mark.parametrize("name", ["nothing.js", "..%2Ftemplates%2Fbase.html.jinja", "%2e%2e%2fpage.css"])
def test_other_files_are_not_sent(served, name):
    assert served.client.get(f"/static/{name}").status_code == 404


def test_items_are_found_by_a_part_of_title_or_id(served):
    def found(**query):
        return served.client.get("/items", params=query).json()

    assert [item["id"] for item in found(search="hARBour")["items"]] == ["b00", "b08"]
    assert [item["title"] for item in found(search="B1")["items"]] == ["A Dark Tide", "The Next Sea"]
    first = found(search="tide", limit=2)
    assert [item["id"] for item in first["items"]] == ["b01", "b07"] and first["next"] == "b07"
    assert [item["id"] for item in found(search="tide", limit=2, after="b07")["items"]] == ["b10"]
    assert found(search="nothing")["items"] == []


def test_the_declared_types_of_events_are_told(served):
    types = served.client.get("/events/types").json()
    assert types["history"] == ["interaction", "purchase", "rating", "view"]
    assert set(types["types"]) == {*types["history"], "click"}
    assert types["clicks"] == ["click", "view"] and types["conversions"] == ["purchase"]


def test_a_page_says_why_the_service_is_not_ready(browser):
    loaded = threading.Event()

    def open_service():
        loaded.wait(60)
        raise DataError("the run", "is not there", "give another")

    app = create_app(open_service, ServiceConfig())
    with TestClient(app, base_url="http://localhost"), serving.server(app) as url:
        browser.open(url + "/ui/health")
        browser.until("document.querySelector('#tiles').textContent.includes('the model is being loaded')")
        browser.open(url)
        browser.until("document.querySelector('#state').textContent.includes('the model is being loaded')")
        loaded.set()
        browser.until("document.querySelector('#state').textContent.includes('Fix: give another')")
        browser.open("about:blank")
