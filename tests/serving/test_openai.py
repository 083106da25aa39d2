"""The unmodified OpenAI client reads the ranked list and the reasoning."""

import json

import openai
import pytest
from support import serving

from reckon.serving.models.worker import FullQueue

TITLES = "The Quiet Harbour; Calm Sea"


@pytest.fixture(scope="module")
def client(shop):
    with (
        serving.server(shop.app) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


def ask(client, content=TITLES, **more):
    return client.chat.completions.create(model="shelf", messages=[{"role": "user", "content": content}], **more)


def test_the_runs_are_models(client):
    assert [model.id for model in client.models.list()] == ["shelf"]


def test_the_reply_is_the_ranked_list_with_the_reasoning_in_both_fields(shop, client):
    message = ask(client).choices[0].message
    expected = shop.recommend(history=["b00", "b02"], reasoning="live")
    lines = [f"{rank}. {item['title']} [{item['id']}]" for rank, item in enumerate(expected["items"], start=1)]
    assert message.content.splitlines() == lines and message.role == "assistant"
    assert message.reasoning == message.reasoning_content == expected["reasoning"]["text"]


def test_a_stream_gives_the_reasoning_in_pieces_and_then_the_list(client):
    plain = ask(client)
    chunks = list(ask(client, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    reasoning = [delta.reasoning for delta in deltas if getattr(delta, "reasoning", None)]
    assert len(reasoning) > 3 and "".join(reasoning) == plain.choices[0].message.reasoning
    assert reasoning == [delta.reasoning_content for delta in deltas if getattr(delta, "reasoning_content", None)]
    assert "".join(delta.content or "" for delta in deltas) == plain.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop" and len(
        {chunk.id for chunk in chunks}
    ) == 1


def test_the_tokens_of_the_reply_are_counted(client):
    usage = ask(client).usage
    last = list(ask(client, stream=True, stream_options={"include_usage": True}))[-1]
    assert 0 < usage.completion_tokens <= serving.TOKENS
    assert last.choices == [] and last.usage == usage


def test_the_last_user_turn_is_the_history(client):
    turns = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "b05"}]
    turns += [{"role": "assistant", "content": "1. x"}, {"role": "user", "content": TITLES}]
    reply = client.chat.completions.create(model="shelf", messages=turns, temperature=0.7, max_tokens=5)
    assert reply.choices[0].message.content == ask(client).choices[0].message.content


@pytest.mark.parametrize(
    "content",
    [
        "b00; b02",
        "b00\nb02",
        "the quiet harbour ;CALM  SEA",
        [{"type": "text", "text": "b00"}, {"type": "text", "text": "b02"}],
    ],
    ids=str,
)
def test_a_history_is_ids_or_titles_by_semicolons_or_lines(client, content):
    assert ask(client, content).choices[0].message.content == ask(client).choices[0].message.content


def test_a_history_longer_than_is_read_counts_by_its_latest_items(client):
    assert ask(client, "b05;" * 15_000 + TITLES).choices[0].message.content


def test_an_unknown_model_is_404_and_names_the_known(client):
    with pytest.raises(openai.NotFoundError, match="use shelf"):
        client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": TITLES}])


@pytest.mark.parametrize(
    "content", ["The Quiet Harbor", "", "  ;; ", [{"type": "image_url", "image_url": {"url": "x"}}]]
)
def test_a_history_that_is_none_has_an_error_in_the_shape_of_openai(client, content):
    with pytest.raises(openai.UnprocessableEntityError) as error:
        ask(client, content)
    assert error.value.body["type"] == "invalid_request_error" and error.value.body["message"]


def test_an_unknown_title_names_the_nearest(client):
    with pytest.raises(openai.UnprocessableEntityError, match="The Quiet Harbour"):
        ask(client, "The Quiet Harbor")


def test_a_failure_within_a_stream_reaches_the_client(shop, client, monkeypatch):
    def full(*_, **__):
        raise FullQueue("many requests wait for the model. Fix: ask again in a moment.")

    monkeypatch.setattr(shop.service.worker, "reply", full)
    with pytest.raises(openai.RateLimitError):
        ask(client)
    with pytest.raises(openai.APIError, match="ask again"):
        list(ask(client, stream=True))


def test_a_stream_is_data_lines_that_end_with_done(shop):
    body = {"model": "shelf", "messages": [{"role": "user", "content": TITLES}], "stream": True}
    lines = [line for line in shop.client.post("/v1/chat/completions", json=body).text.splitlines() if line]
    assert all(line.startswith("data: ") for line in lines) and lines[-1] == "data: [DONE]"
    assert all(json.loads(line[6:])["object"] == "chat.completion.chunk" for line in lines[:-1])
