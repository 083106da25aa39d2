import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reckon.data import Dataset
from reckon.data.prepare.prepare import prepare
from reckon.data.sources.table import Table
from reckon.errors import DataError

START = 1_500_000_000


@pytest.fixture
def load_times(tmp_path, csv_file):
    """Prepare one user's events with these times; the stored seconds, oldest first."""

    def load(times, **settings):
        rows = [("u", f"i{number}", time) for number, time in enumerate(times)]
        path = csv_file("events.csv", ("user_id", "item_id", "timestamp"), rows)
        dataset = Dataset.load(prepare(Table(interactions=str(path), **settings), tmp_path / "out"))
        return dataset.events.time.tolist()

    return load


EXPECTED = [START + step for step in range(20)]


@pytest.mark.parametrize(
    ("write"),
    [
        lambda second: second,
        lambda second: second * 1000 + 7,
        lambda second: second * 1_000_000 + 7,
        lambda second: second * 1_000_000_000 + 7,
        lambda second: f"{second}.25",
        lambda second: f"2017-07-14T02:40:{second - START:02d}Z",
        lambda second: f"2017-07-14 04:40:{second - START:02d}+02:00",
    ],
    ids=["seconds", "milliseconds", "microseconds", "nanoseconds", "fractions", "utc text", "zoned text"],
)
def test_every_usual_form_becomes_seconds(load_times, write):
    assert load_times([write(second) for second in EXPECTED]) == EXPECTED


def test_events_within_one_second_keep_their_order(tmp_path, csv_file):
    rows = [("u", f"i{number:02d}", START * 1000 + number) for number in reversed(range(20))]
    rows += [("v", f"i{number:02d}", (START + number) * 1000) for number in range(20)]
    path = csv_file("events.csv", ("user_id", "item_id", "timestamp"), rows)
    dataset = Dataset.load(prepare(Table(interactions=str(path)), tmp_path / "out", split="leave-one-out"))
    mine = dataset.events.item_index[dataset.user_index == 0]
    assert [dataset.catalog.ids[index] for index in mine] == [f"i{number:02d}" for number in range(20)]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (-5, "row 8: '-5' is before 1970"),
        ("", "row 8: empty is not a time"),
        ("soon", "row 8: 'soon' is not a time"),
        ("nan", "row 8: 'nan' is not a time"),
        (START * 1000, "too small for the unit ms"),
    ],
)
def test_a_bad_time_is_named_by_file_field_and_row(load_times, tmp_path, bad, message):
    times = [*EXPECTED]
    times[7] = bad
    with pytest.raises(DataError, match=message) as caught:
        load_times(times)
    assert "events.csv, field timestamp" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_wrong_date_among_dates_is_named(load_times):
    with pytest.raises(DataError, match="row 3: '2017-02-30' is not a time"):
        load_times(["2017-02-27", "2017-02-28", "2017-02-30", "2017-03-01"])


def test_row_numbers_are_not_taken_for_times(load_times):
    with pytest.raises(DataError, match="position"):
        load_times(range(20))


def test_a_wrong_unit_is_noticed(load_times):
    with pytest.raises(DataError, match="after the year 2200 in unit s"):
        load_times([second * 1000 for second in EXPECTED], time_unit="s")


def prepare_float32(tmp_path, times):
    """Prepare a Parquet table of one user's events whose times are float32."""
    ids = [f"i{number}" for number in range(len(times))]
    columns = {"user_id": ["u"] * len(times), "item_id": ids, "timestamp": pa.array(np.float32(times))}
    pq.write_table(pa.table(columns), tmp_path / "events.parquet")
    source = Table(interactions=str(tmp_path / "events.parquet"))
    return Dataset.load(prepare(source, tmp_path / "out")).events.time.tolist()


def test_float32_times_that_tie_events_of_a_user_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"float32, which rounds times: 3 rows .* int64"):
        prepare_float32(tmp_path, [START, START + 10, START + 20])


def test_float32_times_that_keep_the_order_are_read(tmp_path):
    times = [START + 1024 * step for step in range(20)]
    assert prepare_float32(tmp_path, times) == np.float32(times).astype(int).tolist()


def test_float32_days_may_tie(tmp_path):
    times = [(START // 86_400 + step // 2) * 86_400 for step in range(20)]
    assert prepare_float32(tmp_path, times) == times
