"""What a reader yields: one row, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs


@attrs.frozen
class Row:
    """One record as it was read.

    Attributes:
        place: Where, such as `line 7`.
        fields: The group in the API's shape.
        problem: What is wrong with it; "" for nothing.
        more: Other attributes of the `Record`.
    """

    place: str
    fields: Mapping[str, Any] = attrs.field(factory=dict)
    problem: str = ""
    more: Mapping[str, Any] = attrs.field(factory=dict)


Rows = Iterator[Row]
