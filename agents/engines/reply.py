"""What a reply is: the one place that says so, for every engine.

A reply is what a model said: at least one visible character that is no thought, of an answer that was neither filtered
nor refused nor broken off by the server. Everything else is `NoReply`. Where sampling can help it is asked again, a
bounded number of times.

Invariant: a `Completion` that leaves an engine holds a reply; its text has no thought in it and no character that is
not visible text. What answers without a reply cost and held is kept: with the replies of the request, or in
the error.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from agents.engines.base import Completion, Sampling
from agents.engines.reasoning import told_apart
from agents.errors import EngineError, NoReply
from agents.records import Usage
from agents.text import visible

ASKED_AGAIN = 2
"""How often an answer without a reply is asked for again, where a sampled answer can come out otherwise."""

_FILTERED = frozenset(
    "content_filter content-filter contentfilter content_filtered safety image_safety refusal recitation spii "
    "prohibited_content blocklist blocked sensitive guardrail guardrail_intervened language".split()
)
_BROKEN_OFF = frozenset("error abort aborted cancelled canceled network_error insufficient_system_resource".split())
_LIMIT = frozenset("length max_tokens max_output_tokens max_completion_tokens model_length max_length".split())
# Characters with a category of letters or signs that nobody sees.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {chr(i) for i in range(0xFE00, 0xFE10)}
# What nobody sees and some scripts need: Thai breaks lines by it, Hebrew and Arabic turn a sign by it.
_WRITTEN = re.compile("([\u200b\u2060\u200e\u200f\u061c]+)")


@dataclass(frozen=True, slots=True)
class Reply:
    """What was said, and what was thought before it."""

    text: str
    reasoning: str = ""
    is_whole: bool = True
    """Whether the text is all that was written, so that its token ids are those of the text."""


def read_reply(
    text: str,
    *,
    finish_reason: str = "stop",
    reasoning: str = "",
    refusal: str = "",
    opener: str = "",
    opened: bool = False,
) -> Reply:
    """Tells the reply from an answer.

    Args:
        text: what the model wrote, without the opener.
        finish_reason: why it ended, in any server's spelling.
        reasoning: thoughts that came apart from the text.
        refusal: a server's own words for why there is no reply; blank: there are none.
        opener: what the reply was begun with. Its words are not the model's, so they alone are no reply.
        opened: the prompt ended with the opening mark of a thought.

    Raises:
        NoReply: nothing of it is a reply.
    """
    reason = finish_reason.strip().lower()
    if not is_blank(refusal):
        raise NoReply(f"the model refused to reply ({_short(refusal)}): change the prompt or the model")
    if reason in _FILTERED:
        raise NoReply(
            f"the model refused to reply (a content filter ended it, finish_reason {finish_reason!r}"
            f"{_after(text)}): change the prompt or the model"
        )
    if reason in _BROKEN_OFF:
        raise NoReply(f"the server broke the reply off (finish_reason {finish_reason!r}{_after(text)})")
    said, thought = told_apart(text, cut_off=reason in _LIMIT, opened=opened)
    thought = "\n\n".join(part for part in dict.fromkeys((reasoning.strip(), thought)) if not is_blank(part))
    if is_blank(said):
        raise NoReply(_nothing(reason, thought))
    whole = f"{opener}{said}".strip()
    is_whole = not thought and said.strip() == text.strip() and whole == well_formed(whole)
    return Reply(well_formed(whole), well_formed(thought), is_whole)


def outcome(
    written: Completion, *, opener: str = "", reasoning: str = "", refusal: str = "", opened: bool = False
) -> Completion | NoReply:
    """A completion of which only the reply is left, or why there is none, with what it cost.

    Args:
        written: its text is what the model wrote, without the opener.
        opener: see `read_reply`, as the rest.
        reasoning: thoughts that came apart.
        refusal: the server's words.
        opened: the prompt ended with the opening mark of a thought.
    """
    try:
        reply = read_reply(
            written.text,
            finish_reason=written.finish_reason,
            reasoning=reasoning,
            refusal=refusal,
            opener=opener,
            opened=opened,
        )
    except NoReply as error:
        error.usage = written.usage + Usage(no_replies=1)
        error.raw = well_formed("\n\n".join(one for one in (reasoning, written.text, refusal) if not is_blank(one)))
        return error
    ended = "length" if written.finish_reason.strip().lower() in _LIMIT else written.finish_reason
    found = replace(written, text=reply.text, reasoning=reply.reasoning, finish_reason=ended)
    return found if reply.is_whole else replace(found, token_ids=(), logprobs=())


async def replies(
    draw: Callable[[int], Awaitable[list[Completion | NoReply]]], sampling: Sampling, *, can_differ: bool | None = None
) -> list[Completion]:
    """Draws until there are `sampling.n` replies, or until asking again is of no use; at least one.

    Args:
        draw: asks for so many and returns their outcomes; fewer than asked for are fine, none at all is a failed try.
        sampling: of the request.
        can_differ: whether the same request can come out otherwise; None: where the temperature is above 0.

    Raises:
        NoReply: there was none in any answer.
        EngineError: what `draw` raised before there was any reply.
    """
    tries = 1 + (ASKED_AGAIN if (sampling.temperature > 0 if can_differ is None else can_differ) else 0)
    found: list[Completion] = []
    spent, failed, unsaid = Usage(), 0, list[str]()
    last = NoReply("nothing was answered")
    while len(found) < sampling.n and failed < tries:
        try:
            drawn = await draw(sampling.n - len(found))
        except EngineError as error:
            error.usage += spent
            if not found:
                raise
            spent, error.usage = error.usage, Usage()
            break
        silent = [one for one in drawn if isinstance(one, NoReply)]
        said = [one for one in drawn if isinstance(one, Completion)]
        wanted = sampling.n - len(found)
        found += said[:wanted]
        costs = [*(one.usage for one in silent), *(one.usage for one in said[wanted:])]
        spent = sum(costs, spent)
        unsaid += [one.raw for one in silent if one.raw]
        if silent or not drawn:
            failed, last = failed + 1, silent[-1] if silent else last
    if not found:
        often = f"asked {failed} times" if failed > 1 else "not asked again"
        raw = unsaid[-1] if unsaid else ""
        last = NoReply(f"no reply, {often}: {last}")
        last.usage, last.raw = spent, raw
        raise last
    return [replace(found[0], usage=found[0].usage + spent, unsaid=tuple(unsaid)), *found[1:]]


def is_blank(text: str) -> bool:
    """Whether a reader would see nothing: white space, control characters, characters without width."""
    return all(one.isspace() or one in _BLANK or unicodedata.category(one) in ("Cc", "Cf", "Zs") for one in text)


def well_formed(text: str) -> str:
    """Visible text: halves of a character that belong together are joined, others and hidden ones are replaced."""
    if text.isascii() and text.isprintable():
        return text
    if any("\ud800" <= one <= "\udfff" for one in text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\ufeff", "")
    return "".join(part if _WRITTEN.fullmatch(part) else visible(part) for part in _WRITTEN.split(text))


def _nothing(reason: str, thought: str) -> str:
    if reason in _LIMIT:
        spent = "on thoughts alone" if thought else "before any visible word, as models that think first do"
        return f"max_tokens were spent {spent}: raise max_tokens"
    if thought:
        return f"the model thought and said nothing (finish_reason {reason!r}): raise max_tokens, or turn thinking off"
    return f"the answer is empty or blank (finish_reason {reason!r}): check the prompt and the model"


def _after(text: str) -> str:
    return "" if is_blank(text) else f" after {_short(text)!r}"


def _short(text: str) -> str:
    return well_formed(" ".join(text.split()))[:120]
