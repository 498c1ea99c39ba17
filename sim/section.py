"""What every part of a config has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
"""What a file or folder is named after."""
PoolName = Annotated[str, Field(pattern=r"^[^/\x00-\x1f]+$", max_length=100)]
"""What a file is named after, with more before it."""


class Section(BaseModel):
    """A part of the config: frozen; an unknown key, and an infinite number or NaN, is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)
