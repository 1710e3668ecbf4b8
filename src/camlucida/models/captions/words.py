"""Words of a generated text: which tokens each consists of, and what a user's target means among them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from camlucida.errors import NothingFound, TargetError, nearest
from camlucida.target_forms import form_hint

_NUMBERED = re.compile(r"word\s+([0-9]{1,6})\s*(?:token\s+([0-9]{1,6})\s*)?(?::\s*(.*))?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Word:
    """One word of a generated text.

    Attributes:
        text: The word, without spaces.
        first: Index of its first token among the generated ones.
        n_tokens: Number of its tokens.
    """

    text: str
    first: int
    n_tokens: int = 1


@dataclass(frozen=True)
class WordChoice:
    """A word that a target names.

    Attributes:
        number: Number of the word, from 1.
        token: Which of its tokens is explained, from 0.
        rest: What is asked about it, such as "cat rather than dog"; empty for the word itself.
    """

    number: int
    token: int = 0
    rest: str = ""


def words_of(ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> tuple[Word, ...]:
    """Return the words of generated tokens, in order; tokens without letters or digits are none.

    A token begins a word if the text that it adds begins with a space. Tokens whose text is only complete with the
    next one, such as parts of a character, belong to the word that they complete.

    Args:
        ids: The generated tokens, without special ones at the end.
        decode: Returns the text of tokens, without special ones.
    """
    words: list[Word] = []
    before, begin = "", 0
    for i in range(len(ids)):
        text = decode(ids[: i + 1])
        added = text[len(before) :] if text.startswith(before) else ""
        if not added or "\ufffd" in added:
            continue
        joins = _joins(words[-1].text, added) if words else False
        if not joins:
            words.append(Word(added.strip(), begin, i + 1 - begin))
        else:
            last = words[-1]
            words[-1] = Word(last.text + added.strip(), last.first, i + 1 - last.first)
        before, begin = text, i + 1
    return tuple(word for word in words if any(map(str.isalnum, word.text)))


def _joins(word: str, added: str) -> bool:
    """Return whether the text of a token continues a word: "it" and "'", "it'" and "s", but not "it" and "."."""
    if added[:1].isspace() or not any(map(str.isalnum, word)):
        return False
    return added[0].isalnum() or added[0] in "'\u2019-"


def choose_words(spec: object, words: Sequence[Word]) -> list[WordChoice]:
    """Return the words that a target means.

    Args:
        spec: None or "words" for all, "word 3", "word 3 token 2", "word 3: cat rather than dog", or a word of the text.
        words: The words of the text.

    Raises:
        TargetError: There is no such word; the message lists those that there are.
    """
    if spec is None or (isinstance(spec, str) and spec.strip().lower() == "words"):
        if not words:
            raise NothingFound(
                "the network generated no word for this image, so there is nothing to explain.", "no word generated"
            )
        return [WordChoice(number) for number in range(1, len(words) + 1)]
    if not isinstance(spec, str):
        raise TargetError(
            f"a word of a text is named as 'word 2' or by itself, not by {spec!r}. There are {listed(words)}."
        )
    if (match := _NUMBERED.fullmatch(spec.strip())) is not None:
        number, token, rest = int(match[1]), int(match[2] or 1), (match[3] or "").strip()
        if not 1 <= number <= len(words):
            raise TargetError(f"there is no word {number}: there are {listed(words)}.")
        if not 1 <= token <= words[number - 1].n_tokens:
            word = words[number - 1]
            raise TargetError(f"{word.text!r} has no token {token}: it consists of {word.n_tokens}.")
        return [WordChoice(number, token - 1, rest)]
    wanted = spec.strip().lower()
    found = [WordChoice(number) for number, word in enumerate(words, 1) if word.text.lower() == wanted]
    if not wanted:
        raise TargetError(f"the target is empty. Name a word as 'word 2' or by itself; there are {listed(words)}.")
    if not found:
        form = form_hint(wanted, has_classes=False)
        hint = "" if form else nearest(wanted, sorted({word.text for word in words}))
        ask = form or f" To ask why it is not another word: 'word 2: {wanted}'."
        raise TargetError(f"the generated text has no word {spec.strip()!r}.{hint} There are {listed(words)}.{ask}")
    return found


def listed(words: Sequence[Word]) -> str:
    """Return the words as text, with their numbers."""
    return ", ".join(f"{number} {word.text!r}" for number, word in enumerate(words[:40], 1)) or "no words"
