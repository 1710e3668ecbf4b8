"""Words of generated tokens, and what a target means among them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from camlucida.errors import TargetError
from camlucida.models.captions.words import Word, WordChoice, choose_words, words_of

PIECES = (" a", " gir", "affe", ",", " by", " itself", ".", " it", "'", "s", "\n", "\u2581")
TEXT = words_of(range(10), lambda ids: "".join(PIECES[i] for i in ids))


def test_words_join_their_tokens_and_skip_punctuation() -> None:
    assert [word.text for word in TEXT] == ["a", "giraffe", "by", "itself", "it's"]
    assert [(word.first, word.n_tokens) for word in TEXT][:2] == [(0, 1), (1, 2)]
    assert [word.first for word in TEXT] == [0, 1, 4, 5, 7]


def test_a_word_after_punctuation_without_a_space_is_a_word() -> None:
    pieces = ("(", "cat", ")", "dog")
    words = words_of(range(4), lambda ids: "".join(pieces[i] for i in ids))
    assert [(word.text.strip("()"), word.first) for word in words] == [("cat", 1), ("dog", 3)]


def test_tokens_of_half_a_character_belong_to_its_word() -> None:
    def decode(ids: Sequence[int]) -> str:
        return {0: "", 1: " a", 2: " a\ufffd", 3: " a é"}[len(ids)]

    assert words_of(range(3), decode) == (Word("a", 0), Word("é", 1, 2))


@pytest.mark.parametrize(
    ("spec", "choices"),
    [
        (None, [WordChoice(1), WordChoice(2)]),
        ("words", [WordChoice(1), WordChoice(2)]),
        ("word 2", [WordChoice(2)]),
        ("Giraffe", [WordChoice(2)]),
        ("word 2 token 2", [WordChoice(2, 1)]),
        ("word 1: the rather than a", [WordChoice(1, 0, "the rather than a")]),
    ],
)
def test_words_of_a_target(spec: str | None, choices: list[WordChoice]) -> None:
    assert choose_words(spec, (Word("a", 0), Word("giraffe", 1, 2))) == choices


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("word 3", "no word 3: there are 1 'a', 2 'giraffe'"),
        ("word 0", "no word 0"),
        ("word 2 token 3", "'giraffe' has no token 3: it consists of 2"),
        ("giraf", "no word 'giraf'. Did you mean 'giraffe'?"),
        (7, "named as 'word 2' or by itself, not by 7"),
    ],
)
def test_words_that_are_not_there(spec: object, message: str) -> None:
    with pytest.raises(TargetError, match=message.replace("?", r"\?")):
        choose_words(spec, (Word("a", 0), Word("giraffe", 1, 2)))


def test_an_empty_text_is_said() -> None:
    with pytest.raises(TargetError, match="generated no word"):
        choose_words(None, ())
