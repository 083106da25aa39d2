"""Answers are kept: their next pages, what they came from, what became of them."""

import pytest
from support import serving


def ids(reply):
    return [item["id"] for item in reply["items"]]


def page(shop, answer, k=3):
    return shop.recommend(recommendation_id=answer["recommendation_id"], k=k)


def test_pages_go_on_without_repeats_until_nothing_is_left(shop):
    first = shop.recommend(user_id="u01", reasoning="live", k=2)
    found, pages = ids(first), [page(shop, first) for _ in range(4)]
    for one in pages:
        found += ids(one)
    assert [len(ids(one)) for one in pages] == [3, 1, 0, 0]
    assert found == ids(shop.recommend(user_id="u01", reasoning="live", k=100))  # the whole list, in order


def test_a_page_has_the_scores_and_parts_of_its_answer(shop):
    whole = shop.recommend(user_id="u02", reasoning="none", k=6)
    first = shop.recommend(user_id="u02", reasoning="none", k=2)
    assert page(shop, first, 4)["items"] == whole["items"][2:]


def test_events_and_changes_meanwhile_do_not_change_the_order_of_pages(shop):
    whole = ids(shop.recommend(user_id="u03", reasoning="none", k=6))
    first = shop.recommend(user_id="u03", reasoning="none", k=2)
    shop.tell({"user_id": "u03", "item_id": "b00"})
    assert ids(page(shop, first)) == whole[2:5]


def test_an_item_deleted_meanwhile_is_left_out_of_the_next_page(shop):
    shop.client.put("/items/gone", json={"title": "Next Book", "columns": {"genre": "gone"}})
    shop.client.put("/items/stays", json={"title": "The Calm", "columns": {"genre": "gone"}})
    first = shop.recommend(user_id="u04", reasoning="none", k=1, filter='genre == "gone"')
    [left] = {"gone", "stays"} - set(ids(first))
    shop.client.delete(f"/items/{left}")
    assert ids(page(shop, first)) == []


def test_an_unknown_answer_is_404(shop):
    reply = shop.client.post("/recommend", json={"recommendation_id": "none"})
    assert reply.status_code == 404 and reply.json()["missing_ids"] == ["none"]
    assert shop.client.get("/explain/none").status_code == 404


def test_an_explanation_tells_history_reasoning_and_parts(shop):
    answer = shop.recommend(user_id="u05", reasoning="live", k=4)
    found = shop.client.get(f"/explain/{answer['recommendation_id']}").json()
    assert [one["id"] for one in found["history"]] == [past.item_id for past in shop.service.past_of("u05")]
    assert found["history"][0]["title"] == "The Red Book"  # b05
    assert found["reasoning"]["text"] == answer["reasoning"]["text"]
    assert found["items"] == answer["items"]
    assert (found["user_id"], found["source"], found["model"]) == ("u05", "live", "shelf")


def test_an_explanation_grows_with_the_pages(shop):
    answer = shop.recommend(user_id="u06", reasoning="none", k=2)
    page(shop, answer, 3)
    assert len(shop.client.get(f"/explain/{answer['recommendation_id']}").json()["items"]) == 5


def test_answers_go_with_their_user(shop):
    answer = shop.recommend(user_id="u07", reasoning="none")
    shop.client.delete("/users/u07")
    assert shop.client.get(f"/explain/{answer['recommendation_id']}").status_code == 404


def test_a_scenario_is_kept_with_the_answer(shop):
    answer = shop.recommend(user_id="u08", reasoning="none", scenario="basket")
    assert shop.store.answers.get(answer["recommendation_id"]).scenario == "basket"


def numbers(shop):
    """Numbers of /metrics by name and labels."""
    lines = [line for line in shop.client.get("/metrics").text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_clicks_and_conversions_of_an_answer_are_counted(shop):
    answer = shop.recommend(user_id="u09", reasoning="none")
    about = {"user_id": "u09", "recommendation_id": answer["recommendation_id"]}
    before = numbers(shop)
    shop.tell(
        {**about, "type": "click", "event_id": "c"},
        {**about, "type": "purchase"},
        {**about, "type": "rating", "value": 5},
    )
    shop.tell(
        {**about, "type": "click", "event_id": "c"}, {"type": "click"}, {"type": "click", "recommendation_id": "none"}
    )
    after = numbers(shop)

    def more(name):
        return after[name] - before.get(name, 0)

    assert more('reckon_feedback_total{group="",kind="click",source="direct"}') == 1
    assert more('reckon_feedback_total{group="",kind="conversion",source="direct"}') == 1
    assert more('reckon_events_total{type="click"}') == 3


def test_the_numbers_tell_requests_answers_fallbacks_batches_and_tokens(shop):
    before = numbers(shop)
    shop.recommend(user_id="u10", reasoning="live")
    shop.recommend(user_id="nobody", reasoning="none")
    shop.client.get("/no such path/secret")
    after = numbers(shop)
    assert {name for name, value in after.items() if value > before.get(name, 0)} >= {
        'reckon_requests_total{method="POST",route="/recommend",status="200"}',
        'reckon_requests_total{method="",route="unknown",status="404"}',
        'reckon_request_seconds_count{route="/recommend"}',
        'reckon_answers_total{group="",source="live"}',
        'reckon_answers_total{group="",source="popular"}',
        'reckon_answer_seconds_count{source="live"}',
        'reckon_fallbacks_total{step="direct",why="the user has no history"}',
        'reckon_batch_rows_count{kind="live"}',
        "reckon_tokens_total",
    }
    assert "secret" not in str(after) and "u10" not in str(after)


@pytest.mark.parametrize("policy", ["fade", "keep"])
def test_seen_items_stay_or_fade_where_the_settings_say_so(tmp_path, policy):
    with serving.shop(tmp_path, recommend={"seen": policy, "fade_penalty": 1e4}) as shop:
        reply = shop.recommend(user_id="u01", reasoning="none", k=100)
        seen = {past.item_id for past in shop.service.past_of("u01")}
        assert set(ids(reply)) >= seen
        faded = set(ids(reply)[-len(seen) :]) == seen
        assert faded == (policy == "fade")
        assert ("seen" in reply["items"][0]["parts"]) == (policy == "fade")
