"""An item as text, for the item prompt that the rec head's rows are read from.

Entry point: `item_text`. Fields come in the column order of `items.parquet`, so the text is the same on every
run and machine; building it from a set or a dict of unknown order would change with the hash seed.
"""

from collections.abc import Mapping
from typing import Any

NOT_TEXT = ("item_id", "title")


def item_text(record: Mapping[str, Any], max_words: int = 64) -> str:
    """One item as `title. field: value. …`, the title first.

    Args:
        record: the item's columns in file order (`Catalog.record`). Empty values are left out.
        max_words: words of the other fields that are kept, >= 0; 0 is the title alone, which is never cut.

    Source: R2ec (arXiv 2505.16994) section 3.1, item prompt.
    """
    fields = []
    for name, value in record.items():
        if name in NOT_TEXT or value is None or value == "" or value == []:
            continue
        if isinstance(value, list):
            value = ", ".join(str(part) for part in value)
        elif isinstance(value, float):
            value = f"{value:g}"
        fields.append(f"{name.replace('_', ' ')}: {value}")
    title = " ".join(str(record["title"] or "untitled").split())
    rest = " ".join(". ".join(fields).split()[:max_words])
    return f"{title}. {rest}" if rest else title
