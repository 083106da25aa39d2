"""`reckon recommend RUN --rate ITEM`: the steps of the reasoning, then the rating; one clear line for each mistake."""

import pytest
from support import rated_shelf
from typer.testing import CliRunner

from reckon.cli import app
from reckon.methods.reczero.model import RecZeroModel

GOOD = rated_shelf.reply(4, match="[bold]calm suits[/bold]")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("rating")
    data = rated_shelf.dataset(path / "data")
    rated_shelf.predictor(path / "backbone", data).fit(data, path / "run")
    return path / "run"


@pytest.fixture
def recommend(trained, monkeypatch):
    """Run the command; every reply is the given text."""

    def run(*arguments, code=0, replies=(GOOD,)):
        def written(self, rollouts):
            return [replies[n % len(replies)] for n in range(len(rollouts))]

        monkeypatch.setattr(RecZeroModel, "replies", written)
        result = CliRunner().invoke(app, ["recommend", str(trained), *arguments])
        assert result.exit_code == code, result.output
        return result

    return run


def test_a_user_gets_the_steps_and_the_rating(recommend):
    out = recommend("--rate", "the quiet harbour", "--user", "u03").output
    assert "Note 5. it was <b>calm</b> & read by 3" in " ".join(out.split())
    assert "The Quiet Harbour  rated by others" in out
    for heading in ("The user", "For the item", "Against it", "The match", "Rating"):
        assert heading in out
    assert "[bold]calm suits[/bold]" in out  # the model's text is text, not markup
    assert "Predicted rating: 4 on a scale of 1 to 5." in out


def test_a_typed_history_and_an_item_id_work_too(recommend):
    out = recommend("--rate", "b00", "--history", "calm sea=4; b03 = 2.5").output
    rows = [line.split() for line in out.splitlines() if line.strip().startswith(("4 ", "2.5 "))]
    assert rows == [["4", "Calm", "Sea"], ["2.5", "Dark", "Crime"]]
    assert "The Quiet Harbour" in out and "Predicted rating: 4" in out


def test_several_samples_give_the_mean_and_its_spread(recommend):
    replies = [rated_shelf.reply(3), "nothing", rated_shelf.reply(5)]
    out = recommend("--rate", "Calm Sea", "--user", "u03", "--samples", "3", replies=replies).output
    assert "rating: 4 on a scale of 1 to 5, the mean of 2 of 3 replies; spread 1.41." in " ".join(out.split())
    assert "the first of 3" in out


def test_a_reply_of_the_wrong_form_is_shown_as_it_is_and_named(recommend):
    out = recommend("--rate", "Calm Sea", "--user", "u03", replies=["<analyze user>[red]so"]).output
    assert "<analyze user>[red]so" in out
    assert "No rating: the reply has a wrong form (unclosed analyze user)." in out


def test_an_item_that_the_user_rated_already_is_said(recommend):
    assert "already" in recommend("--rate", "b08", "--user", "u03").output
    assert "already" not in recommend("--rate", "b01", "--user", "u03").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--user", "u03"), "--rate ITEM"),
        (("--rate", "Calm Sea", "--user", "u03", "-k", "5"), "ranks no items"),
        (("--rate", "Calm Sea", "--user", "u03", "--stream"), "ranks no items"),
        (("--rate", "The Quite Harbor", "--user", "u03"), "did you mean 'The Quiet Harbour'"),
        (("--rate", "Calm Sea; Dark Crime", "--user", "u03"), "names 2 items"),
        (("--rate", "Calm Sea", "--user", "u3"), "nearest ids: u13, u03"),
        (("--rate", "Calm Sea", "--history", "Dark Crime"), "title=rating"),
        (("--rate", "Calm Sea", "--history", "Dark Crime; Calm Sea=2"), "titles without a rating"),
        (("--rate", "Calm Sea", "--history", "Dark Crime=6"), "is not on the scale of 1 to 5"),
        (("--rate", "Calm Sea", "--history", " "), "holds no rating"),
        (("--rate", "Calm Sea", "--history", "Dark Crim=2"), "did you mean 'Dark Crime'"),
        (("--rate", "Calm Sea", "--user", "u03", "--data", "nowhere"), "does not exist"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_is_one_line(recommend, arguments, message):
    result = recommend(*arguments, code=2)
    assert message in result.stderr and result.stderr.count("\n") == 1
