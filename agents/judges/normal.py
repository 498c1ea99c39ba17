"""Text as the rules read it: one form for what people write in many, and its words, sentences and stems.

Two ways to write the same thing give the same normal form: quotes, dashes, full-width and Arabic digits, invisible
characters, HTML entities, markdown and LaTeX. Superscripts and fractions are read before Unicode compatibility would
flatten them: `10²` becomes `10^2`, not `102`; `½` becomes `1/2`. Words are those of Unicode (UAX 29); a script that is
written without blanks gives one word a character. Stems are Snowball's where it knows the language.

Invariant: pure, never raises, and `normalised(normalised(text)) == normalised(text)` up to blanks.
"""

from __future__ import annotations

import html
import unicodedata
from functools import lru_cache
from importlib.resources import files

import regex
import snowballstemmer
import yaml

STOP: dict[str, frozenset[str]] = {
    language: frozenset(str(listed).split())
    for language, listed in yaml.safe_load(files("agents").joinpath("data/stop_words.yaml").read_text("utf-8")).items()
}
"""By language, the words that carry no meaning of their own; in other languages every word carries some."""
SNOWBALL = {
    "ar": "arabic", "hy": "armenian", "eu": "basque", "ca": "catalan", "da": "danish", "nl": "dutch", "en": "english",
    "eo": "esperanto", "et": "estonian", "fi": "finnish", "fr": "french", "de": "german", "el": "greek", "hi": "hindi",
    "hu": "hungarian", "id": "indonesian", "ga": "irish", "it": "italian", "lt": "lithuanian", "ne": "nepali",
    "no": "norwegian", "nb": "norwegian", "nn": "norwegian", "pl": "polish", "pt": "portuguese", "ro": "romanian",
    "ru": "russian", "sr": "serbian", "es": "spanish", "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
"""Languages with a stemmer, by their two-letter code."""
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱ", "0123456789+-()ni")
"""Raised characters and what they stand for."""
_RAISED = regex.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ]+")
_INVISIBLE = regex.compile(r"[\p{Cf}\u034f\u115f\u1160\u17b4\u17b5\u3164\ufe00-\ufe0f]+")
_SIGNS = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′`´ʼ＇", "'"),
        **dict.fromkeys("“”„‟″«»", '"'),
        **dict.fromkeys("‐‑‒–—―−﹣－", "-"),
        **dict.fromkeys("∙⋅·•", "·"),
        "⁄": "/",
        "∕": "/",
        "÷": "/",
        "∶": ":",
        "…": "...",
        "\u00a0": " ",
        "\u2009": " ",
        "\u202f": " ",
    }
)
_WORD_BREAK = regex.compile(r"(?V1w)\b")
_IN_WORD = regex.compile(r"[\p{L}\p{N}]")
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
_SENTENCE_END = regex.compile(r"""[\p{Sentence_Terminal}⸮]+["')\]»”’*_]*|\n+""")
_NOT_AN_END = regex.compile(
    r"\b(?:etc|vs|cf|approx|Dr|Mr|Mrs|Ms|Prof|Fig|Eq|bzw|usw|ca|p\. ex|др|\p{L}(?:\.\s?\p{L})+)$",
    regex.IGNORECASE,
)
_ELISION = regex.compile(r"^(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu|dell|nell|sull|all|dall|un)'(?=\p{L})")


@lru_cache(maxsize=16384)
def normalised(text: str) -> str:
    """The text in its normal form; case, words and sentence marks stay as they are."""
    if text.isascii() and not _MARKED.search(text):
        return text
    text = html.unescape(text)
    text = _RAISED.sub(lambda found: _raised(found.group()), text)
    text = "".join(_vulgar(text) if _has_vulgar(text) else text)
    text = _INVISIBLE.sub("", text).translate(_SIGNS)
    text = unicodedata.normalize("NFKC", text).translate(_SIGNS)
    text = "".join(str(unicodedata.decimal(c)) if c > "\x7f" and c.isdecimal() else c for c in text)
    return _without_markdown(_without_latex(text))


_MARKED = regex.compile(r"[\\$*_`~#<&^|\[]")


def _raised(found: str) -> str:
    inside = found.translate(SUPERSCRIPTS)
    return f"^{inside}" if regex.fullmatch(r"-?\w|[+-]", inside) else f"^({inside})"


def _has_vulgar(text: str) -> bool:
    return any(unicodedata.decomposition(c).startswith("<fraction>") for c in text if c > "\x7f")


def _vulgar(text: str) -> str:
    """The text with `½` as ` 1/2`, so that `1½` is read as one and a half."""
    out: list[str] = []
    for c in text:
        if unicodedata.decomposition(c).startswith("<fraction>"):
            plain = unicodedata.normalize("NFKC", c).replace("⁄", "/")
            out.append(" " * bool(out and out[-1][-1].isdecimal()) + plain)
        else:
            out.append(c)
    return "".join(out)


_MATH = regex.compile(r"\$\$(.+?)\$\$|\$(?! )([^$\n]*?)(?<! )\$(?!\d)|\\\((.+?)\\\)|\\\[(.+?)\\\]", regex.DOTALL)
_FRAC = regex.compile(r"\\[dtc]?frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))")
_WRAP = regex.compile(
    r"\\(?:boxed|fbox|text|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|operatorname|emph|bm|underline|overline|"
    r"ce|si|mbox)\s*\{([^{}]*)\}"
)
_COMMANDS = {
    "times": "×", "cdot": "·", "div": "/", "pm": "±", "leq": "≤", "le": "≤", "leqslant": "≤", "geq": "≥", "ge": "≥",
    "geqslant": "≥", "neq": "≠", "ne": "≠", "lt": "<", "gt": ">", "approx": "≈", "sim": "~", "infty": "∞", "pi": "π",
    "degree": "°", "circ": "°", "to": "→", "rightarrow": "→", "Rightarrow": "⇒", "therefore": "∴", "alpha": "α",
    "beta": "β", "gamma": "γ", "theta": "θ", "lambda": "λ", "mu": "μ", "rho": "ρ", "sigma": "σ", "omega": "ω",
    "Delta": "Δ", "Omega": "Ω", "sqrt": "√", "left": "", "right": "", "quad": " ", "qquad": " ", "displaystyle": "",
    "cup": "∪", "cap": "∩", "in": "∈", "ldots": "...", "dots": "...", "percent": "%",
}  # fmt: skip
_COMMAND = regex.compile(r"\\([A-Za-z]+)(?![A-Za-z])\s?")


def _without_latex(text: str) -> str:
    if "$" in text or "\\(" in text or "\\[" in text:
        text = text.replace("\\$", "\ue000")
        text = _MATH.sub(lambda m: " ".join(part for part in m.groups() if part is not None), text)
        text = text.replace("\ue000", "$")
    if "\\" in text:
        for _ in range(4):  # nested groups, from the inside out
            text = _WRAP.sub(r"\1", text)
            text = _FRAC.sub(lambda m: f" {_grouped(m[1] or m[2] or '')}/{_grouped(m[3] or m[4] or '')} ", text)
        text = regex.sub(r"\^\{?\s*\\(?:circ|degree)\s*\}?", "°", text)
        text = _COMMAND.sub(lambda m: _COMMANDS.get(m[1], m[0]), text)
        text = regex.sub(r"\\([%$#&_{} ])", r"\1", text)
        text = regex.sub(r"\\[,;:!]|\\\\", " ", text)
    if "^" in text or "_" in text:
        text = regex.sub(r"\^\{([^{}]*)\}", lambda m: f"^{_grouped(m[1])}", text)
        text = regex.sub(r"(?<=[\p{L}\p{N})])_\{([^{}]*)\}", r"\1", text)
        text = regex.sub(r"(?<=\p{L})_(\p{N}+|\p{L}\b)", r"\1", text)
    return text


def _grouped(inside: str) -> str:
    """In brackets, unless it is one sign, number or letter."""
    inside = inside.strip()
    return inside if regex.fullmatch(r"[-+]?(?:\d+(?:[.,]\d+)?|\p{L})", inside) else f"({inside})"


def _without_markdown(text: str) -> str:
    if not _MARKED.search(text):
        return text
    text = regex.sub(r"!?\[([^\]\n]*)\]\([^)\s]*(?:\s\"[^\"]*\")?\)", r"\1", text)  # links and images
    text = regex.sub(r"(?m)^\s{0,3}(?:#{1,6}\s+|>\s?|[*+-]\s+|```.*$)", "", text)
    text = regex.sub(r"</?(?:b|i|u|em|strong|sub|sup|span|code|br|p|div|mark)(?:\s[^<>]*)?/?>", _tag, text)
    text = regex.sub(r"(?<=\d)\s?\*\*\s?(?=-?\d)", "^", text)
    text = regex.sub(r"\*\*|__|~~|`+", "", text)
    text = regex.sub(r"(?<![\p{L}\p{N}*])\*(?=[^\s*])([^*\n]*?)(?<=[^\s*])\*", r"\1", text)
    text = regex.sub(r"(?<=[\p{L}\p{N}])\*(?=\p{L})([^*\n]*?)(?<=\p{L})\*(?![\p{L}\p{N}])", r"\1", text)
    return regex.sub(r"(?<![\p{L}\p{N}_])_(?=[^\s_])([^_\n]*?)(?<=[^\s_])_(?![\p{L}\p{N}_])", r"\1", text)


def _tag(found: regex.Match[str]) -> str:
    name = found.group().strip("</> ").split()[0].lower()
    if name == "sup" and not found.group().startswith("</"):
        return "^"
    return " " if name in ("br", "p", "div") else ""


@lru_cache(maxsize=16384)
def _words(text: str, language: str) -> tuple[str, ...]:
    folded = normalised(text).casefold()
    pieces = [piece for piece in _WORD_BREAK.split(folded) if piece and _IN_WORD.search(piece)]
    out: list[str] = []
    for piece in pieces:
        if "'" in piece and _base(language) in ("fr", "it", "ca"):
            elided = _ELISION.match(piece)
            if elided:
                out.append(elided.group())
                piece = piece[elided.end() :]
        out.append(piece)
    return tuple(out)


def words(text: str, language: str = "en") -> list[str]:
    """Case-folded words and numbers, in order; of a script without blanks, its characters."""
    return list(_words(text, language))


@lru_cache(maxsize=16384)
def _sentences(text: str) -> tuple[str, ...]:
    out: list[str] = []
    start = 0
    for end in _SENTENCE_END.finditer(text):
        mark = end.group()
        before, after = text[start : end.start()], text[end.end() :]
        if mark.startswith(".") and not mark.startswith(".."):
            following = after.lstrip()[:1]
            if after[:1].isalnum() or (following and following.islower()):
                continue  # 15.5, tutorloop.org; "... e.g. at night"
            if following and _NOT_AN_END.search(before):
                continue
        elif not mark.startswith("\n") and after.lstrip()[:1].islower() and mark.strip("\"')]»”’*_") == "...":
            continue
        if _IN_WORD.search(before):
            out.append(text[start : end.end()].strip())
        elif out and before.strip() == "" and not mark.startswith("\n"):
            out[-1] += text[start : end.end()].strip()
        start = end.end()
    if _IN_WORD.search(text[start:]):
        out.append(text[start:].strip())
    return tuple(out)


def sentences(text: str, language: str = "en") -> list[str]:
    """The sentences of a text, each with its marks; a line break ends one, an abbreviation or 15.5 does not."""
    return list(_sentences(text))


@lru_cache(maxsize=65536)
def stem(word: str, language: str = "en") -> str:
    """The word without its ending, so that `rotates` is `rotation`; the word itself where nobody knows the endings."""
    name = SNOWBALL.get(_base(language))
    # A stemmer of its own each time: it holds the word it is at, and judges run in threads.
    return str(snowballstemmer.stemmer(name).stemWord(word)) if name else word


def content(text: str, language: str = "en") -> list[str]:
    """Stems of the words that carry meaning, in order; in a script without blanks, pairs of neighbouring characters."""
    return list(_content(text, language))


@lru_cache(maxsize=16384)
def _content(text: str, language: str) -> tuple[str, ...]:
    out: list[str] = []
    unspaced = ""
    stop = STOP.get(_base(language), frozenset[str]())
    for word in (*_words(text, language), ""):
        if word and _UNSPACED.match(word):
            unspaced += word
            continue
        if unspaced:
            out += [unspaced[i : i + 2] for i in range(max(1, len(unspaced) - 1))]
            unspaced = ""
        if word and word not in stop:
            out.append(stem(word, language))
    return tuple(out)


def _base(language: str) -> str:
    """`pt` of `pt-BR`."""
    return language.split("-")[0].split("_")[0].lower()
