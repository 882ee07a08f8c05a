"""What is never shown: secrets, wherever they turn up.

Two nets hold them back. Values of keys that sound secret are masked, and so is every known secret value wherever it turns up inside
a text (a URL in an exception, say): `conceal` is called with each SecretStr of the settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

MASK = "***"
_SECRET_KEY = re.compile(r"pass(word|wd)?$|secret|token|authorization|api_?key|private_?key|cookie|credential", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):([^@/\s]+)@")
_SHORTEST = 6  # masking shorter values would blot out ordinary words
_concealed: set[str] = set()


def conceal(values: Iterable[str]) -> None:
    """Mask these values from now on, wherever they appear."""
    _concealed.update(value for value in values if len(value) >= _SHORTEST)


def sounds_secret(key: str) -> bool:
    """Whether a value of that name is held back."""
    return _SECRET_KEY.search(key) is not None


def clean(value: Any) -> Any:
    """A value without secrets, whatever its shape."""
    if isinstance(value, str):
        for secret in _concealed:
            value = value.replace(secret, MASK)
        return _URL_PASSWORD.sub(rf"\1:{MASK}@", value)
    if isinstance(value, dict):
        return {key: MASK if sounds_secret(str(key)) and item is not None else clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(clean(item) for item in value) if type(value) in {list, tuple} else clean(list(value))
    if isinstance(value, bytes):
        return clean(value.decode(errors="replace"))
    if isinstance(value, BaseException):
        return clean(f"{type(value).__name__}: {value}")
    return value
