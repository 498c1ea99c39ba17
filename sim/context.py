"""Whether dialogues fit an engine's context, and in which form its chat template takes them; before anything starts.

Invariant: texts are counted by the model's own tokenizer where it is on this machine, else so that nothing is counted
short: a token for every byte of what is not ASCII, and one for three letters of ASCII.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain

from agents.engines.chat import Chat
from agents.engines.forms import PLAIN
from agents.engines.template import Template, counter, local_folder
from agents.errors import InputError
from agents.library import Script, persona, strategy
from agents.packs import load_pack
from agents.records import Item, Question, Turn
from agents.stressors import stressor
from agents.views import check_question, student_system, tutor_system, view
from sim.config import Config
from sim.config_experiment import TutorArm

HEADER = 16
"""Tokens that a template puts around a message, at most."""
Count = Callable[[str], int]


def estimated(text: str) -> int:
    """Tokens of a text for a tokenizer that is not there."""
    ascii_letters = sum(letter.isascii() for letter in text)
    return -(-ascii_letters // 3) + len(text.encode("utf-8", "replace")) - ascii_letters


def check_context(config: Config, where: str) -> None:
    """Refuses dialogues that may need more tokens than the context of a pool holds.

    Raises:
        InputError: they may; the message names what is longest.
    """
    for name, pool in config.pools.items():
        if pool.engine != "vllm":
            continue
        # No tokenizer makes more tokens than there are bytes, so most configs need none to be read.
        if needed_tokens(config, lambda text: len(text.encode("utf-8", "replace")))[0] <= pool.max_model_len:
            continue
        needed, item, how = _counted(config, config.model_of(name))
        if needed > pool.max_model_len:
            raise InputError(
                f"{where}: dialogue.turns: {config.dialogue.turns} turns on item {item!r} may need {needed} tokens "
                f"({how}) and pools.{name}.max_model_len is {pool.max_model_len}; lower the turns, shorten the texts "
                "or raise the length"
            )


def _counted(config: Config, model: str) -> tuple[int, str, str]:
    """Tokens that the longest dialogue may need, its item, and how they were counted."""
    try:
        count = counter(local_folder(model))
    except InputError:
        count = None
    if count is None:
        return (*needed_tokens(config, estimated), "estimated, its tokenizer is not on this machine")
    return (*needed_tokens(config, count), f"counted by the tokenizer of {model}")


def needed_tokens(config: Config, count: Count) -> tuple[int, str]:
    """The most tokens that a request of any dialogue of a config may need, and the item it is about."""
    held = config.loop.heldout if config.kind == "loop" else None
    items = [*load_pack(config.items.pack).items, *(load_pack(held.items.pack).items if held else ())]
    personas = [persona(name) for name in (*config.students.personas, *(held.personas if held else ()))]
    prompts = [arm.prompt or strategy(config.strategy_of(arm)).render(arm.settings) for arm in _taught(config)]
    lines = [line for one in personas for line in (*one.lines, *_longest_forms(one.script, items, count))]
    pressed = [line for one in config.stressors for line in stressor(one.name).lines]
    told = {
        "student": _most(count, ("\n".join((one.prompt, *chain(*one.examples))) for one in personas)),
        "tutor": _most(count, prompts),
    }
    said = max(config.students.max_tokens, _most(count, lines)) + _most(count, pressed) + HEADER
    turns = config.dialogue.turns + config.dialogue.lookahead
    talk = turns * (config.tutor.max_tokens + HEADER + said) + 2 * HEADER + _most(count, pressed)
    needed = {item.id: talk + _of_item(item, told, count) for item in items}
    longest = max(needed, key=lambda name: needed[name])
    return needed[longest], longest


def _longest_forms(script: Script | None, items: Sequence[Item], count: Count) -> Iterator[str]:
    """A scripted turn as long as any may be: its longest forms beside the longest texts that fill their fields."""
    if script is not None:
        longest = partial(max, key=count)
        forms = longest((*script.asked, *script.told)), longest(form for rung in script.asks for form in rung)
        fields = longest((*(one.concept for one in items), *(o.text for one in items for o in one.question.options)))
        yield " ".join((*forms, fields, fields))


def _of_item(item: Item, told: dict[str, int], count: Count) -> int:
    """What an item adds to the longer of the two views: its opening, what the prompts hold of it, and the probes."""
    beliefs = _most(count, (option.text for option in item.question.options))
    student = told["student"] + beliefs + max(_asked(item.question, count), _asked(item.transfer, count))
    tutor = told["tutor"] + count(item.question.text) + count(item.question.answer_text)
    return count(item.opening) + max(student, tutor)


def _asked(question: Question, count: Count) -> int:
    return count(check_question(question)) + _most(count, (option.text for option in question.options))


def _most(count: Count, texts: Iterable[str]) -> int:
    return max((count(text) for text in texts), default=0)


def told_forms(config: Config) -> list[str]:
    """For each engine of ours, in which form its chat template takes the views of both roles.

    Raises:
        InputError: a template takes them in none, or drops what is to be trained.
    """
    lines = []
    for name, pool in config.pools.items():
        if pool.engine != "vllm" or config.run.replay:
            continue
        model = config.model_of(name)
        try:
            folder = local_folder(model, download=True)
        except InputError as error:
            lines.append(f"  pool {name}: dialogues were not rendered by the chat template of {model}: {error}")
            continue
        try:
            template = Template(folder)
            form = template.form()
            for seen in _views(config):
                template.text(seen, form)
        except InputError as error:
            raise InputError(f"pools.{name}.model: {error}") from error
        takes = str(form) if form == PLAIN else f"with {form}"
        lines.append(f"  pool {name}: the chat template of {model} takes the messages of both roles {takes}")
    check_thoughts(config)
    return lines


def check_thoughts(config: Config) -> None:
    """Refuses `training.reasoning` where the template of the tutor's model takes thoughts out of replies.

    A model that is not on this machine yet is left to the trainer, which asks the same before it loads it.

    Raises:
        InputError: nothing would be learned that the setting is for.
    """
    if config.kind != "loop" or not config.training.reasoning:
        return
    pool = config.pool_of("tutor")
    try:
        folder = local_folder(config.model_of(pool))
    except InputError:
        return
    if not Template(folder).keeps_thoughts():
        raise InputError(
            f"training.reasoning: true, and the chat template of pools.{pool} ({folder}) takes the thought out of a "
            "reply, so none would be trained; set it to false, or use a template that keeps `<think>` in the last reply"
        )


def _views(config: Config) -> Iterator[Chat]:
    """The views of both roles on the first item, with every prompt of the config."""
    item = load_pack(config.items.pack).items[0]
    wrong = next(place for place, option in enumerate(item.question.options) if not option.correct)
    talk = [Turn(0, "student", item.opening), Turn(1, "tutor", "Why?"), Turn(2, "student", "Hm.")]
    for name in config.students.personas:
        yield view(student_system(item, persona(name), wrong), talk[:2], "student")
    for arm in _taught(config):
        knows = config.tutor.knows_answer
        prompt = arm.prompt or tutor_system(item, strategy(config.strategy_of(arm)), arm.settings, knows_answer=knows)
        yield view(prompt, talk, "tutor")


def _taught(config: Config) -> list[TutorArm]:
    """The tutors that a model speaks for."""
    return [arm for arm in config.tutor_arms() if not arm.control]
