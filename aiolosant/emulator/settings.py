"""What can be set on an emulator while it serves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self, overload

from .faults import Fault
from .request_record import RequestRecord

Answerer = Callable[[RequestRecord], Fault | None]


class Setting:
    """A number that is checked when it is set.

    Args:
        default: What it is to begin with.
        may_be_none: Whether None is allowed.
        least: The smallest number that is allowed.
    """

    def __init__(self, default: float | None, *, may_be_none: bool = False, least: float = 0) -> None:
        self.default = default
        self._may_be_none = may_be_none
        self._least = least
        self._name = ""

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, _owner: type | None = None) -> Any:
        return self if instance is None else vars(instance).get(self._name, self.default)

    def __set__(self, instance: object, value: float | None) -> None:
        if value is None and self._may_be_none:
            vars(instance)[self._name] = None
            return
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not self._least <= value < math.inf:  # type: ignore[operator]  # a number here
            none = ", or None" if self._may_be_none else ""
            raise ValueError(f"{self._name} must be a number, {self._least:g} or more{none}, not {value!r}")
        vars(instance)[self._name] = value


class Hook:
    """A function that is checked when it is set; None for none."""

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, _owner: type | None = None) -> Self: ...

    @overload
    def __get__(self, instance: object, _owner: type | None = None) -> Answerer | None: ...

    def __get__(self, instance: object, _owner: type | None = None) -> Self | Answerer | None:
        return self if instance is None else vars(instance).get(self._name)

    def __set__(self, instance: object, value: Answerer | None) -> None:
        if value is not None and not callable(value):
            raise TypeError(f"{self._name} must be a function of a request, not {type(value).__name__}")
        vars(instance)[self._name] = value
