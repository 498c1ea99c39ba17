"""Real questions: about the item or the student's thoughts, in sentences, on every shipped item, in nine languages."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from agents.controls import SMALL_TALK
from agents.judges.grammar import grammar, languages
from agents.judges.questions import asks
from agents.judges.rules import judge_turn
from agents.packs import load_pack, shipped_packs
from agents.records import Item
from tests.agents.question_cases import (
    APPLES_IN,
    EMPTY,
    FOREIGN,
    NO_REQUESTS,
    REAL,
    REQUESTS,
    SALAD,
    SEASONS,
    THINKING,
    item,
)

ITEMS = tuple(item for pack in shipped_packs() for item in load_pack(pack).items)
BY_ID = {item.id: item for item in ITEMS}
DAY = BY_ID["es-astro-01"]


APPLES = item(
    "Tom has 30 apples. He sells 11 and eats 2. How many does he have left after selling 11?", ["19", "17"], ["apples"]
)
ABOUT_THE_STUDENT = """\
How did you get that?
Which of your two steps would you check first?
What makes you think so?
How do you know?
Can you explain how you got your answer?
Why do you think that?
What did you do first?
Could you walk me through your reasoning?
How sure are you about your second step?
Where did you get the 12 from?
What would you change in your answer?
Can you tell me why you chose that?
Okay. So how did you arrive at that number?
Which part of your answer are you least sure of?
What evidence supports your idea?
How could you check your answer?
What made you say that?
Why did you pick that option?
Can you show me your work?
How did you come up with that?
Good try! What were you thinking when you wrote that?
Would you explain your last step again?
Do you see a mistake in your second step?
What do you mean by that word?
What is the reason behind your guess?
How would you convince a friend that you are right?
What led you to that answer?
What would happen if you tried it the other way?
Which of these steps do you trust the most?
What do you already know about this?
Is there another way you could solve it?
How did you get from your first step to your second?
Are you sure about that, and why?
What are you stuck on?
What is your evidence for that?
Why not the other option, in your view?
Does your answer match what you said before?"""
NEVER = """\
Does that make sense?
Does this make sense to you now?
Ready?
Do you understand?
Okay?
Any questions?
Do you have any questions so far?
Right?
Is that clear?
Are you with me?
Shall we go on?
What do you think about it, then?
Got it?
How are you today?
Did you see the football match on the earth last night?
Did you see the football match last night?
Did you finish your homework for the day?
How many siblings do you have?
Did you find your keys?
What did you find in your pocket?
What is the weather like today?
What do you want to be when you grow up?
Did you watch the game on TV yesterday?
Do you like pancakes?
What is your favorite movie?
Who is your favorite singer?
Have you eaten your lunch yet?
What did you do at the weekend?
How was your day?
How old are you?
What time is it?
Who won the football game on Sunday?
Have you ever been to a football stadium?
Did anyone score a goal on the earth last night?
Would you like me to explain it again?
Do you see what I mean?
Any thoughts?
Makes sense?
So?
OK.
..."""


@pytest.mark.parametrize("text", ABOUT_THE_STUDENT.splitlines())
def test_a_question_about_the_students_own_thoughts_counts_on_every_item(text: str) -> None:
    assert [one.id for one in ITEMS if asks(text, one) is not True] == []


@pytest.mark.parametrize("text", [*NEVER.splitlines(), *SMALL_TALK, ""])
def test_an_empty_question_or_one_of_another_talk_counts_on_no_item(text: str) -> None:
    assert [one.id for one in ITEMS if asks(text, one) is not False] == []


@pytest.mark.parametrize(
    "frame",
    [
        "What {} {} {} {}?",
        "How {} {} {} {}?",
        "Why {} {} {} {}?",
        "Does {} {} {} {}?",
        "What is {} {} {} {}?",
        "So {} {} {} {}?",
        "{} {} {} {}?",
        "Can you {} {} {} {}?",
        "What, {}, {}, {}, {}?",
        "What of {} {} {} {}?",
    ],
)
def test_keywords_in_a_row_are_no_question_on_any_item(frame: str) -> None:
    for one in ITEMS:
        for keywords in (one.keywords[:4], one.keywords[-4:], tuple(reversed(one.keywords))[:4]):
            assert asks(frame.format(*keywords), one) is False, (one.id, keywords)


@pytest.mark.parametrize(
    "frame",
    ["Did you see the football match on the {} last night?", "Did you watch the game near the {} yesterday?"],
)
def test_small_talk_with_any_word_of_the_item_is_no_question(frame: str) -> None:
    for one in ITEMS:
        assert [word for word in one.keywords if asks(frame.format(word), one)] == []


@pytest.mark.parametrize("tag", ["right", "okay", "correct", "yes", "isn't that so", "don't you think", "am I right"])
def test_the_answer_with_a_tag_is_no_question_on_any_item(tag: str) -> None:
    for one in ITEMS:
        assert asks(f"{one.question.answer_text.rstrip('.')}, {tag}?", one) is False, one.id


def test_keywords_are_no_question_in_any_order() -> None:
    draw = random.Random(3)
    for one in ITEMS:
        for _ in range(10):
            said = (
                f"{draw.choice(['What', 'How', 'Why', 'Which', 'So what'])} {' '.join(draw.sample(one.keywords, 4))}?"
            )
            assert asks(said, one) is False, said


@pytest.mark.parametrize(
    "text",
    [
        "Why does the Earth turn?",
        "Why does the Earth turn 15.5 degrees?",
        "Why does the Earth, e.g. at night, turn?",
        "Why does the Earth turn?!",
        "Why does the Earth turn\uff1f",
        "Why does the Earth turn\u061f",
        "**Why** does the Earth turn?",
        "\u201cWhy does the Earth turn?\u201d",
        "Why does the Earth turn? \U0001f60a",
        "Mr. Jones asks: why does the Earth spin?",
        "What happens when the Earth turns away from the sun?",
        "Does the sun move around the Earth?",
        "If you stood on the moon, what would you see the Earth do?",
        "What would night look like if the Earth did not spin?",
        "Is it the sun or the Earth that moves?",
        "How long does the Earth need for one turn?",
        "Look at the globe. Which side of the Earth faces the sun at noon?",
        "Well, how fast does the Earth rotate, approx. 1,600 km/h?",
        "So you think the sun moves around the Earth?",
        "What causes day and night?",
        "The Earth spins all the time. What follows from that?",
        "The Earth turns to the east. Why?",
        "So why do we have day and night?",
    ],
)
def test_a_question_on_the_item_counts(text: str) -> None:
    assert asks(text, DAY) is True


@pytest.mark.parametrize(
    "text",
    [
        "The Earth spins, right?",
        "The Earth turns, doesn't it?",
        "So the Earth spins on its axis, okay?",
        "The Earth spins on its axis, you see?",
        "The Earth rotates, correct?",
        "It is day when we face the sun, isn't it?",
        "So it is the Earth that turns right?",
        "The sun is a star. Does that make sense?",
        "The Earth turns once a day. Got it?",
        "The Earth turns on its axis.",
        "What happens when of moving plates?",
        "Why the of Earth is turn?",
        "How does because of the night?",
        "What happens when the?",
        "Why does the Earth and?",
        "What when of the axis?",
        "Did you see the movie about the sun yesterday?",
        "Why?",
        DAY.question.text,
    ],
)
def test_a_tag_a_statement_and_a_torn_sentence_do_not_count(text: str) -> None:
    assert asks(text, DAY) is False


@pytest.mark.parametrize(
    ("part", "counts"),
    [
        ("of moving plates", False),
        ("of the axis", False),
        ("brings more direct", False),
        ("more direct sunlight", False),
        ("and slowly crumpled", False),
        ("because the solar", False),
        ("into helium deep", False),
        ("two plates collide", True),
        ("the crust is pushed up", True),
    ],
)
def test_when_needs_a_clause(part: str, counts: bool) -> None:
    assert asks(f"What happens when {part}?", BY_ID["es-solid-04"]) is counts


@pytest.mark.parametrize(
    "text",
    [
        "So how many does he have left after selling 11?",
        "How many does he have left after selling 11?",
        "How many apples does Tom have at the start?",
        "What is 30 - 11?",
        "So what is 30 minus 11?",
        "How many apples are left now?",
        "What about the 2 he ate?",
        "Why did you subtract the 2?",
        "If he sells 11, how many are left?",
        "30 - 11 = ?",
    ],
)
def test_words_of_the_problem_may_be_said_again(text: str) -> None:
    assert asks(text, APPLES, [APPLES.question.text]) is True
    assert judge_turn(text, APPLES, turn=1)[0].question is True
    assert asks(APPLES.question.text, APPLES) is False  # but not all of it as a turn


@pytest.mark.parametrize(
    "text",
    ["How does the tilt change the daylight we get?", "How did you get that?", "Why 15.5 degrees, e.g. in summer?!"],
)
def test_what_the_tutor_said_before_does_not_count_again(text: str) -> None:
    days = BY_ID["es-astro-10"]
    assert asks(text, days, [text]) is False
    assert judge_turn(text, days, turn=3, tutor_said=["Hm.", text])[0].question is False


def test_a_last_sentence_may_ask_without_its_mark() -> None:
    assert asks("Good. So how many apples are left", APPLES) is True
    assert asks("Why does the Earth turn", DAY) is True
    for text in (
        "What the Earth does",
        "When the Earth turns",
        "How the Earth turns. I see.",
        "Why does the Earth turn.",
    ):
        assert asks(text, DAY) is False


def test_most_of_a_question_is_said_before() -> None:
    before = "How does the tilt change the daylight we get?"
    assert asks(f"Okay. {before}", BY_ID["es-astro-10"], [before, "Hm."]) is False
    assert asks("How does the tilt change the path of the sun?", BY_ID["es-astro-10"], [before]) is True


@pytest.mark.parametrize("language", SEASONS)
def test_real_questions_are_told_from_empty_ones_in_every_listed_language(language: str) -> None:
    one = SEASONS[language]
    assert [text for text in REAL[language].splitlines() if asks(text, one) is not True] == []
    assert [text for text in EMPTY[language].splitlines() if asks(text, one) is not False] == []
    assert asks(one.question.text, one) is False


PACKS = {"ru": "russian", "fr": "french", "zh": "chinese"}


def _items(language: str) -> tuple[Item, ...]:
    """Those of a language; of the shipped ones, which are English, every fourth."""
    if language == "en":
        return ITEMS[::4]
    packed = (
        load_pack(str(Path(__file__).parents[1] / "packs" / f"{PACKS[language]}.yaml")).items
        if language in PACKS
        else ()
    )
    return (SEASONS[language], APPLES_IN[language], *packed)


@pytest.mark.parametrize("language", THINKING)
def test_questions_on_the_students_thinking_count_on_every_item(language: str) -> None:
    items = _items(language)
    assert [text for text in THINKING[language].splitlines() if not all(asks(text, one) for one in items)] == []


@pytest.mark.parametrize("language", FOREIGN)
def test_questions_to_the_student_about_something_else_count_on_no_item(language: str) -> None:
    items = _items(language)
    assert [text for text in FOREIGN[language].splitlines() if any(asks(text, one) is not False for one in items)] == []


@pytest.mark.parametrize("language", SALAD)
def test_keywords_in_the_form_of_a_question_are_none(language: str) -> None:
    for one in _items(language):
        for keywords in (one.keywords[:4], one.keywords[-4:], tuple(reversed(one.keywords))[:4]):
            said = [frame.format(*keywords) for frame in SALAD[language].splitlines() if len(keywords) == 4]
            assert [text for text in said if asks(text, one) is not False] == []


@pytest.mark.parametrize("language", REQUESTS)
def test_a_request_to_think_asks_as_a_question_does_and_one_for_anything_else_does_not(language: str) -> None:
    items = _items(language)
    assert [text for text in REQUESTS[language].splitlines() if not all(asks(text, one) for one in items)] == []
    assert [
        text for text in NO_REQUESTS[language].splitlines() if any(asks(text, one) is not False for one in items)
    ] == []


@pytest.mark.parametrize(
    "frame",
    [
        "Explain {} {} {} {}.",
        "Explain the {} the {} the {} the {}.",
        "Think about {} {} {} {}.",
        "Compare the {} of the {} of the {} of the {}.",
        "Tell me why {} {} {} {}.",
        "Check {}, {}, {}, {}.",
        "How many {} {} {} {}?",
        "So the {} {} {} {} is?",
        "Which {} {} is {} {}?",
        "If {} {} {}, how many {}?",
    ],
)
def test_keywords_in_a_row_are_no_request_and_no_gap_to_fill_on_any_item(frame: str) -> None:
    for one in ITEMS:
        for keywords in (one.keywords[:4], one.keywords[-4:], tuple(reversed(one.keywords))[:4]):
            assert asks(frame.format(*keywords), one) is False, (one.id, frame.format(*keywords))


@pytest.mark.parametrize(
    "text",
    [
        "Which of your steps came first?",
        "What rule did you use there?",
        "How did you decide what to do first?",
        "Where did your number come from?",
        "Could you tell me how you worked that out?",
        "What made you sure of that?",
        "Why did you stop after the second step?",
        "What does your second step tell you?",
        "Can you find the mistake in your reasoning?",
        "How would you check whether your answer is right?",
        "Hi! How did you get that?",
    ],
)
def test_ten_more_forms_of_a_question_on_the_students_steps_count_on_every_item(text: str) -> None:
    assert [one.id for one in ITEMS if asks(text, one) is not True] == []


@pytest.mark.parametrize(
    "text",
    [
        "Hi, could you please walk me through your solution?",
        "Hello Ana, can you talk me through your answer?",
        "Hey! Please explain your reasoning.",
        "Good. Do you understand the question now?",
        "How are you feeling about this problem?",
    ],
)
def test_a_greeting_with_an_inquiry_that_suits_any_conversation_does_not_count(text: str) -> None:
    assert [one.id for one in ITEMS if asks(text, one) is not False] == []
    assert asks("Could you walk me through your solution?", DAY) is True


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("30 - 11 = 19. So how many are left?", False),
        ("No. He has 19 apples then. What is left after he eats 2?", False),
        ("No, that is not it. What did you do with the 11?", True),
        ("Is 30 - 11 = 20?", True),
        ("You are right that 30 - 11 = 20. How did you get that?", True),
        ("So he has 30 apples and sells 11 how many are left", True),
        ("He has 30 and sells 11, so the rest is?", True),
        ("He told us how many apples he sold", False),
        ("correct. so how many did he eat/", True),
        ("If I had 52 pears and gave away 7, how many pears would I have?", True),
    ],
)
def test_who_works_a_step_out_does_not_ask_and_who_leaves_a_gap_does(text: str, counts: bool) -> None:
    assert asks(text, APPLES, heard=["30 - 11 = 20"]) is counts


def test_what_the_student_brought_up_is_not_foreign() -> None:
    text = "How many bushels would those baskets hold?"
    assert asks(text, DAY) is False
    assert asks("Why would the lighthouse turn?", DAY, heard=["Like a lighthouse that turns."]) is True


@pytest.mark.parametrize(
    "text", ["Why B?", "Why not A?", "Is it B or C?", "Which is right, A or B?", "What is wrong with B?"]
)
def test_an_option_by_its_letter_is_the_item_s(text: str) -> None:
    assert [one.id for one in ITEMS if asks(text, one) is not True] == []
    assert asks("Is bus B late for the wedding?", DAY) is False


def test_every_listed_language_is_tried_and_others_are_not_measured() -> None:
    assert set(languages()) == {"en", *SEASONS}
    assert (
        grammar("ko") is None and asks("왜 그렇게 생각해요?", item("왜?", ["가", "나"], ["축"], language="ko")) is None
    )
    assert asks("Por que você pensa assim?", item("Por quê?", ["a", "b"], ["eixo"], language="pt-BR")) is True
