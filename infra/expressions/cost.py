"""What an expression can yield and take at most, as functions of the size of its input: linear forms that compose."""

from dataclasses import dataclass, replace
from typing import NamedTuple


class Linear(NamedTuple):
    """`per_byte * size + fixed`, where size is that of the input as JSON in bytes."""

    per_byte: float
    fixed: float

    def plus(self, other: "Linear") -> "Linear":
        return Linear(self.per_byte + other.per_byte, self.fixed + other.fixed)

    def times(self, other: "Linear", size_max: float) -> "Linear":
        """The product; `size * size` is bounded by `size_max * size`, so that the result is linear again."""
        square = self.per_byte * other.per_byte * size_max
        return Linear(square + self.per_byte * other.fixed + self.fixed * other.per_byte, self.fixed * other.fixed)

    def scaled(self, factor: float) -> "Linear":
        return Linear(self.per_byte * factor, self.fixed * factor)

    def at(self, size: float) -> float:
        return self.per_byte * size + self.fixed

    def over(self, values: "Cost") -> "Linear":
        """The sum over many inputs: their sizes add up to `values.size`, their number to `values.count`."""
        return Linear(
            self.per_byte * values.size.per_byte + self.fixed * values.count.per_byte,
            self.per_byte * values.size.fixed + self.fixed * values.count.fixed,
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """Upper bounds for one input: how many outputs, the bytes of all of them together, the steps (about a microsecond each).

    `number` is the value if the expression is a literal number.
    """

    count: Linear
    size: Linear
    work: Linear
    number: float | None = None

    def then(self, after: "Cost") -> "Cost":
        """`self | after`."""
        return Cost(after.count.over(self), after.size.over(self), self.work.plus(after.work.over(self)))

    def beside(self, other: "Cost") -> "Cost":
        """`self, other`."""
        return Cost(self.count.plus(other.count), self.size.plus(other.size), self.work.plus(other.work))

    def with_each(self, other: "Cost", size_max: float) -> "Cost":
        """Every output of the one combined with every output of the other, both kept, a step for each pair."""
        pairs = self.count.times(other.count, size_max)
        return Cost(
            pairs,
            self.size.times(other.count, size_max).plus(other.size.times(self.count, size_max)),
            self.work.times(other.count.plus(ONE), size_max)
            .plus(other.work.times(self.count.plus(ONE), size_max))
            .plus(pairs),
        )

    def with_work(self, work: Linear) -> "Cost":
        """The same outputs with more steps."""
        return replace(self, work=self.work.plus(work), number=None)

    def gathered(self) -> "Cost":
        """`[self]`."""
        return Cost(ONE, self.size.plus(self.count).plus(Linear(0, 2)), self.work.plus(self.count).plus(ONE))

    def resized(self, size: Linear, work: Linear) -> "Cost":
        """As many outputs, each made from an output of this one with these bounds."""
        return Cost(self.count, size.over(self), self.work.plus(work.over(self)))


NOTHING = Linear(0, 0)
ONE = Linear(0, 1)
WHOLE = Linear(1, 0)
IDENTITY = Cost(ONE, WHOLE, ONE)
# An element or property takes at least two characters of JSON; the last has no comma.
EACH = Cost(Linear(0.5, 1), WHOLE, Linear(0.5, 1))
