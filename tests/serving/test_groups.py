"""Several runs behind one server: who is answered by which, and one exchanged for another while requests run."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from support import serving

from reckon.errors import ConfigError
from reckon.serving.models.groups import Groups
from reckon.serving.models.served_run import ServedRun, version_of

USERS = [f"user {number}" for number in range(2_000)]


def groups(*names, shares=()):
    return Groups([SimpleNamespace(name=name) for name in names], shares)


def test_one_run_answers_everybody_and_there_are_no_groups():
    run, group = groups("a").of_user("u")
    assert run.name == "a" and group is None


def test_the_group_of_a_user_is_the_same_after_every_start():
    assert [groups("a", "b").of_user(user)[1] for user in USERS[:8]] == list("aaabbaba")


@pytest.mark.parametrize(("shares", "expected"), [((), 0.5), ((3, 1), 0.75), ((1, 9), 0.1)])
def test_users_are_split_by_the_shares(shares, expected):
    both = groups("a", "b", shares=shares)
    share = sum(both.of_user(user)[1] == "a" for user in USERS) / len(USERS)
    assert share == pytest.approx(expected, abs=0.04)  # 3 standard errors
    assert sum(both.shares.values()) == pytest.approx(1)


def test_anonymous_histories_go_to_the_first_run():
    assert groups("a", "b").of_user(None)[1] == "a"


@pytest.mark.parametrize("shares", [(1,), (1, 2, 3), (1, 0), (1, -1)])
def test_shares_are_one_positive_number_for_each_run(shares):
    with pytest.raises(ConfigError, match=r"model\.shares"):
        groups("a", "b", shares=shares)


def test_a_name_may_occur_once():
    with pytest.raises(ConfigError, match="twice"):
        groups("a", "a")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    with serving.shop(tmp_path_factory.mktemp("pair"), names=("first", "second")) as running:
        yield running


def user_of(shop, name):
    return next(
        user for user in (f"u{number:02d}" for number in range(16)) if shop.service.groups.of_user(user)[1] == name
    )


@pytest.mark.parametrize("name", ["first", "second"])
def test_the_run_and_group_of_a_user_are_in_answers_and_numbers(pair, name):
    user = user_of(pair, name)
    answer = pair.recommend(user_id=user, reasoning="live", k=3)
    assert answer["model"] == answer["group"] == name
    run = pair.service.groups.get(name)
    expected = run.model.recommend_examples([run.example(pair.service.past_of(user))], k=3, exclude_seen=True)[0]
    assert [item["id"] for item in answer["items"]] == list(expected.item_ids)
    pair.tell({"user_id": user, "type": "purchase", "recommendation_id": answer["recommendation_id"]})
    text = pair.client.get("/metrics").text
    assert f'reckon_answers_total{{group="{name}",source="live"}}' in text
    assert f'reckon_feedback_total{{group="{name}",kind="conversion",source="live"}} 1.0' in text


def test_both_runs_are_listed_and_follow_the_catalog(pair):
    pair.client.put("/items/n1", json={"title": "A New Sea"})
    models = pair.client.get("/models").json()
    assert [(one["name"], one["share"], one["items"]) for one in models] == [("first", 0.5, 13), ("second", 0.5, 13)]
    for name in ("first", "second"):
        answer = pair.recommend(user_id=user_of(pair, name), reasoning="none", k=100)
        assert "n1" in [item["id"] for item in answer["items"]]
    pair.client.delete("/items/n1")


def test_cached_reasoning_is_that_of_the_user_s_run(pair):
    user = user_of(pair, "second")
    pair.recommend(user_id=user)
    while pair.service.nearline.write_some():
        pass
    answer = pair.recommend(user_id=user)
    assert (answer["source"], answer["model"]) == ("cached", "second")


# -- one run for another ---------------------------------------------------------------------------------------------


def activate(shop, path, name="shelf"):
    return shop.client.post(f"/models/{name}/activate", json={"run": str(path)})


def other_run(shop, folder):
    """A run that does not answer now."""
    for seed in ({}, {"seed": 1}):
        serving.run_folder(folder / str(seed), **seed)
        run = folder / str(seed) / "run"
        if version_of(run) != shop.run.version:
            return run
    raise AssertionError("both runs have one version")


def test_a_run_is_exchanged_while_requests_run_and_none_fails(shop, tmp_path):
    other = other_run(shop, tmp_path)
    shop.client.put("/items/n2", json={"title": "Known To The Store Alone"})
    old, stop, found = shop.run.version, threading.Event(), []

    def ask(user):
        while not stop.is_set():
            reply = shop.client.post("/recommend", json={"user_id": user, "reasoning": "none", "k": 100})
            found.append((reply.status_code, reply.json().get("version")))

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask, user) for user in ("u01", "u02")]
        reply = activate(shop, other)
        shop.recommend(user_id="u01")
        stop.set()
        for one in asking:
            one.result(60)
    assert reply.status_code == 200 and reply.json()["version"] not in (old, None)
    assert {status for status, _ in found} == {200} and {version for _, version in found} <= {
        old,
        reply.json()["version"],
    }
    after = shop.recommend(user_id="u01", reasoning="live", k=100)
    assert after["version"] == reply.json()["version"] == shop.client.get("/models").json()[0]["version"]
    assert "n2" in [item["id"] for item in after["items"]]  # the new run follows the store


def test_a_reply_that_has_begun_ends_with_its_run(shop, tmp_path, monkeypatch):
    other = other_run(shop, tmp_path)
    gate = serving.Gate(monkeypatch, shop.run)
    old = shop.run.version
    with ThreadPoolExecutor(2) as pool:
        gate.close()
        asked = pool.submit(shop.recommend, user_id="u03", reasoning="live")
        gate.let("reading")
        gate.holds("token")
        exchanged = pool.submit(shop.service.activate, "shelf", other)
        gate.open()
        assert exchanged.result(60).version != old
        assert asked.result(60)["version"] == old
    assert shop.recommend(user_id="u03", reasoning="live")["version"] != old


@pytest.mark.parametrize("damage", ["absent", "empty", "a file", "too long a name", "unfinished", "damaged"])
def test_a_run_that_cannot_be_used_leaves_the_old_one(shop, tmp_path, damage):
    path = tmp_path / "run"
    match damage:
        case "empty":
            path.mkdir()
        case "a file":
            path.write_text("mine")
        case "too long a name":
            path = tmp_path / ("a" * 300)
        case "unfinished" | "damaged":
            serving.run_folder(tmp_path)
            file = path / ("manifest.json" if damage == "unfinished" else "item_table.safetensors")
            file.unlink() if damage == "unfinished" else file.write_bytes(b"x")
    before = shop.run
    reply = activate(shop, path)
    assert reply.status_code == 422 and reply.json()["detail"]
    assert shop.run is before and shop.recommend(user_id="u04", reasoning="live")["source"] == "live"


def test_a_run_that_cannot_be_warmed_leaves_the_old_one(shop, tmp_path, monkeypatch):
    serving.run_folder(tmp_path)
    before = shop.run
    monkeypatch.setattr(ServedRun, "direct", lambda self, examples: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        activate(shop, tmp_path / "run")
    monkeypatch.undo()
    assert shop.run is before


def test_an_unknown_name_is_404(shop, tmp_path):
    assert activate(shop, tmp_path, "other").status_code == 404
