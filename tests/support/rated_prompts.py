"""A catalog of three books and examples of ratings, made by hand: what the tests of the rating prompt show."""

from reckon.data.ratings import Rated, RatingExample
from reckon.data.scale import Scale

STARS = Scale(1, 5, 1)
HALVES = Scale(0.5, 5, 0.5)
WORDS = {"item": "book", "items": "books", "action": "read"}


class Shelf:
    """A catalog of a few books."""

    def __init__(self, *records):
        self.records = [{"item_id": f"b{n}", **record} for n, record in enumerate(records)]
        self.titles = [record["title"] for record in self.records]

    def record(self, index):
        return self.records[index]


CATALOG = Shelf(
    {"title": "The Quiet Harbour", "genre": "sea"},
    {"title": "The Black Tide", "genre": "crime"},
    {"title": "Calm Sea", "genre": "sea", "pages": 210},
)


def rated(item, rating, summary="", text="", user="other", when=1):
    return Rated(user_id=user, item_index=item, rating=rating, time=when, summary=summary, text=text)


def example(user_history=(), item_history=(), user_mean=None, item_mean=None, item=2, rating=5.0):
    return RatingExample(
        user_id="ann",
        item_index=item,
        user_history=tuple(user_history),
        item_history=tuple(item_history),
        user_mean=user_mean,
        item_mean=item_mean,
        rating=rating,
        time=9,
    )


EXAMPLE = example(
    [rated(0, 4.0, "Lovely", "I read it twice.", "ann"), rated(1, 2.0, "", "Too dark for me", "ann")],
    [rated(2, 3.5, "Slow.", "Nothing happens", "bob"), rated(2, 5.0, "", "", "cat")],
    user_mean=3.04,
    item_mean=4.25,
)
NEWCOMER = example()
