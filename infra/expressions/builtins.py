"""The builtins of jq that may run inside this process, each with what it makes and takes at most.

Steps per byte are measured (package jq, rounded up) on inputs of many small elements, their worst case. Left out on purpose: regular
expressions (`test`, `match`, `sub`: exponential); `contains`, `inside`, `index` (quadratic); `range`, `repeat`, `while`, `until`, `limit`,
`recurse`, `..`, `walk` and all that binds or assigns (not bounded by the input or by the text); dates (they read the machine's time zone).
"""

from infra.expressions.cost import EACH, IDENTITY, NOTHING, ONE, WHOLE, Cost, Linear

_SCALAR = Linear(0, 32)

# name: (bytes made, steps), as forms of the input's size.
OF_INPUT: dict[str, tuple[Linear, Linear]] = {
    **dict.fromkeys(
        ("type", "not", "floor", "ceil", "round", "sqrt", "fabs", "abs", "true", "false", "null"), (_SCALAR, ONE)
    ),
    **dict.fromkeys(("length", "utf8bytelength", "tonumber", "any", "all"), (_SCALAR, Linear(0.5, 4))),
    **dict.fromkeys(("first", "last"), (WHOLE, Linear(0, 4))),
    **dict.fromkeys(("trim", "ltrim", "rtrim"), (WHOLE, Linear(0.25, 2))),
    **dict.fromkeys(("keys", "keys_unsorted", "min", "max", "sort", "unique"), (Linear(1, 4), Linear(2, 4))),
    **dict.fromkeys(("tostring", "tojson", "@text", "@json"), (Linear(2, 4), Linear(0.5, 2))),
    **dict.fromkeys(("@base64", "@uri", "@html"), (Linear(6, 4), Linear(1, 2))),
    **dict.fromkeys(("ascii_downcase", "ascii_upcase"), (WHOLE, Linear(5, 4))),
    "add": (Linear(1, 4), Linear(1, 4)),
    "reverse": (Linear(1, 2), Linear(4, 4)),
    "to_entries": (Linear(8, 8), Linear(3, 4)),
    "from_entries": (Linear(1, 8), Linear(3, 4)),
}


def call(name: str, arguments: list[Cost], size_max: float) -> Cost | None:
    """The cost of a call on an input of at most `size_max` bytes; None if it may not run here.

    The argument of `map`, `any`, `all`, `sort_by` and the like must be the cost for one of the elements.
    """
    if not arguments:
        if name == "empty":
            return Cost(NOTHING, NOTHING, ONE)
        if name in ("values", "nulls", "strings", "numbers", "booleans", "arrays", "objects", "iterables", "scalars"):
            return Cost(ONE, WHOLE, Linear(0, 3))
        return Cost(ONE, *OF_INPUT[name]) if name in OF_INPUT else None
    return _with_argument(name, arguments[0], size_max) if len(arguments) == 1 else None


def _with_argument(name: str, argument: Cost, size_max: float) -> Cost | None:
    each = EACH.then(argument)
    made = each.gathered()
    match name:
        case "map":
            return made
        case "select":
            return Cost(
                argument.count, WHOLE.times(argument.count, size_max), argument.work.plus(argument.count).plus(ONE)
            )
        case "first":
            return argument
        case "any" | "all":
            return Cost(ONE, _SCALAR, each.work.plus(each.count.scaled(3)).plus(Linear(0, 4)))
        case "sort_by" | "group_by" | "unique_by" | "min_by" | "max_by":
            # Each element is kept with its key; the elements are compared by their keys.
            return Cost(ONE, Linear(4, 8), made.work.plus(made.size.scaled(1)).plus(Linear(6, 8)))
        case "with_entries":
            entries = Cost(ONE, *OF_INPUT["to_entries"])
            return entries.then(made).then(Cost(ONE, *OF_INPUT["from_entries"]))
        case "has" | "startswith" | "endswith":
            return IDENTITY.with_each(argument, size_max).resized(_SCALAR, Linear(0.25, 2))
        case "ltrimstr" | "rtrimstr":
            return IDENTITY.with_each(argument, size_max).resized(WHOLE, Linear(0.25, 4))
        case "split":
            return IDENTITY.with_each(argument, size_max).resized(Linear(4, 4), Linear(0.5, 4))
        case "join":
            # The separator stands once for each element; that the text is copied each time it grows is not felt in so small an input.
            between = argument.size.times(EACH.count, size_max).plus(WHOLE.times(argument.count, size_max))
            size = between.plus(argument.count.scaled(4))
            elements = EACH.count.times(argument.count, size_max)
            return Cost(argument.count, size, argument.work.plus(elements.scaled(10)).plus(size.scaled(0.25)))
    return None
