"""Tutors without a model, to hold others against: one that is silent, one that chats, one that dumps the answer.

Invariant: what a control says depends on the item and the turn alone. `irrelevant` never leaks and never asks about the
item, `answer_dump` gives the whole answer away in every turn, both by `agents.judges.rules` on every shipped item. They
speak the item's language where lines are listed here; elsewhere small talk is English and a dump the bare answer. A
control that fares well in a measure shows that the measure can be had without teaching.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from agents.engines.base import Completion, Message, Sampling, Score
from agents.errors import EngineRefused, InputError, nearest
from agents.records import Item

CONTROLS = ("silent", "irrelevant", "answer_dump")
"""The controls that speak; `no_tutor` is a dialogue that is not held."""
SILENCE = "..."
SMALL_TALK = (
    "I had pancakes for breakfast. Do you like pancakes?",
    "My cousin plays the trumpet. Who is the musician in your family?",
    "Somebody told me a penguin joke. What is your favorite joke?",
    "My favorite hobby is baking cookies. Which hobby is your favorite?",
    "There is a pirate in my comic. Do you have a favorite comic?",
    "My neighbor adopted a kitten. Would you like to have a pet?",
    "I have theater tickets for Saturday. What is your weekend like?",
    "I enjoy ping pong. Which sport do you enjoy?",
    "My barber has a funny mustache. Who is your barber?",
    "My grandma is knitting mittens. Do you like to knit?",
)
"""Said in turn: friendly, free of science, with a question each, so that asking alone does not tell it from a tutor."""
DUMPS = (
    "The right answer is: {answer}",
    "In other words, you only have to remember this: {answer}",
    "I can say it again. What you write down is this: {answer}",
    "So, to put it in a sentence: {answer} That is the correct one.",
)
"""Said in turn."""
TALK_IN = {
    "en": SMALL_TALK,
    "fr": (
        "Mon chocolat est fini. Tu aimes les crêpes ?",
        "Ma cousine joue de la trompette. Qui est musicien dans ta famille ?",
        "Mon chat s'appelle Biscuit. Tu as un chat chez toi ?",
        "Je collectionne les blagues. Quelle est ta blague préférée ?",
        "Mon frère adore le football. Quel est ton sport préféré ?",
        "Samedi, je vais au restaurant. Que fais-tu ce weekend ?",
    ),
    "de": (
        "Gestern gab es bei mir Pfannkuchen. Magst du Pfannkuchen?",
        "Meine Cousine spielt Trompete. Wer macht in deiner Familie Musik?",
        "Meine Katze heißt Krümel. Hast du eine Katze?",
        "Ich sammle Witze. Was ist dein Lieblingswitz?",
        "Mein Bruder liebt Fußball. Welchen Sport magst du?",
        "Am Samstag gehe ich ins Konzert. Was machst du am Wochenende?",
    ),
    "es": (
        "Ayer desayuné panqueques. ¿Te gustan los panqueques?",
        "Mi prima toca la trompeta. ¿Quién es músico en tu familia?",
        "Mi gato se llama Bigotes. ¿Tienes un gato?",
        "Colecciono chistes. ¿Cuál es tu chiste favorito?",
        "A mi hermano le encanta el fútbol. ¿Cuál es tu deporte favorito?",
        "El sábado voy a un concierto. ¿Qué haces tú el sábado?",
    ),
    "ru": (
        "Вчера на завтрак у меня были блины. Ты любишь блины?",
        "Моя двоюродная сестра играет на трубе. Кто у тебя в семье музыкант?",
        "Моего кота зовут Пушок. У тебя есть кот?",
        "Я собираю анекдоты. Какой твой любимый анекдот?",
        "Мой брат обожает футбол. Какой твой любимый спорт?",
        "В субботу я иду на концерт. Что ты делаешь на выходных?",
    ),
    "zh": (
        "昨天早餐我吃了煎饼。你喜欢吃煎饼吗？",
        "我表姐会吹小号。你家人里谁会音乐？",
        "我的小猫叫豆豆。你喜欢小猫吗？",
        "我在收集笑话。你最喜欢的笑话是什么？",
        "我弟弟爱踢足球。你最喜欢什么运动？",
        "周末我去看演唱会。你周末做什么？",
    ),
}
"""Small talk by language."""
DUMPS_IN = {
    "en": DUMPS,
    "fr": ("La bonne réponse est : {answer}", "Autrement dit, il suffit de retenir ceci : {answer}"),
    "de": ("Die richtige Antwort ist: {answer}", "Mit anderen Worten, merk dir nur dies: {answer}"),
    "es": ("La respuesta correcta es: {answer}", "En otras palabras, solo tienes que recordar esto: {answer}"),
    "it": ("La risposta giusta è: {answer}", "In altre parole, basta ricordare questo: {answer}"),
    "pt": ("A resposta certa é: {answer}", "Em outras palavras, basta lembrar isto: {answer}"),
    "ru": ("Правильный ответ: {answer}", "Другими словами, запомни только это: {answer}"),
    "zh": ("正确答案是：{answer}", "换句话说，你只要记住：{answer}"),
    "ar": ("الإجابة الصحيحة هي: {answer}", "بعبارة أخرى، تذكر هذا فقط: {answer}"),
}
"""Dumps by language."""
BARE = ("{answer}",)
"""A dump in any other language."""


@dataclass(frozen=True, slots=True)
class ControlTutor:
    """What a control says of an item. Raises InputError for a kind there is not."""

    kind: str
    item: Item

    def __post_init__(self) -> None:
        if self.kind not in CONTROLS:
            raise InputError(f"no control tutor {self.kind!r}; {nearest(self.kind, CONTROLS)}")

    def says(self, turn_number: int) -> str:
        """The tutor's turn of that number, from 0."""
        if self.kind == "silent":
            return SILENCE
        language = self.item.language.split("-")[0]
        if self.kind == "answer_dump":
            dumps = DUMPS_IN.get(language, BARE)
            return dumps[turn_number % len(dumps)].format(answer=_sentence(self.item.question.answer_text))
        # Each item starts elsewhere in the list, so that no single line decides what small talk does.
        talk = TALK_IN.get(language, SMALL_TALK)
        return talk[(zlib.crc32(self.item.id.encode()) + turn_number) % len(talk)]


class ControlEngine:
    """A control tutor at the engine seam: it reads nothing but how often it has spoken, and costs nothing.

    `max_tokens` and `stop` do not cut what it says.

    Raises:
        InputError: there is no such control.
    """

    def __init__(self, kind: str, item: Item) -> None:
        self._tutor = ControlTutor(kind, item)

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        """Returns `sampling.n` equal completions without usage.

        Raises:
            EngineRefused: the sampling asks for an opener or a schema.
        """
        if sampling.opener or sampling.schema is not None:
            raise EngineRefused(
                f"control tutor {self._tutor.kind!r} says its own words and takes no opener or JSON schema: "
                "use it as a tutor in a run only"
            )
        spoken = sum(message["role"] == "assistant" for message in messages)
        return [Completion(self._tutor.says(spoken), policy_version="control")] * sampling.n

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        """Always raises `EngineRefused`: there is no model to score with."""
        raise EngineRefused(
            f"control tutor {self._tutor.kind!r} has no model and cannot score text: "
            "give the student's role to a `vllm` engine"
        )

    async def close(self) -> None:
        """Does nothing: there is nothing to release."""


def _sentence(text: str) -> str:
    return text if text.rstrip().endswith((".", "!", "?", "。", "！", "？", "؟", "۔", "।")) else f"{text.rstrip()}."
