"""What an evaluation was of, for tests of pages: every text of it the same."""

from reckon.evaluation.result import About, SampledGroup, SampledReply


def about(text="run", histories=None, facts=None, group=True):
    """An `About` whose texts are all `text`."""
    replies = [SampledReply(text, 0.75, 0.25, "stop"), SampledReply(text, 0.25, -0.25, "length")]
    return About(
        method=text,
        run=text,
        data=text,
        source=text,
        split="test",
        rows=100,
        catalog_size=100,
        commands=[f"reckon evaluate {text}"],
        facts=facts or {text: text, "config": f"training:\n  name: {text}"},
        histories=histories or {},
        group=SampledGroup(7, text, replies) if group else None,
        seconds=1.5,
    )
