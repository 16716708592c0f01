"""On the command line: ``python -m braininit``, a look at the distributions, a draw from one."""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import inspect
import io
import math
import operator
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NoReturn

import brainunit as u
import jax
import numpy as np

import braininit
from braininit import files as _files
from braininit import plot, theory
from braininit._jax.dtypes import resolve
from braininit._params import units
from braininit._params.shapes import as_shape
from braininit.config import get
from braininit.initializer.initialization import Initialization

_PROG = "python -m braininit"
_FIGURE, _SIZE = "braininit.png", "5000"
_MOST = 100_000_000  # draws; a machine that has the memory for more has Python, too

_NINE = (
    "Constant(0.5*nS)",
    "Uniform(0.2*nS, 0.8*nS)",
    "Normal(0.5*nS, 0.15*nS)",
    "LogNormal(0.5*nS, 0.15*nS)",
    "Gamma(5, 0.1*nS)",
    "Exponential(0.5*nS)",
    "Weibull(2, 0.5*nS)",
    "Beta(2, 5, 0*nS, 1*nS)",
    "TruncatedNormal(0.5*nS, 0.15*nS, 0.2*nS, 0.8*nS)",
)


class Refusal(Exception):
    """What was asked for can't be done; the message says what is wrong, and where."""

    def __str__(self) -> str:
        """Keep to one line, whatever it quotes."""
        return " ".join(super().__str__().split())[:500]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    try:
        if sys.stdout is None:
            raise Refusal("standard output is closed")
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a unit may be more than ASCII
        try:
            options = _parser().parse_intermixed_args(argv)
            (_compare if options.expression is None else _draw)(options)
        finally:  # --help ends by an exit
            sys.stdout.flush()
    except Refusal as refusal:
        print(f"{_PROG}: error: {refusal}", file=sys.stderr)
        return 2
    except OSError as error:  # not of a file: those are refusals
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(error, BrokenPipeError):  # the reader, `head` say, has seen enough
            print(f"{_PROG}: error: standard output: {error}", file=sys.stderr)
            return 2
    return 0


# ---------------------------------------------------------------- what it does


def _compare(options: argparse.Namespace) -> None:
    """Set the nine distributions of the tutorial side by side."""
    if options.out is not None or options.dtype is not None:
        raise Refusal("--out and --dtype go with an expression, such as 'Normal(0.5*nS, 0.1*nS)'")
    size, figure = _size(_SIZE if options.size is None else options.size), None
    path = _FIGURE if options.plot is None else options.plot
    try:
        figure = _figure_class(path)
    except Refusal as refusal:
        if options.plot is not None:
            raise
        print(f"{_PROG}: no figure: {refusal}", file=sys.stderr)
    named = [(type(dist).__name__, dist) for dist in map(read, _NINE)]
    draws = plot.draw_all([dist for _, dist in named], size, options.seed)
    print(f"{math.prod(size)} draws from each distribution, seed {options.seed}\n")
    facts = [
        (name, *_facts(values, dist)) for (name, dist), values in zip(named, draws, strict=True)
    ]
    print(_table([("distribution", "mean", "theory", "std", "theory", "min", "max"), *facts]))
    if figure is not None:
        _write({path: _picture(plot.panels(named, draws, 3, figure), path)})
        print(f"\nfigure: {os.path.abspath(path)}")
    print(f'\nnext: {_PROG} "{_NINE[3]}" 1000 --out weights.npz --plot weights.png')


def _draw(options: argparse.Namespace) -> None:
    """Draw from one distribution, print a summary, write what was asked for."""
    given = [" ".join(options.count)] if options.count else []
    given += [] if options.size is None else [options.size]
    if len(given) > 1:
        raise Refusal(f"give the size once, not {given[0]} and --size {given[1]}")
    size, dtype = _size(*given or [_SIZE]), _dtype(options.dtype)
    if options.out is not None:
        _check_output("--out", options.out, ["npz"])
    figure = None if options.plot is None else _figure_class(options.plot)
    # Double precision was asked for by name: consent enough to switch it on.
    with jax.enable_x64(True) if dtype == np.float64 else contextlib.nullcontext():
        dist = read(options.expression)
        with _refusing("the draw"):
            values = dist(size, rng=options.seed, dtype=dtype)
            facts = _facts(values, dist)
    writers: dict[str, Callable[[BinaryIO], Any]] = {}
    if options.out is not None:
        writers[options.out] = lambda file: _files.write(file, values)
    if options.plot is not None and figure is not None:
        with _refusing("--plot"):
            canvas = figure(figsize=(6.4, 4.2), layout="constrained")
            plot.histogram(values, dist, canvas.subplots())
        writers[options.plot] = _picture(canvas, options.plot)
    _write(writers)
    _report(options, values, facts)
    for path in writers:
        print(f"{'values' if path == options.out else 'figure'}: {os.path.abspath(path)}")


def _report(options: argparse.Namespace, values: Any, facts: Sequence[str]) -> None:
    mean, mean_theory, std, std_theory, least, most = facts
    _, unit = units.split("values", values)
    print(options.expression.strip())
    named = f"unit {unit}" if unit else "no unit"
    print(f"shape {values.shape}, {values.dtype}, {named}, seed {options.seed}\n")
    rows = [("mean", mean, mean_theory), ("std", std, std_theory), ("min", least), ("max", most)]
    print(_table([("", "drawn", "theory"), *rows]) + "\n" * bool(options.out or options.plot))


def _facts(values: Any, dist: Any) -> tuple[str, ...]:
    """Mean, its theory, std, its theory, min and max, as text with their unit."""
    bare, unit = units.split("values", values)
    x = np.asarray(bare).astype(np.float64)
    digits, suffix = plot.figures(x), f" {unit}" if unit else ""

    def text(number: Any, digits: int) -> str:
        return "-" if number is None else f"{number:#.{digits}g}".rstrip(".") + suffix

    law, _ = theory.pooled(dist)
    mean, std = (None, None) if law is None else (law.mean, law.std)
    with np.errstate(all="ignore"):  # of infinities, which a Constant may be
        middle = (text(x.mean(), digits), text(mean, digits), text(x.std(), 4), text(std, 4))
    return (*middle, text(x.min(), digits), text(x.max(), digits))


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Align rows: the first column to the left, the numbers to the right."""
    columns = max(len(row) for row in rows)
    full = [[*row, *[""] * (columns - len(row))] for row in rows]
    first, *widths = (max(map(len, column)) for column in zip(*full, strict=True))
    lines = [
        "  ".join([name.ljust(first), *(c.rjust(w) for c, w in zip(cells, widths, strict=True))])
        for name, *cells in full
    ]
    return "\n".join(line.rstrip() for line in [lines[0], "-" * len(lines[0]), *lines[1:]])


# ---------------------------------------------------------------- options


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refusal(f"{message} (see {_PROG} --help)")

    def _print_message(self, message: str, file: Any = None) -> None:
        print(message, end="", file=file)  # argparse's own hides that it could not


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=_PROG,
        description="Draw initial values with physical units, and see how they are distributed.\n"
        "Without an expression: compare nine distributions with what theory says of them.",
        epilog=_examples(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "expression",
        nargs="?",
        help="a distribution, as in Python; in quotes for the shell. Or a configuration, what "
        "braininit.to_config writes: as it is, or the name of a .json file",
    )
    parser.add_argument(
        "count", metavar="size", nargs="*", help="how much to draw: 1000, 1e6, 100x200 or 100,200"
    )
    parser.add_argument("--size", help=f"the same as an option (default {_SIZE})")
    parser.add_argument("--seed", type=int, default=42, help="any integer (default 42)")
    parser.add_argument("--dtype", help="float32, bfloat16, float64, ... (default float32)")
    parser.add_argument("--out", metavar="FILE.npz", help="write the values, with their unit")
    parser.add_argument(
        "--plot",
        metavar="FILE.png",
        help=f"draw a histogram; .svg and .pdf go too (default {_FIGURE}, without an expression)",
    )
    parser.add_argument("--version", action="version", version=f"braininit {braininit.__version__}")
    return parser


def _examples() -> str:
    listed = "\n".join(
        f"  {_signature(cls)}\n      {(inspect.getdoc(cls) or '').splitlines()[0].split(';')[0]}"
        for cls in distributions().values()
    )
    return f"""\
examples:
  {_PROG}
  {_PROG} "LogNormal(0.5*nS, 0.2*nS)" 1000 --plot weights.png
  {_PROG} "TruncatedNormal(0.5*nS, 0.2*nS, low=0*nS)" 100x200 --seed 7 --out weights.npz
  {_PROG} "Normal([-60, -70]*mV, 5*mV)" 1000x2 --dtype bfloat16
  {_PROG} weights.json 1e6

  In Python, braininit.load("weights.npz") gives the values back, with their unit.

units:
  A number gets its unit by *, as in 0.5*nS, 20*mV, 1.5*nS/mm**2, 3/ms. The names are those
  of brainunit (nS or u.nS; nsiemens works too): https://brainunit.readthedocs.io

distributions:
{listed}
"""


def _size(text: str) -> tuple[int, ...]:
    number = r"\d{1,99}(?:(?:\.\d{1,99})?[eE]\+?\d\d?)?"
    found = re.findall(number, text, re.ASCII)
    sizes = [int(n) if n.isdecimal() else float(n) for n in found]
    whole = re.fullmatch(rf"\(?\s*{number}(\s*[x,]\s*{number})*\s*,?\s*\)?", text, re.ASCII)
    if not whole or any(n != int(n) for n in sizes):
        apart = re.fullmatch(rf"{number}(\s+{number})+", text, re.ASCII)
        remedy = "x".join(found) if apart else "1000, 1e6, 100x200 or 100,200"
        raise Refusal(f"the size {text!r} is not one: write {remedy}")
    with _refusing("the size"):
        size = as_shape([int(n) for n in sizes])
    if not 0 < math.prod(size) <= _MOST:
        raise Refusal(f"the size {text!r} makes {math.prod(size)} draws: take 1 to {_MOST}")
    return size


def _dtype(name: str | None) -> np.dtype | None:
    if name is None:
        return None
    with _refusing("--dtype"), jax.enable_x64(True):
        return resolve(name)


def _figure_class(path: str) -> Any:
    """Check that a picture can be written, before anything is drawn."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise Refusal('figures need matplotlib: pip install "braininit[plot]"') from None
    _check_output("--plot", path, Figure().canvas.get_supported_filetypes())
    return Figure


def _check_output(option: str, path: str, endings: Sequence[str] | Mapping[str, str]) -> None:
    with _refusing(option):
        target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if os.path.splitext(path)[1][1:].lower() not in endings:
        known = ", ".join(f".{ending}" for ending in endings)
        raise Refusal(f"{option} {path}: the name must end in {known}")
    if os.path.exists(target) and not os.path.isfile(target):
        raise Refusal(f"{option} {path}: there is something of that name that is not a file")
    if not os.path.isdir(folder):
        raise Refusal(f"{option} {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise Refusal(f"{option} {path}: the folder {folder} can't be written to")


# ---------------------------------------------------------------- files


def _picture(figure: Any, path: str) -> Callable[[BinaryIO], Any]:
    ending = os.path.splitext(path)[1][1:].lower()
    return lambda file: figure.savefig(file, format=ending, dpi=150)


def _write(writers: Mapping[str, Callable[[BinaryIO], Any]]) -> None:
    """Write all of the files, or none."""
    with _refusing("writing"), contextlib.ExitStack() as stack:
        for path, write in writers.items():
            write(stack.enter_context(_files.replacing(path)))


@contextlib.contextmanager
def _refusing(where: str) -> Iterator[None]:
    """Turn whatever a user's input sets off into one line that says where."""
    try:
        yield
    except Refusal:
        raise
    except Exception as error:
        text = str(error)
        if isinstance(error, OverflowError):
            text = "a number is too large"
        elif not text or not isinstance(error, (ValueError, TypeError, ArithmeticError, OSError)):
            text = f"{type(error).__name__}: {text}"
        raise Refusal(f"{where}: {text}") from error


# ---------------------------------------------------------------- expressions

_DEEPEST = 100
_WORDS = {"inf": math.inf, "Infinity": math.inf, "true": True, "false": False, "null": None}
_OPERATORS: dict[type, tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("add", operator.add),
    ast.Sub: ("sub", operator.sub),
    ast.Mult: ("mul", operator.mul),
    ast.Div: ("truediv", operator.truediv),
    ast.Pow: ("pow", operator.pow),
}


def distributions() -> dict[str, type]:
    """Find the initializer classes that braininit has, by name."""
    return {
        name: value
        for name, value in sorted(vars(braininit).items())
        if isinstance(value, type)
        and issubclass(value, Initialization)
        and value is not Initialization
    }


def read(text: str) -> Initialization:
    """Make the object an expression describes, from known names alone: nothing is evaluated.

    The expression may be a configuration, too, or the name of a ``.json`` file that holds one.

    Examples
    --------
    >>> from braininit.__main__ import read
    >>> read("Uniform(0*mV, 2**2*mV)")
    Uniform(low=Quantity(0.0, 'mV'), high=Quantity(4.0, 'mV'))
    """
    text = text.strip()
    if text.lower().endswith(".json"):
        with _refusing("the configuration"), open(text, encoding="utf-8-sig") as file:
            text = file.read().strip()
    if not text:
        raise Refusal("the expression is empty; try Normal(0, 1)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            node = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        hint = "; a unit follows a *, as in 0.5*nS" if re.search(r"\d\s*[a-zA-Z]", text) else ""
        raise Refusal(
            f"{_place(error.lineno or 1, error.offset or 1)}: {error.msg.rstrip('?.')}{hint}"
        ) from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise Refusal(f"the expression can't be read: {error}") from None
    dist = _value(node, 0)
    if isinstance(dist, dict):
        with _refusing("the configuration"):
            dist = get(dist)
    if not isinstance(dist, Initialization):
        raise Refusal(f"the expression is {_kind(dist)}, not a distribution; try Normal(0, 1)")
    return dist


def _value(node: ast.expr, depth: int) -> Any:
    """Give the value of a node; what goes wrong is told with the place where it did."""
    if depth > _DEEPEST:
        raise Refusal(f"the expression is nested more than {_DEEPEST} deep")
    with _refusing(_place(node.lineno, node.col_offset + 1)):
        return _of(node, lambda child: _value(child, depth + 1))


def _place(line: int, column: int) -> str:
    return f"{f'line {line}, ' if line > 1 else ''}column {column} of the expression"


def _of(node: ast.expr, value: Callable[[ast.expr], Any]) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number if abs(number) < 2**53 else float(number)
        case ast.Constant(value=None | str() | bool() as plain):
            return plain
        case ast.Name(id=name):
            return _named(name, distributions() | _WORDS)
        case ast.Attribute(value=ast.Name(id="u" | "brainunit"), attr=name):
            return _named(name, {})
        case ast.Attribute(value=ast.Name(id="init" | "braininit"), attr=name):
            return _named(name, distributions())
        case ast.Attribute(value=ast.Name(id="np" | "jnp" | "math"), attr="inf"):
            return math.inf
        case ast.List(elts=items):
            return _listed([value(item) for item in items])
        case ast.Tuple(elts=items):
            return tuple(value(item) for item in items)
        case ast.Dict(keys=keys, values=values) if None not in keys:
            names = [value(key) for key in keys if key is not None]
            _once(names)
            return dict(zip(names, map(value, values), strict=True))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _combine("mul", operator.mul, value(operand), -1)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return value(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _combine(*_OPERATORS[type(op)], value(left), value(right))
        case ast.Call(func=func, args=args, keywords=keywords) if all(k.arg for k in keywords):
            _once([k.arg for k in keywords])
            given = [value(a) for a in args], {k.arg: value(k.value) for k in keywords}
            match func:
                case ast.Attribute(value=base, attr="clip" | "add" | "multiply" as method):
                    return _method(value(base), method, *given)
            return _call(value(func), *given)
    raise ValueError(f"{ast.unparse(node)[:40]!r} has no meaning here; see {_PROG} --help")


def _once(names: list[Any]) -> None:
    seen = set()
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"a name in a configuration is a string, not {_kind(name)}")
        if name in seen:
            raise ValueError(f"{name} is given twice")
        seen.add(name)


def _named(name: str, others: Mapping[str, Any]) -> Any:
    """Look a name up: a distribution, or else a unit by its name or its symbol."""
    if name in others:
        return others[name]
    unit = getattr(u, name, None)
    if isinstance(unit, u.Unit):
        return unit
    with contextlib.suppress(ValueError):
        return u.parse_unit(name)
    found = (n for n in dir(u) if isinstance(getattr(u, n), u.Unit) and n.isalpha())
    alike = (n for n in found if abs(len(n) - len(name)) <= max(1, len(name) // 3))
    lower = {n.lower(): n for n in reversed([*others, *alike])}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    raise ValueError(f"unknown name {name}" + (f"; did you mean {lower[near[0]]}?" if near else ""))


def _call(cls: Any, args: list[Any], keywords: dict[Any, Any]) -> Any:
    if not isinstance(cls, type):
        raise TypeError(f"{_kind(cls)} can't be called; a unit follows a *, as in 0.5*nS")
    try:
        inspect.signature(cls).bind(*args, **keywords)
    except TypeError as error:
        raise TypeError(f"{error}; it is {_signature(cls)}") from None
    return cls(*args, **keywords)


def _method(obj: Any, name: str, args: list[Any], keywords: dict[Any, Any]) -> Any:
    if not isinstance(obj, Initialization):
        raise TypeError(f"{_kind(obj)} has no .{name}()")
    return getattr(obj, name)(*args, **keywords)


def _combine(name: str, operation: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """Calculate with numbers, quantities, units and initializers."""
    for mine, its, dunder in ((left, right, f"__{name}__"), (right, left, f"__r{name}__")):
        # An initializer first, by its own method: a Quantity's would wrap it.
        if isinstance(mine, Initialization) and hasattr(mine, dunder):
            return getattr(mine, dunder)(its)
    if name == "pow":
        return _power(left, right)
    if isinstance(left, u.Unit) and isinstance(right, u.Unit) and name in ("mul", "truediv"):
        return operation(left, right)
    (x, x_unit), (y, y_unit) = _apart(left), _apart(right)
    if name in ("add", "sub"):
        unit, (x, y) = units.off(left=units.on(x, x_unit), right=units.on(y, y_unit))
    else:
        unit = operation(x_unit or u.UNITLESS, y_unit or u.UNITLESS)
        unit = unit if x_unit or y_unit else None
    return units.on(operation(x, y), unit)


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(exponent, bool) or not isinstance(exponent, (int, float)):
        raise TypeError(f"an exponent is a number, not {_kind(exponent)}")
    if abs(exponent) > 100 and not isinstance(base, (int, float)):
        raise ValueError(f"the exponent {exponent} is too large for a unit")
    if isinstance(base, u.Unit):
        return base**exponent
    x, unit = _apart(base)
    power = float(x) ** exponent  # a float overflows at once where an integer would go on and on
    if isinstance(power, complex):
        raise ValueError(f"{x} has no real power {exponent}")
    whole = isinstance(x, int) and isinstance(exponent, int) and exponent >= 0 and power < 2**53
    return units.on(int(power) if whole else power, None if unit is None else unit**exponent)


def _apart(value: Any) -> tuple[Any, u.Unit | None]:
    if isinstance(value, u.Unit):
        return 1, value
    if isinstance(value, bool) or not isinstance(value, (int, float, list, np.ndarray, u.Quantity)):
        raise TypeError(f"can't calculate with {_kind(value)}")
    if isinstance(value, int):
        return value, None
    return units.split("value", value)


def _listed(items: list[Any]) -> Any:
    """Make one array of a list of quantities; leave other lists as they are."""
    if not any(isinstance(item, u.Quantity) for item in items):
        return items
    unit, bare = units.off(**{f"item {i}": item for i, item in enumerate(items)})
    return units.on(np.asarray(bare), unit)


def _signature(cls: type) -> str:
    parameters = inspect.signature(cls).parameters.values()
    written = (p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters)
    return f"{cls.__name__}({', '.join(written)})"


def _kind(value: Any) -> str:
    if isinstance(value, type):
        return f"the name {value.__name__} without its (...)"
    names = {u.Unit: "the unit", u.Quantity: "the quantity", str: "the string"}
    return next((f"{n} {value}" for cls, n in names.items() if isinstance(value, cls)), f"{value}")


if __name__ == "__main__":
    sys.exit(main())
