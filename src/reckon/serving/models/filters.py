"""Filters on item columns: a small safe expression, e.g. `genre == "sea" and price < 10`.

Entry point: `Filter.parse`, then `mask`. An expression has comparisons of a column with a value or values (`==`, `!=`,
`<`, `<=`, `>`, `>=`, `in`, `not in`), joined by `and`, `or`, `not` and brackets. Nothing else is accepted, and nothing
of it is executed. A comparison with an empty cell is false.
"""

import ast
import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reckon.errors import ConfigError

LONGEST = 2_000  # characters of an expression
DEEPEST = 32  # nested brackets
COMPARISONS = {
    ast.Eq: pc.equal,
    ast.NotEq: pc.not_equal,
    ast.Lt: pc.less,
    ast.LtE: pc.less_equal,
    ast.Gt: pc.greater,
    ast.GtE: pc.greater_equal,
}
FIX = 'use comparisons such as `genre == "sea" and price < 10`'


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed expression."""

    text: str
    _tree: ast.expr

    @classmethod
    def parse(cls, text: str) -> "Filter":
        """Read an expression.

        Raises:
            ConfigError: it is none.
        """
        if len(text) > LONGEST:
            raise ConfigError("filter", text[:20] + "…", f"has more than {LONGEST:,} characters", FIX)
        text = text.strip()
        try:
            tree = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise ConfigError("filter", text, "is no expression", FIX) from None
        _check(tree, text, 0)
        return cls(text, tree)

    def mask(self, items: pa.Table) -> np.ndarray:
        """[I] True where an item fits.

        Raises:
            ConfigError: a column is unknown, or its values have another type.
        """
        found = _evaluate(self._tree, items, self.text)
        return np.asarray(found.fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)


def _check(node: ast.expr, text: str, depth: int) -> None:
    if depth > DEEPEST:
        raise ConfigError("filter", text, f"has brackets deeper than {DEEPEST}", FIX)
    match node:
        case ast.BoolOp(values=values):
            for part in values:
                _check(part, text, depth + 1)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _check(operand, text, depth + 1)
        case ast.Compare(left=ast.Name(), ops=[ast.In() | ast.NotIn()], comparators=[ast.List(elts=values)]):
            for value in values:
                _value(value, text)
        case ast.Compare(left=ast.Name(), ops=[op], comparators=[value]) if type(op) in COMPARISONS:
            _value(value, text)
        case _:
            raise ConfigError("filter", text, f"has a part that is no comparison ({_source(node, text)})", FIX)


def _value(node: ast.expr, text: str) -> str | float | int | bool:
    match node:
        case ast.Constant(value=str() as word) if not any("\ud800" <= char <= "\udfff" for char in word):
            return word
        case ast.Constant(value=int() | float() | bool() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
    raise ConfigError("filter", text, f"compares with {_source(node, text)}, which is no text or number", FIX)


def _source(node: ast.expr, text: str) -> str:
    """What was typed there. `ast.unparse` would fail on deep nesting."""
    return ast.get_source_segment(text, node) or ""


def _evaluate(node: ast.expr, items: pa.Table, text: str) -> Any:
    match node:
        case ast.BoolOp(op=op, values=values):
            join = pc.and_kleene if isinstance(op, ast.And) else pc.or_kleene
            found = [_evaluate(value, items, text).fill_null(False) for value in values]
            result = found[0]
            for part in found[1:]:
                result = join(result, part)
            return result
        case ast.UnaryOp(operand=operand):
            return pc.invert(_evaluate(operand, items, text).fill_null(False))
        case ast.Compare(left=ast.Name(id=name), ops=[op], comparators=[right]):
            column = _column(name, items, text)
            try:
                if isinstance(right, ast.List):
                    values = pa.array([_value(value, text) for value in right.elts], column.type)
                    found = pc.and_(pc.is_in(column, value_set=values), pc.is_valid(column))
                    return found if isinstance(op, ast.In) else pc.and_(pc.invert(found), pc.is_valid(column))
                return COMPARISONS[type(op)](column, pa.scalar(_value(right, text)))
            except (pa.ArrowException, OverflowError):
                rule = f"compares {name}, a column of {column.type}, with {_source(right, text)}"
                raise ConfigError("filter", text, rule, "compare text with text, numbers with numbers") from None
    raise AssertionError("checked by parse")


def _column(name: str, items: pa.Table, text: str) -> Any:
    if items.column_names.count(name) != 1:
        near = difflib.get_close_matches(name, items.column_names, n=1)
        fix = f"did you mean {near[0]}" if near else f"use one of {', '.join(items.column_names[:10])}"
        raise ConfigError("filter", text, f"names the column {name}, which items do not have", fix)
    column = items[name]
    return pc.cast(column, pa.string()) if pa.types.is_dictionary(column.type) else column
