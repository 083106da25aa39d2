"""A rating prompt within a token budget: the order of cuts."""

from dataclasses import replace

import pytest
from support.rated_prompts import CATALOG, NEWCOMER, STARS, WORDS, example, rated
from support.tiny import tokenizer

from reckon.errors import ConfigError
from reckon.prompts import render
from reckon.prompts.rating import fitted_prompt, rating_messages
from reckon.prompts.rating_reply import TAGS

LONG = example(
    [rated(n % 2, 1 + n % 5, f"summary {n}", "dark tide " * 30, "ann") for n in range(10)],
    [rated(2, 1 + n % 5, f"opinion {n}", "calm sea " * 20) for n in range(10)],
    user_mean=3.0,
    item_mean=3.0,
)
TEMPLATE = "{% for message in messages %}<|u|>{{ message['content'] }}{% endfor %}<|a|>"


def fit(max_tokens, example=LONG, style="instruct", template=None, **settings):
    return fitted_prompt(
        example,
        CATALOG,
        WORDS,
        STARS,
        tokenizer(chat_template=template),
        style=style,
        max_tokens=max_tokens,
        **settings,
    )


def test_a_prompt_that_fits_is_the_whole_prompt():
    fitted = fit(100_000)
    assert fitted.messages == rating_messages(LONG, CATALOG, WORDS, STARS)
    assert fitted.text == render(fitted.messages, tokenizer())
    assert fitted.ids == tokenizer().encode(fitted.text)
    assert (fitted.dropped_reviews, fitted.cut_texts) == (0, 0)


@pytest.mark.parametrize("template", [None, TEMPLATE], ids=["plain", "template"])
@pytest.mark.parametrize("style", ["instruct", "brief", "compact"])
def test_a_prompt_never_exceeds_its_budget_and_never_loses_the_item(style, template):
    bare = replace(LONG, user_history=(), item_history=())
    least = len(fit(100_000, bare, style, template).ids)  # with two lines of `nothing yet`, which LONG needs not
    for budget in range(least, len(fit(100_000, style=style, template=template).ids) + 50, 37):
        fitted = fit(budget, style=style, template=template)
        assert len(fitted.ids) <= budget
        assert "Calm Sea. genre: sea. pages: 210" in fitted.text
        if style == "compact":
            assert "rate [Calm Sea]" in fitted.text
        else:  # `brief` has the tags in an example's instruction and reply, too
            assert all(fitted.text.count(tag) == (3 if style == "brief" else 1) for tag in TAGS)


def test_reviews_are_shortened_before_a_rating_is_dropped():
    ratings_alone = len(fit(100_000, review_words=0).ids)
    fitted = fit(ratings_alone)
    assert (fitted.dropped_reviews, fitted.cut_texts) == (0, 20)
    assert fitted.text == fit(100_000, review_words=0).text
    halfway = fit((ratings_alone + len(fit(100_000).ids)) // 2)
    assert halfway.dropped_reviews == 0 and 0 < halfway.cut_texts <= 20
    assert "summary 0" in halfway.text


def test_others_ratings_are_dropped_before_the_users_oldest_first():
    ratings_alone = len(fit(100_000, review_words=0).ids)
    dropped, texts = [], []
    for budget in range(ratings_alone, ratings_alone - 260, -1):
        try:
            fitted = fit(budget)
        except ConfigError:
            break
        dropped.append(fitted.dropped_reviews)
        texts.append(fitted.text)
    assert dropped == sorted(dropped) and dropped[-1] == 20
    five = texts[dropped.index(5)].splitlines()
    others = five[five.index("How other users rated this book, oldest first:") + 1 :][:5]
    assert others == ["1", "2", "3", "4", "5"]  # ratings 5 .. 9 of 0 .. 9
    assert sum(line.startswith("[The") for line in five) == 10
    fifteen = texts[dropped.index(15)].splitlines()
    assert fifteen[fifteen.index("How other users rated this book, oldest first:") + 1].startswith("Mean of all")
    assert sum(line.startswith("[The") for line in fifteen) == 5
    assert fifteen.count("Mean of all ratings it got before: 3.00") == 1
    assert "nothing yet" not in texts[-1]


def test_a_prompt_keeps_as_much_as_fits():
    budget = (len(fit(100_000, review_words=0).ids) + len(fit(100_000).ids)) // 2
    fitted = fit(budget)
    words = max(line.count("dark") + line.count("tide") + 2 for line in fitted.text.splitlines())  # of the summary: 2
    assert len(fit(100_000, review_words=words).ids) <= budget < len(fit(100_000, review_words=words + 1).ids)


@pytest.mark.parametrize("style", ["instruct", "brief", "compact"])
def test_an_item_that_does_not_fit_alone_is_an_error_that_names_the_budget(style):
    with pytest.raises(ConfigError, match=r"prompt\.max_tokens = 20.*Calm Sea"):
        fit(20, style=style)
    with pytest.raises(ConfigError, match=r"prompt\.max_tokens"):
        fit(20, NEWCOMER, style)
