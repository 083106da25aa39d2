"""Traces on the rated shelf as a perfect teacher would leave them, written in code."""

import json

from reckon.data.ratings import rating_examples
from reckon.teachers.files import TraceSummary, write_traces
from support.rated_shelf import reply


def write_right_traces(path, data, count=24):
    """The right reply to each of the first training rows, as a directory of `reckon traces make`."""
    path.mkdir()
    kept = [
        {
            "row": row,
            "user_id": example.user_id,
            "item_id": data.catalog.ids[example.item_index],
            "time": example.time,
            "rating": example.rating,
            "prompt": json.dumps([{"role": "user", "content": "what the teacher read"}]),
            "reply": reply(example.rating),
            "predicted": example.rating,
            "attempt": 1,
            "hinted": False,
        }
        for row, example in enumerate(rating_examples(data, "train").subset(list(range(count))))
    ]
    counts = {
        "asked": count,
        "kept": count,
        "kept_hinted": 0,
        "unchecked": 0,
        "dropped": {},
        "requests": count,
        "prompt_tokens": 0,
    }
    summary = TraceSummary(**counts, completion_tokens=0, uncounted=0, cost=None, unmatched=0)
    write_traces(path, kept, [], summary, {"data": data.checksum, "split": data.protocol})
