"""The pages in a real browser: what a person does on them, and what a hostile text cannot do."""

import asyncio
import json
import threading
from datetime import UTC, datetime

import numpy as np
import pytest
from support.waiting import wait_for

from reckon.serving.answers.chain import model_of
from reckon.serving.store.records import Item, User, UserEvent, WrittenReasoning

PAGES = ("/", "/ui/items", "/ui/events", "/ui/health", "/docs")
FILLED = {  # what is there once a page has asked for its data
    "/": "document.querySelector('#columns').textContent",
    "/ui/items": "document.querySelector('#list tbody tr')",
    "/ui/events": "document.querySelector('#list tbody tr') && document.querySelector('#type option')",
    "/ui/health": "document.querySelector('#routes table') && document.querySelector('#charts figure')",
    "/docs": "document.querySelector('.route')",
}
HOSTILE = "<img src=x onerror=\"document.title='got in'\"></script><script>alert(1)</script>\x1b[31m\u202e<answer>"
SEEN = HOSTILE.replace("\x1b", "␛")  # as the page shows it
LIST = "[...document.querySelectorAll('#ranked > li')].map(one => one.dataset.id)"
SOURCE = "document.querySelector('#chain .answered')?.textContent || ''"


def tab_to(browser, selector, most=60):
    """Press Tab until an element has the focus; fails where the keyboard does not reach it."""
    for _ in range(most):
        if browser.ask(f"document.activeElement.matches({json.dumps(selector)})"):
            return
        browser.press("Tab")
    raise AssertionError(f"the keyboard does not reach {selector}")


def ask_for(browser, served, user, reasoning):
    browser.open(f"{served.url}/?user={user}")
    browser.until(FILLED["/"])
    browser.ask(f"document.querySelector('input[value={reasoning}]').click(), document.querySelector('#k').value = 20")
    browser.ask("document.querySelector('#go').click()")


@pytest.fixture
def gate(served, monkeypatch):
    """Holds back every ranking until it is opened."""
    opened, chain = threading.Event(), served.service.chain
    ranked = chain._ranked

    async def held(*given):
        await asyncio.to_thread(opened.wait, 60)
        return await ranked(*given)

    monkeypatch.setattr(chain, "_ranked", held)
    yield opened
    opened.set()


def test_by_keyboard_alone_the_reasoning_appears_before_the_list(browser, served, gate):
    browser.open(served.url)
    browser.until(FILLED["/"])
    tab_to(browser, "#user")
    browser.type("u03")
    browser.press("Enter")
    browser.until("document.querySelector('#reasoning').textContent.length > 0")
    assert browser.ask("document.querySelector('#reasoning').getAttribute('aria-busy')") == "true"
    assert browser.ask(LIST) == []
    gate.set()
    browser.until(f"{LIST}.length > 0")
    assert browser.ask("document.querySelector('#reasoning').getAttribute('aria-live')") == "polite"
    browser.until("document.querySelector('#reasoning').getAttribute('aria-busy') === 'false'")
    answer = browser.ask("[...document.querySelectorAll('#facts dd')].map(one => one.textContent)")[3]
    explained = served.client.get(f"/explain/{answer}").json()
    assert explained["user_id"] == "u03" and explained["source"] == "live"
    assert browser.ask(LIST) == [item["id"] for item in explained["items"]]
    # textContent of a text with control characters differs from it by their signs alone
    assert len(browser.ask("document.querySelector('#reasoning').textContent")) == len(explained["reasoning"]["text"])
    assert browser.ask("document.querySelector('#history li bdi').textContent") == explained["history"][-1]["title"]
    assert browser.console == []


def test_an_event_from_the_list_changes_the_list(browser, served):
    ask_for(browser, served, "u05", "none")
    browser.until(f"{LIST}.length > 0")
    first = browser.ask(LIST)[0]
    tab_to(browser, "#ranked > li:first-child button[aria-label^=bought]")
    browser.press("Enter")
    browser.until("document.querySelector('#told').textContent.startsWith('Stored')")
    _, event = served.service.store.events.recent(1)[0]
    assert (event.user_id, event.item_id, event.type) == ("u05", first, "purchase")
    assert served.service.store.answers.get(event.recommendation_id).user_id == "u05"
    browser.until("document.querySelector('#history li.new small')?.textContent.startsWith('purchase')")
    browser.ask("document.querySelector('#go').click()")
    browser.until("document.querySelector('#told').textContent.includes('changed since')")
    assert first not in browser.ask(LIST)
    assert browser.console == []


def test_stop_ends_the_stream(browser, served, gate):
    ask_for(browser, served, "u07", "live")
    browser.until("document.querySelector('#reasoning').textContent.length > 0")
    assert served.service.open_streams == 1
    tab_to(browser, "#stop")
    browser.press("Enter")
    browser.until("document.querySelector('#told').textContent.startsWith('Stopped')")
    wait_for(lambda: served.service.open_streams == 0)
    assert browser.ask(LIST) == [] and browser.console == []


def test_titles_are_an_anonymous_history(browser, served):
    browser.open(served.url)
    browser.until(FILLED["/"])
    tab_to(browser, "input[name=whom]")
    browser.press("ArrowRight")
    for title in ("calm sea", "b09"):
        tab_to(browser, "#title")
        browser.type(title)
        browser.press("Enter")
        browser.until("document.querySelector('#title').value === ''")
    shown = browser.ask("[...document.querySelectorAll('#typed li bdi')].map(one => one.textContent)")
    assert shown == ["Calm Sea", "The Calm"]
    browser.press("Enter")  # an empty field asks
    browser.until(f"{LIST}.length > 0")
    assert not {"b02", "b09"} & set(browser.ask(LIST))
    assert "live" in browser.ask(SOURCE)
    browser.type("no such book")
    browser.press("Enter")
    browser.until("document.querySelector('#problem').textContent.includes('No item')")
    assert browser.console == []


def test_a_new_item_is_found_and_near_others(browser, served):
    browser.open(served.url + "/ui/items")
    browser.until(FILLED["/ui/items"])
    for selector, text in (("#id", "new/1"), ("#title", "The Loud Harbour"), ("#fields input", "sea")):
        tab_to(browser, selector)
        browser.type(text)
    browser.press("Enter")
    browser.until("document.querySelectorAll('#similar li').length > 3")
    assert "can be recommended" in browser.ask("document.querySelector('#told').textContent")
    assert served.client.get("/items/new%2F1").json()["columns"] == {"genre": "sea"}
    tab_to(browser, "#search")
    browser.type("loud")
    browser.until("document.querySelectorAll('#list tbody tr').length === 1")
    assert "new/1" in browser.ask("document.querySelector('#list').textContent")
    assert browser.console == []
    served.service.delete_items(["new/1"])


def test_an_event_is_checked_sent_and_followed(browser, served):
    browser.open(served.url + "/ui/events")
    browser.until(FILLED["/ui/events"])
    last = served.service.store.events.count()
    tab_to(browser, "#user")
    browser.type("u01")
    tab_to(browser, "#item")
    browser.type("b05")
    tab_to(browser, "#validate")
    browser.press(" ")
    browser.press("Enter")
    browser.until("document.querySelector('#told').textContent.includes('valid')")
    assert served.service.store.events.count() == last
    event = UserEvent("of-another", "u02", "b07", "view", datetime.now(UTC))
    served.service.add_events([event])
    browser.until("document.querySelector('#list tr.new')?.textContent.includes('of-another')")
    assert browser.console == []
    browser.ask("document.querySelector('#item').focus()")
    browser.type("-missing")
    browser.press("Enter")
    browser.until("document.querySelector('#problem').textContent.includes('unknown id: b05-missing')")


def test_a_hostile_text_is_shown_and_never_runs(browser, served):
    service = served.service
    run = service.groups.runs[0]
    user = HOSTILE + "/user"
    service.put_items([Item("hostile", HOSTILE, {"genre": HOSTILE})])
    service.store.users.put([User(user)])
    service.add_events([UserEvent(HOSTILE, user, "hostile", "view", datetime.now(UTC), recommendation_id=HOSTILE)])
    vector = np.ones(run.snapshot.vectors.shape[1], dtype="<f4").tobytes()
    service.store.users.put([User("u-hostile")])
    service.store.nearline.put(
        WrittenReasoning("u-hostile", model_of(run), HOSTILE, True, vector, [], datetime.now(UTC))
    )
    try:
        ask_for(browser, served, "u-hostile", "cached")
        browser.until(f"{LIST}.includes('hostile')")
        assert browser.ask("document.querySelector('#reasoning').textContent") == SEEN
        row = "document.querySelector('#ranked > li[data-id=hostile]')"
        assert browser.ask(f"{row}.querySelector('bdi').textContent") == SEEN
        browser.ask(f"{row}.querySelector('button').click()")
        browser.until("document.querySelector('#told').textContent.includes('Stored')")
        pages = {"/ui/items": "#list", "/ui/events": "#list", "/ui/health": "#routes", "/docs": "#routes"}
        for page, table in pages.items():
            assert browser.ask("document.title") != "got in"
            assert browser.ask("document.querySelectorAll('main img, main script').length") == 0
            browser.open(served.url + page)
            browser.until(FILLED[page])
            if table == "#list":
                assert SEEN in browser.ask(f"document.querySelector('{table}').textContent")
        assert browser.console == []
    finally:
        service.delete_items(["hostile"])
        service.store.users.delete([user, "u-hostile"])


@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_its_width_names_its_fields_and_says_nothing(browser, served, page):
    browser.open(served.url + page)
    browser.until(FILLED[page])
    for width in (400, 1280):
        browser.looks(width, dark=width == 400)
        assert browser.ask("document.documentElement.scrollWidth") <= width
    unnamed = "[...document.querySelectorAll('input, select')].filter(one => !one.labels.length).map(one => one.id)"
    assert browser.ask(unnamed) == []
    browser.press("Tab")
    assert browser.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert browser.console == []


def test_the_description_of_the_api_shows_bodies_examples_and_statuses(browser, served):
    browser.open(served.url + "/docs")
    browser.until(FILLED["/docs"])
    routes = served.client.get("/openapi.json").json()["paths"]
    assert browser.ask("document.querySelectorAll('.route').length") == sum(len(methods) for methods in routes.values())
    browser.ask("document.querySelector('.route[id^=recommend_]').open = true")
    browser.until("document.querySelector('.route[open] pre')")
    text = browser.ask("document.querySelector('.route[open]').textContent")
    for part in ("deadline_ms", "HistoryEvent", '"reasoning": "live"', "429", "What each part added"):
        assert part in text


def test_quantiles_of_histograms(browser, served):
    browser.open(served.url)
    lines = ("bucket 1.0 2", "bucket 3.0 4", "bucket +Inf 5", "count 5", "sum 12.5")
    text = "# HELP x"
    for line in lines:
        suffix, *bound, number = line.split()
        le = f',le="{bound[0]}"' if bound else ""
        text += f'\nx_{suffix}{{a="b\\"c"{le}}} {number}'
    script = f"""import("/static/prometheus.js").then(p => {{
        const found = p.histogram(p.samples({json.dumps(text)}), "x", labels => labels.a === 'b"c');
        return [found.count, found.sum, p.quantile(found, 0.2), p.quantile(found, 0.6), p.quantile(found, 1)];
    }})"""
    # of 5 values 2 are below 1, 2 between 1 and 3: the first lies at 1/2, the third at 2; the last is beyond all bounds
    assert browser.ask(script) == [5, 12.5, 0.5, 2, 3]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_stream_is_read_whatever_its_pieces_are(browser, served, size):
    browser.open(served.url)
    stream = ': heartbeat\r\n\r\nevent: reasoning\ndata: {"delta": "a: ü\\n"}\n\n'
    stream += 'event: items\ndata: {"items":\ndata: []}\n\n'
    script = f"""import("/static/service.js").then(async ({{ events }}) => {{
        const bytes = new TextEncoder().encode({json.dumps(stream)}), kept = fetch, found = [];
        globalThis.fetch = async () => new Response(new ReadableStream({{ start(out) {{
            for (let at = 0; at < bytes.length; at += {size}) out.enqueue(bytes.slice(at, at + {size}));
            out.close();
        }} }}));
        for await (const event of events("/recommend", {{}})) found.push(event);
        globalThis.fetch = kept;
        return found;
    }})"""
    assert browser.ask(script) == [["reasoning", {"delta": "a: ü\n"}], ["items", {"items": []}]]
