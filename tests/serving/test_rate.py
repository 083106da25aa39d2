"""Predicted ratings over HTTP: the prompt of `reckon recommend --rate`, events that change it, typed ratings."""

from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient
from support import rated_runs, rated_shelf, rated_talker
from support.serving import settings
from support.waiting import wait_for

from reckon.evaluation.rating.live import _example, find_item
from reckon.serving.answers.rating import example_of
from reckon.serving.app import create_app
from reckon.serving.schemas import RateBody
from reckon.serving.service import Service
from reckon.serving.store.store import Store


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A service of a run of RecZero whose replies often have the right form."""
    folder = tmp_path_factory.mktemp("rated")
    data = rated_shelf.dataset(folder / "data")
    backbone = rated_talker.backbone_folder(folder / "backbone", fluency=100)
    rated_runs.train(data, backbone, folder / "reader", max_steps=2, learning_rate=1e-6)
    config, store = settings(), Store.open(str(folder / "store.sqlite"))
    app = create_app(lambda: Service.open([("reader", folder / "reader")], store, config), config)
    with TestClient(app, base_url="http://localhost") as client:
        wait_for(lambda: not app.state.host.reasons or app.state.host.failure)
        assert app.state.host.failure is None, app.state.host.failure
        yield SimpleNamespace(client=client, service=app.state.host.service, data=data)


def rate(shop, **body):
    reply = shop.client.post("/rate", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.mark.parametrize("user", ["u00", "u07"])
def test_the_prompt_is_that_of_the_command_line(shop, user):
    model = shop.service.rater.model
    there = _example(model, shop.data, find_item(shop.data.catalog, "b09"), user, None)
    here = example_of(shop.service, shop.service.rater, RateBody(user_id=user, item_id="b09"))
    assert model.prompt(here).text == model.prompt(there).text
    assert (here.user_mean, here.item_mean) == pytest.approx((there.user_mean, there.item_mean))


def test_the_reply_holds_rating_scale_and_reasoning(shop):
    reply = rate(shop, user_id="u01", item_id="b08")
    expected = shop.service.rater.model.rate(
        [example_of(shop.service, shop.service.rater, RateBody(user_id="u01", item_id="b08"))]
    )
    assert reply["reasoning"] == expected.replies[0]
    assert (reply["lowest"], reply["highest"], reply["samples"]) == (1, 5, 1)
    assert reply["spread"] is None and reply["model"] == "reader"
    assert (reply["rating"] is None) == bool(reply["problems"])


def test_several_replies_give_a_mean_and_a_spread_of_those_with_a_valid_form(shop):
    reply = rate(shop, user_id="u02", item_id="b09", samples=16)
    assert reply["samples"] == 16 and len(reply["problems"]) < 15
    assert 1 <= reply["rating"] <= 5 and reply["spread"] is not None


def test_an_event_with_a_review_is_in_the_next_prompt(shop):
    event = {"user_id": "u03", "item_id": "b11", "type": "rating", "value": 2, "summary": "Far too loud"}
    assert shop.client.post("/events", json=event).status_code == 200
    example = example_of(shop.service, shop.service.rater, RateBody(user_id="u03", item_id="b10"))
    latest = example.user_history[-1]
    assert (latest.rating, latest.summary) == (2, "Far too loud")
    assert "Far too loud" in shop.service.rater.model.prompt(example).text


def test_typed_ratings_need_no_user(shop):
    body = RateBody(history=[{"item_id": "b00", "rating": 5}, {"item_id": "b01", "rating": 4}], item_id="b02")
    example = example_of(shop.service, shop.service.rater, body)
    assert [one.rating for one in example.user_history] == [5, 4] and example.user_mean == 4.5
    assert rate(shop, history=[{"item_id": "b00", "rating": 5}], item_id="b02")["model"] == "reader"


@pytest.mark.parametrize(
    "body",
    [
        {"item_id": "b02"},
        {"item_id": "b02", "user_id": "u00", "history": []},
        {"item_id": "nothing", "user_id": "u00"},
        {"item_id": "b02", "history": [{"item_id": "b00", "rating": 6}]},
        {"item_id": "b02", "user_id": "u00", "samples": 0},
    ],
    ids=["nobody", "two users", "unknown item", "off the scale", "no reply"],
)
def test_what_cannot_be_rated_is_refused(shop, body):
    assert shop.client.post("/rate", json=body).status_code == 422


def test_a_changed_title_is_in_the_next_prompt_and_no_row_moves(shop):
    rows = dict(shop.service.rater.rows)
    for item_id, title in (("b04", "The Loud Harbour"), ("n1", "A New One")):
        assert shop.client.put(f"/items/{item_id}", json={"title": title}).status_code == 200
    assert {one: shop.service.rater.rows[one] for one in rows} == rows
    example = example_of(shop.service, shop.service.rater, RateBody(user_id="u05", item_id="b04"))
    assert "The Loud Harbour" in shop.service.rater.model.prompt(example).text
    assert rate(shop, user_id="u05", item_id="n1")["samples"] == 1


def test_a_deleted_item_is_not_rated_and_stays_in_histories(shop):
    assert shop.client.delete("/items/b05").status_code == 204
    assert shop.client.post("/rate", json={"user_id": "u06", "item_id": "b05"}).status_code == 422
    rows = shop.service.rater.rows
    example = example_of(shop.service, shop.service.rater, RateBody(user_id="u00", item_id="b09"))
    assert rows["b05"] in [one.item_index for one in example.user_history]


def test_a_run_that_rates_recommends_nothing_and_says_so(shop):
    reply = shop.client.post("/recommend", json={"user_id": "u00"})
    assert reply.status_code == 422 and "ranks" in reply.json()["detail"]
