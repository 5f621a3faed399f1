"""Decides whether a program is plain: of a small part of jq whose time and memory are bounded by the size of its input.

jq cannot be interrupted, so only what is proved cheap may run inside this process. The proof is the parse itself: each construct has
an upper bound of its outputs, their bytes and its steps (`cost.Cost`), composed from those of its parts. What is not in the grammar here
(functions, bindings, recursion, assignments, regular expressions, repeated strings) is not plain, even where it would be harmless.
Precedence as in jq 1.8's grammar (src/parser.y); a program that jq reads otherwise would only have another bound of the same degree.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import orjson

from infra.expressions.bounds import BOUNDS, Bounds
from infra.expressions.builtins import OF_INPUT, call
from infra.expressions.cost import EACH, IDENTITY, ONE, WHOLE, Cost, Linear
from infra.expressions.failure import ExpressionFailed
from infra.expressions.lexer import Token, tokens

_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
_LEVELS: tuple[frozenset[str], ...] = (
    frozenset({"//"}),
    frozenset({"or"}),
    frozenset({"and"}),
    _COMPARISONS,
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)
_SCALAR = Linear(0, 32)
_FACTOR_MAX = 1_000


class _NotPlain(Exception):
    """Something outside the plain part of jq."""


@lru_cache(maxsize=8192)
def cost_of(program: str, size: int, bounds: Bounds = BOUNDS) -> Cost | None:
    """What a program can make of an input and variables of `size` bytes in all; None if it is not plain."""
    if len(program) > bounds.plain_characters_max:
        return None
    try:
        return _Reader(tokens(program), float(size), float(size), bounds.plain_depth_max).whole()
    except (_NotPlain, ExpressionFailed, OverflowError, RecursionError):
        return None


def is_plain(program: str, size: int, bounds: Bounds = BOUNDS) -> bool:
    """Whether it is cheap enough for this process. Rounds the size up to a power of two, so that few sizes are ever worked out."""
    if size > bounds.plain_input_bytes_max:
        return False
    rounded = 1 << (max(size, 64) - 1).bit_length()
    cost = cost_of(program, rounded, bounds)
    return (
        cost is not None
        and cost.work.at(rounded) <= bounds.plain_steps_max
        and cost.size.at(rounded) <= bounds.plain_bytes_max
    )


class _Reader:
    """Reads the tokens of a program or of an interpolation; `size_max` bounds the input of the part being read, `whole_size` a variable."""

    def __init__(self, found: tuple[Token, ...], size_max: float, whole_size: float, depth_left: int) -> None:
        self._found = found
        self._at = 0
        self._size_max = size_max
        self._whole_size = whole_size
        self._depth_left = depth_left

    def whole(self) -> Cost:
        cost = self._pipe()
        if self._at != len(self._found):
            raise _NotPlain
        return cost

    def _next(self, *words: str) -> bool:
        """Take the next token if it is one of these marks or names."""
        if self._at < len(self._found):
            token = self._found[self._at]
            if token.kind in ("mark", "name") and token.text in words:
                self._at += 1
                return True
        return False

    def _must(self, word: str) -> None:
        if not self._next(word):
            raise _NotPlain

    def _take(self, *kinds: str) -> Token | None:
        if self._at < len(self._found) and self._found[self._at].kind in kinds:
            self._at += 1
            return self._found[self._at - 1]
        return None

    def _nested(self, size_max: float | None = None) -> Cost:
        """A whole pipe inside brackets, on an input of another size if that is given."""
        before, self._size_max = self._size_max, self._size_max if size_max is None else size_max
        self._depth_left -= 1
        if self._depth_left < 0:
            raise _NotPlain
        cost = self._pipe()
        self._depth_left += 1
        self._size_max = before
        return cost

    def _pipe(self, in_object: bool = False) -> Cost:
        """Parts between `|`; in the value of a property a comma ends it."""
        part: Callable[[], Cost] = (lambda: self._binary(0)) if in_object else self._comma
        before = self._size_max
        cost = part()
        while self._next("|"):
            self._size_max = max(cost.size.at(before), 1.0)
            cost = cost.then(part())
        self._size_max = before
        return cost

    def _comma(self) -> Cost:
        cost = self._binary(0)
        while self._next(","):
            cost = cost.beside(self._binary(0))
        return cost

    def _binary(self, level: int) -> Cost:
        if level == len(_LEVELS):
            return self._term()
        cost = self._binary(level + 1)
        while self._next(*_LEVELS[level]):
            operator = self._found[self._at - 1].text
            other = self._binary(level + 1)
            cost = self._combined(cost, operator, other)
        return cost

    def _combined(self, left: Cost, operator: str, right: Cost) -> Cost:
        if operator == "//":
            return left.beside(right)
        pairs = left.with_each(right, self._size_max)
        if operator in _COMPARISONS or operator in ("and", "or", "%"):
            return pairs.resized(_SCALAR, Linear(0.25, 1))
        if operator == "+":
            return pairs.resized(Linear(1, 32), Linear(0.25, 1))
        if operator == "/":
            return pairs.resized(Linear(4, 32), Linear(0.5, 1))
        if operator == "-":
            # Lists: each element of the one is compared with each of the other.
            compared = left.size.times(right.size, self._size_max).scaled(1 / 16)
            return pairs.resized(Linear(1, 32), ONE).with_work(compared)
        factor = right.number if right.number is not None else left.number
        if factor is None or factor > _FACTOR_MAX:
            raise _NotPlain  # a string may be repeated as often as the data say
        return pairs.resized(Linear(max(factor, 1), 32), Linear(0.1 * factor, 1))

    def _term(self) -> Cost:
        if self._next("-"):
            return self._term().resized(_SCALAR, ONE)
        cost = self._primary()
        while True:
            if self._take("field"):
                cost = cost.resized(WHOLE, ONE)
            elif self._next("."):
                if (text := self._take("string")) is not None:
                    cost = self._indexed(cost, self._text(text))
                else:
                    self._must("[")
                    cost = self._bracket(cost)
            elif self._next("["):
                cost = self._bracket(cost)
            elif not self._next("?"):
                return cost

    def _bracket(self, target: Cost) -> Cost:
        """After the `[` of `.[]`, `.[index]` or `.[from:to]`."""
        if self._next("]"):
            return target.then(EACH)
        if self._next(":"):
            target = target.with_each(self._nested(), self._size_max).resized(WHOLE, Linear(0.25, 1))
        else:
            literal = self._found[self._at].kind == "number" and self._found[self._at + 1].text == "]"
            index = self._nested()
            if self._next(":"):
                target = target.with_each(index, self._size_max).resized(WHOLE, Linear(0.25, 1))
                if self._found[self._at].text != "]":
                    target = target.with_each(self._nested(), self._size_max).resized(WHOLE, ONE)
            else:
                target = target.resized(WHOLE, ONE) if literal else self._indexed(target, index)
        self._must("]")
        return target

    def _indexed(self, target: Cost, index: Cost) -> Cost:
        # A list as index is searched for in the list that it indexes.
        searched = target.size.times(index.size, self._size_max).scaled(1 / 16)
        pairs = target.with_each(index, self._size_max)
        return pairs.with_work(searched)

    def _primary(self) -> Cost:
        if (token := self._take("number", "string", "variable", "field", "format")) is not None:
            return self._atom(token)
        if self._next("."):
            text = self._take("string")
            return IDENTITY if text is None else self._indexed(IDENTITY, self._text(text))
        if self._next("("):
            cost = self._nested()
            self._must(")")
            return replace(cost, number=None)
        if self._next("["):
            if self._next("]"):
                return Cost(ONE, Linear(0, 2), ONE)
            cost = self._nested().gathered()
            self._must("]")
            return cost
        if self._next("{"):
            return self._object()
        if self._next("if"):
            return self._choice()
        if (name := self._take("name")) is not None and not name.key:
            return self._call(name.text)
        raise _NotPlain

    def _atom(self, token: Token) -> Cost:
        if token.kind == "number":
            return Cost(ONE, Linear(0, len(token.text) + 32), ONE, float(token.text))
        if token.kind == "string":
            return self._text(token)
        if token.kind == "variable":
            return Cost(ONE, Linear(0, self._whole_size), ONE)
        if token.kind == "field":
            return IDENTITY
        if token.text not in OF_INPUT or (self._at < len(self._found) and self._found[self._at].kind == "string"):
            raise _NotPlain
        return Cost(ONE, *OF_INPUT[token.text])

    def _text(self, token: Token) -> Cost:
        """A string; each interpolation stands in it as text, in which a character may need to be escaped."""
        cost = Cost(ONE, Linear(0, len(orjson.dumps(token.text))), ONE)
        for part in token.parts:
            inner = _Reader(part, self._size_max, self._whole_size, self._depth_left - 1)
            cost = cost.with_each(inner.whole().resized(Linear(2, 2), Linear(0.5, 1)), self._size_max)
        return cost

    def _object(self) -> Cost:
        cost = Cost(ONE, Linear(0, 2), ONE)
        while not self._next("}"):
            cost = cost.with_each(self._property(), self._size_max)
            if not self._next(","):
                self._must("}")
                break
        return cost

    def _property(self) -> Cost:
        if (variable := self._take("variable")) is not None:
            return self._atom(variable)
        if self._next("("):
            key = self._nested()
            self._must(")")
        elif (token := self._take("string", "name", "number")) is not None:
            key = self._text(token) if token.kind == "string" else Cost(ONE, Linear(0, len(token.text) + 2), ONE)
            if self._at < len(self._found) and self._found[self._at].text in (",", "}"):
                return self._indexed(IDENTITY, key)
        else:
            raise _NotPlain
        self._must(":")
        return key.with_each(self._pipe(in_object=True), self._size_max)

    def _choice(self) -> Cost:
        """After `if` or `elif`."""
        condition = self._nested()
        self._must("then")
        cost = self._nested()
        if self._next("elif"):
            return condition.with_each(cost.beside(self._choice()), self._size_max)
        cost = cost.beside(self._nested() if self._next("else") else IDENTITY)
        self._must("end")
        return condition.with_each(cost, self._size_max)

    def _call(self, name: str) -> Cost:
        arguments = []
        if self._next("("):
            entries = OF_INPUT["to_entries"][0].at(self._size_max)
            arguments.append(self._nested(entries if name == "with_entries" else None))
            self._must(")")
        cost = call(name, arguments, self._size_max)
        if cost is None:
            raise _NotPlain
        return cost
