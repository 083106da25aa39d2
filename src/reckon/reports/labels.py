"""Names and numbers as tables, tiles and charts write them.

Entry points: `metric_label` and `rate_label` for names; `format_rate`, `format_interval`, `signed` and `format_p` for
numbers.
"""

SHARES = ("truncated", "parsed", "finished")  # rates that are shares of replies; so is every name ending in _rate
LABELS = {"hit": "Hit", "ndcg": "NDCG", "mrr": "MRR", "mae": "MAE", "rmse": "RMSE", "parse_rate": "parse rate"}


def metric_label(metric: str) -> str:
    """`hit@5` as it is written in tables and charts: `Hit@5`."""
    name, _, cutoff = metric.partition("@")
    label = LABELS.get(name, name.capitalize())
    return f"{label}@{cutoff}" if cutoff else label


def rate_label(rate: str) -> str:
    """`reply_length` as `reply length`."""
    return rate.replace("_", " ").replace("/", " ")


def format_rate(rate: str, value: float) -> str:
    """A share as a percentage, any other rate with three significant digits."""
    return f"{value:.1%}" if rate in SHARES or rate.endswith("_rate") else f"{value:.3g}"


def format_interval(lo: float, hi: float) -> str:
    """0.381 and 0.443 as `.381–.443`: six of them have to fit a terminal of 80 columns."""
    return "–".join(f"{bound:.3f}".removeprefix("0") for bound in (lo, hi))


def signed(difference: float) -> str:
    """A difference with its sign, and a true minus."""
    return f"{difference:+.3f}".replace("-", "−")


def format_p(p_value: float) -> str:
    """Three decimals; what 2,000 resamples cannot tell from zero is said so."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"
