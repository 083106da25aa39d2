"""Keys: who may ask what. Every route of the application is asked without, with a wrong, and with a too narrow key."""

import base64
import itertools
import logging
import re

import pytest
from starlette.routing import Route
from support import serving
from typer.testing import CliRunner

from reckon.cli import app as commands
from reckon.serving.http import auth
from reckon.serving.http.guards import OPEN, scope_of
from reckon.serving.store.errors import StoreError

SCOPES = ("read", "write", "admin")


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    """A service with a key of each scope, as `.keys`."""
    with serving.shop(tmp_path_factory.mktemp("locked"), raising=False) as running:
        running.keys = {}
        for scope in SCOPES:
            running.keys[scope], record = auth.new_key(f"the {scope} key", scope)
            running.store.keys.add(record)
        running.service.keys = auth.KeyRing(running.store)  # reads them now, and not in two seconds
        yield running


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def routes(application):
    """(method, path) of every route, also those that no description shows."""
    found, left = [], list(application.routes)
    while left:
        route = left.pop()
        if isinstance(route, Route):
            path = re.sub(r"\{[^}]*\}", "x", route.path)
            found += [(method, path) for method in sorted(route.methods - {"HEAD"})]
        else:
            left += route.original_router.routes  # a router within
    return found


def test_there_are_routes_to_walk(locked):
    found = {path for _, path in routes(locked.app)}
    assert {OPEN, "/recommend", "/items/x", "/events", "/metrics", "/openapi.json", "/v1/models", "/docs"} <= found


def test_every_route_but_one_needs_a_key(locked):
    asked = {(method, path): locked.client.request(method, path).status_code for method, path in routes(locked.app)}
    assert {one for one, status in asked.items() if status != 401} == {("GET", OPEN)}


def test_every_route_but_one_refuses_a_wrong_key(locked):
    for method, path in routes(locked.app):
        status = locked.client.request(method, path, headers=bearer("rk_wrong")).status_code
        assert status == (200 if path == OPEN else 401), (method, path)


@pytest.mark.parametrize(
    "header",
    ["Bearer ", "Bearer", "Basic", "Basic !!", "Digest x", "", "rk_x", "Basic " + base64.b64encode(b"rk_x").decode()],
)
def test_a_header_that_holds_no_key_is_refused(locked, header):
    assert locked.client.get("/items", headers={"Authorization": header}).status_code == 401


def test_no_route_takes_a_key_that_is_too_narrow(locked):
    refused = 0
    for (method, path), scope in itertools.product(routes(locked.app), SCOPES):
        if path == OPEN:
            continue
        status = locked.client.request(method, path, headers=bearer(locked.keys[scope])).status_code
        too_narrow = SCOPES.index(scope) < SCOPES.index(scope_of(method, path))
        assert (status == 403) == too_narrow and status != 401, (method, path, scope, status)
        refused += too_narrow
    assert refused > 10


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/items", "read"),
        ("GET", "/metrics", "read"),
        ("POST", "/recommend", "read"),
        ("POST", "/rate", "read"),
        ("POST", "/v1/chat/completions", "read"),
        ("PUT", "/items/x", "write"),
        ("PATCH", "/items/x", "write"),
        ("DELETE", "/users/x", "write"),
        ("POST", "/events", "write"),
        ("POST", "/models/x/activate", "admin"),
    ],
)
def test_asking_needs_read_changes_write_and_runs_admin(method, path, scope):
    assert scope_of(method, path) == scope


def test_a_key_is_taken_as_the_password_of_a_browser_too(locked):
    basic = "Basic " + base64.b64encode(f"anyone:{locked.keys['read']}".encode()).decode()
    assert locked.client.get("/items", headers={"Authorization": basic}).status_code == 200
    asked = locked.client.get("/items").headers["www-authenticate"]
    assert "Bearer" in asked and "Basic" in asked


def test_a_key_may_be_used_under_any_name_of_the_server(locked):
    headers = bearer(locked.keys["read"]) | {"Host": "shop.example"}
    assert locked.client.get("/items", headers=headers).status_code == 200


def test_a_removed_key_is_refused_and_a_new_one_taken(locked, monkeypatch):
    monkeypatch.setattr(auth, "FRESH_S", 0.0)
    secret, record = auth.new_key("for a moment", "read")
    assert locked.client.get("/items", headers=bearer(secret)).status_code == 401
    locked.store.keys.add(record)
    assert locked.client.get("/items", headers=bearer(secret)).status_code == 200
    locked.store.keys.remove("for a moment")
    assert locked.client.get("/items", headers=bearer(secret)).status_code == 401


def test_keys_outlast_an_outage_of_the_store(locked, monkeypatch):
    def broken():
        raise StoreError("the store", "is away", "wait")

    headers = bearer(locked.keys["read"])
    assert locked.client.get("/models", headers=headers).status_code == 200
    monkeypatch.setattr(auth, "FRESH_S", 0.0)
    monkeypatch.setattr(locked.store.keys, "all", broken)
    assert locked.client.get("/models", headers=headers).status_code == 200
    assert locked.client.get("/models").status_code == 401
    monkeypatch.setattr(locked.service, "keys", auth.KeyRing(locked.store))  # never read
    assert locked.client.get("/models", headers=headers).status_code == 503


def test_no_key_is_ever_logged_or_kept(locked, caplog):
    with caplog.at_level(logging.DEBUG):
        for key in [*locked.keys.values(), "rk_a-wrong-one"]:
            locked.client.get("/items", headers=bearer(key))
            locked.client.get("/nowhere", headers=bearer(key), params={"q": "x"})
    ours = [record for record in caplog.records if record.name.startswith("reckon")]
    assert ours and "the read key" in str([record.fields for record in ours])  # whose key it was
    logged = caplog.text + str([vars(record) for record in caplog.records])
    stored = (locked.folder / "store.sqlite").read_bytes() + (locked.folder / "store.sqlite-wal").read_bytes()
    for key in [*locked.keys.values(), "rk_a-wrong-one"]:
        assert key not in logged and key.encode() not in stored


def test_keys_differ_and_are_long():
    secrets = {auth.new_key("a", "read")[0] for _ in range(100)}
    assert len(secrets) == 100 and all(one.startswith("rk_") and len(one) >= 43 for one in secrets)


# -- without keys ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1:8000", "[::1]:8000", "[::1]"])
def test_without_keys_a_local_name_is_answered(shop, name):
    assert shop.client.get("/items", headers={"Host": name}).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        "192.168.0.7",
        "x@localhost",
    ],
)
def test_without_keys_a_foreign_name_is_refused(shop, name):
    reply = shop.client.get("/items", headers={"Host": name})
    assert reply.status_code == 403 and "make a key" in reply.json()["detail"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_page_of_another_site_may_change_nothing(shop, method):
    reply = shop.client.request(method, "/items/b00", headers={"Sec-Fetch-Site": "cross-site"}, json={"title": "x"})
    assert reply.status_code == 403 and shop.store.items.get("b00").title == "The Quiet Harbour"
    for site in ("same-origin", "none"):
        assert shop.client.post("/recommend", headers={"Sec-Fetch-Site": site}, json={"history": []}).status_code == 200


def test_a_service_for_other_machines_never_does_without_keys(tmp_path):
    with serving.shop(tmp_path, local=False) as shop:
        assert shop.client.get("/items").status_code == 401 and shop.client.get(OPEN).status_code == 200


def test_replies_forbid_frames_sniffing_and_scripts(shop):
    headers = shop.client.get("/items").headers
    assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in headers["content-security-policy"]


def test_more_requests_than_a_key_has_in_a_minute_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("reckon.serving.http.guards.time.time", lambda: 60.0)  # one minute that does not end
    with serving.shop(tmp_path, limits={"per_minute": 3}) as shop:
        asked = [shop.client.get("/models") for _ in range(5)]
        assert [reply.status_code for reply in asked] == [200, 200, 200, 429, 429]
        assert 0 < int(asked[-1].headers["retry-after"]) <= 61
        monkeypatch.setattr("reckon.serving.http.guards.time.time", lambda: 120.0)
        assert shop.client.get("/models").status_code == 200


# -- reckon keys -----------------------------------------------------------------------------------------------------


def keys(*words):
    result = CliRunner().invoke(commands, ["keys", *map(str, words)])
    return result.exit_code, result.stdout.strip(), result.stderr.strip()


def test_keys_are_made_listed_and_removed_on_the_command_line(tmp_path):
    store = ("--store", tmp_path / "store.sqlite")
    code, secret, _ = keys("new", "shop", "--scope", "write", *store)
    assert code == 0 and secret.startswith("rk_")
    assert keys("new", "other", *store)[0] == 0
    code, listed, _ = keys("list", *store)
    assert [line.split()[:2] for line in listed.splitlines()] == [
        ["other", "read"],
        ["shop", "write"],
    ] and secret not in listed
    assert keys("remove", "shop", *store)[0] == 0
    assert "shop" not in keys("list", *store)[1]


@pytest.mark.parametrize("words", [("new", "twice"), ("remove", "none"), ("new", "x", "--scope", "all")])
def test_a_mistake_about_keys_is_one_line(tmp_path, words):
    store = ("--store", tmp_path / "store.sqlite")
    keys("new", "twice", *store)
    code, said, problem = keys(*words, *store)
    assert code == 2 and not said and problem.startswith("reckon: ") and "\n" not in problem
