"""The learning rate of an update as a share of its peak."""


def rate_share(step: int, warmup: int, updates: int | None = None) -> float:
    """Linear warm-up, then the peak, or linear decay to nothing.

    Args:
        step: updates done before this one. The first has a share above 0: an update that moves nothing is wasted.
        warmup: the update that reaches the peak, counted from 1; 0 begins at the peak.
        updates: of the whole training, for the decay; None keeps the peak.
    """
    rising = (step + 1) / max(1, warmup)
    falling = 1.0 if updates is None else max(0.0, (updates - step) / max(1, updates - warmup))
    return min(1.0, rising, falling)
