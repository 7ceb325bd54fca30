"""Documented messages of the API, as bytes off the wire."""

import json
from pathlib import Path
from typing import Any


def sample(name: str) -> bytes:
    return Path(__file__).with_name(f"{name}.json").read_bytes()


def sample_object(name: str) -> Any:
    return json.loads(sample(name))
