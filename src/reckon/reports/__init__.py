"""Pages, charts and tables: they show what evaluation and comparison computed, and compute nothing."""
