"""What people write in many ways is read as one; words, sentences and stems are those of the text's language."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.judges.normal import content, normalised, sentences, stem, words


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("It is the **spin**ning *Earth*.", "It is the spinning Earth."),
        ("10² m, 10⁻³, 10<sup>2</sup>, 10**2, $10^{-3}$", "10^2 m, 10^-3, 10^2, 10^2, 10^-3"),
        ("1½ or ½", "1 1/2 or 1/2"),
        (r"$\boxed{20}$ \text{m/s}", "20 m/s"),
        ("It costs $5, not $10.", "It costs $5, not $10."),
        ("It doesn’t — −5", "It doesn't - -5"),
        ("４２ ٤٢ 1\u00a0000", "42 42 1 000"),
        ("spin\u200bning so\u00adft", "spinning soft"),
        ("H₂O, H_2O, $H_{2}O$", "H2O, H2O, H2O"),
        ("3 &lt; 4 &amp; [a link](http://here)", "3 < 4 & a link"),
        ("F = m*a, 3*4*5, snake_case", "F = m*a, 3*4*5, snake_case"),
    ],
)
def test_one_form_for_what_people_write_in_many(text: str, read: str) -> None:
    assert normalised(text) == read


def test_latex_fractions_are_read_inside_out() -> None:
    assert normalised(r"\frac{2}{3}").split() == ["2/3"]
    assert "".join(normalised(r"\frac{\frac{1}{2}}{x+1}").split()) == "(1/2)/(x+1)"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Why 15.5 degrees, e.g. at night? Look.", ["Why 15.5 degrees, e.g. at night?", "Look."]),
        ("对吗？是的。", ["对吗？", "是的。"]),
        ("هل تدور؟ نعم.", ["هل تدور؟", "نعم."]),
        ("Really?! It is A. Then go", ["Really?!", "It is A.", "Then go"]),
        ("One line\nand another", ["One line", "and another"]),
        ("... !", []),
    ],
)
def test_sentences_end_where_unicode_and_sense_say_so(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


def test_words_and_stems_are_those_of_the_language() -> None:
    assert words("L’axe est incliné", "fr") == ["l'", "axe", "est", "incliné"]
    assert content("L’axe de la Terre est incliné", "fr") == [stem(w, "fr") for w in ("axe", "terre", "incliné")]
    assert stem("вращается", "ru") == stem("вращаются", "ru")
    assert content("地球自转", "zh") == ["地球", "球自", "自转"] and words("自转", "zh") == ["自", "转"]
    assert stem("rotates") == stem("rotation")
    assert stem("whatever", "xx") == "whatever"


@settings(max_examples=30)
@given(st.text(max_size=60))
def test_any_text_is_read(text: str) -> None:
    read = normalised(text)
    assert "".join(words(text)) == "".join(words(read))
    assert all(sentence in read for sentence in sentences(read))
