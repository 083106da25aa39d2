"""Dataset directories: prepare them from a source, load them, and get examples of each split."""

from reckon.data.dataset import Catalog, Dataset
from reckon.data.examples import Event, EventLog, Example, Examples

__all__ = ["Catalog", "Dataset", "Event", "EventLog", "Example", "Examples"]
