"""The command line: ``python -m braininit`` compares distributions, or draws from one."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import itertools
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, NoReturn

import jax
import numpy as np

import braininit
from braininit import files
from braininit._jax.dtypes import resolve
from braininit._params import reader, units
from braininit._params.shapes import as_shape
from braininit.config import classes, get
from braininit.initializer.initialization import Initialization
from braininit.plot import draws as pictures
from braininit.plot.values import law_of, significant_digits

_PROG = "python -m braininit"
_FIGURE, _SIZE = "braininit.png", "5000"
_PANEL = {"figsize": (6.4, 4.2), "layout": "constrained"}
_MAX_DRAWS = 100_000_000  # whoever needs more can draw them in Python

_COMPARED = (
    "Constant(0.5*nS)",
    "Uniform(0.2*nS, 0.8*nS)",
    "Normal(0.5*nS, 0.15*nS)",
    "LogNormal(0.5*nS, 0.15*nS)",
    "LogUniform(0.2*nS, 0.8*nS)",
    "Laplace(0.5*nS, 0.1*nS)",
    "Gamma(5, 0.1*nS)",
    "Exponential(0.5*nS)",
    "Weibull(2, 0.5*nS)",
    "Beta(2, 5, 0*nS, 1*nS)",
    "TruncatedNormal(0.5*nS, 0.15*nS, 0.2*nS, 0.8*nS)",
    "VonMises(0.5, 2)",
)


class Refusal(Exception):
    """The command can't be carried out; the message says what is wrong, and where."""

    def __str__(self) -> str:
        """Put the message on one line, whatever it quotes."""
        return " ".join(super().__str__().split())[:500]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    try:
        if sys.stdout is None:
            raise Refusal("standard output is closed")
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # units may contain non-ASCII
        try:
            options = _parser().parse_intermixed_args(argv)
            (_compare if options.expression is None else _draw)(options)
        finally:  # also after --help, which exits
            sys.stdout.flush()
    except Refusal as refusal:
        print(f"{_PROG}: error: {refusal}", file=sys.stderr)
        return 2
    except OSError as error:  # from standard output; errors of files are refusals
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(error, BrokenPipeError):  # the reader, such as `head`, has closed it
            print(f"{_PROG}: error: standard output: {error}", file=sys.stderr)
            return 2
    return 0


def read(text: str) -> Initialization:
    """Make the object that an expression, a configuration or a ``.json`` file describes."""
    if text.strip().lower().endswith(".json"):
        with _refusing("the configuration"), open(text.strip(), encoding="utf-8-sig") as file:
            text = file.read()
    with _refusing(""):
        value = reader.read(text, classes())
    with _refusing("the configuration"):
        value = get(value) if isinstance(value, dict) else value
    if not isinstance(value, Initialization):
        description = reader.described(value)
        raise Refusal(f"the expression is {description}, not a distribution; try Normal(0, 1)")
    return value


# ---------------------------------------------------------------- the two commands


def _compare(options: argparse.Namespace) -> None:
    """Compare distributions with their theory, in a table and a figure."""
    if options.out is not None or options.dtype is not None:
        raise Refusal("--out and --dtype go with an expression, such as 'Normal(0.5*nS, 0.1*nS)'")
    size, path = _size(options.size or [_SIZE]), _FIGURE if options.plot is None else options.plot
    with _refusing("writing"), contextlib.ExitStack() as stack:
        try:
            picture = _picture(stack, path)
        except Refusal as refusal:
            if options.plot is not None:
                raise
            picture = None
            print(f"{_PROG}: no figure: {refusal}", file=sys.stderr)
        named = [(type(dist).__name__, dist) for dist in map(read, _COMPARED)]
        draws = pictures.draw_all([dist for _, dist in named], size, options.seed)
        if picture:
            kind = options.kind or "histogram"
            picture(lambda figure: pictures.panels(named, draws, 3, figure, kind))
    rows = [(name, *_facts(values, d)) for (name, d), values in zip(named, draws, strict=True)]
    print(f"{math.prod(size)} draws from each distribution, seed {options.seed}\n")
    print(_table([("distribution", "mean", "theory", "std", "theory", "min", "max"), *rows]))
    print(f"\nfigure: {os.path.abspath(path)}\n" if picture else "")
    print(f'next: {_PROG} "{_COMPARED[3]}" 1000 --out weights.npz --plot weights.png')


def _draw(options: argparse.Namespace) -> None:
    """Draw from one distribution, print a summary, and write the requested files."""
    positional = [" ".join(options.count)] if options.count else []
    size, dtype = _size(positional + (options.size or []) or [_SIZE]), None
    if options.kind and options.plot is None:
        raise Refusal("--kind says what --plot draws: name a file, as in --plot weights.png")
    if options.dtype is not None:
        with _refusing("--dtype"), jax.enable_x64(True):
            dtype = resolve(options.dtype)
    # The files are opened before the draw, so that a wrong name is reported at once.
    with _refusing("writing"), contextlib.ExitStack() as stack:
        out = None if options.out is None else _open(stack, "--out", options.out, ["npz"])
        picture = None if options.plot is None else _picture(stack, options.plot)
        # Double precision was requested by name, so it is switched on.
        with jax.enable_x64(True) if dtype == np.float64 else contextlib.nullcontext():
            dist = read(options.expression)
            with _refusing("the draw"):
                values = dist(size, rng=options.seed, dtype=dtype)
                mean, mean_theory, std, std_theory, least, most = _facts(values, dist)
        if out:
            files.write(out, values)
        if picture:
            with _refusing("--plot"):
                plot = pictures.KINDS[options.kind or "histogram"]
                picture(lambda figure: plot(values, dist, figure(**_PANEL).subplots()).figure)
    unit = units.unwrap("values", values)[1]
    unit_text = f"unit {unit}" if unit else "no unit"
    print(options.expression.strip())
    print(f"shape {values.shape}, {values.dtype}, {unit_text}, seed {options.seed}\n")
    rows = [("mean", mean, mean_theory), ("std", std, std_theory), ("min", least), ("max", most)]
    print(_table([("", "drawn", "theory"), *rows]) + "\n" * bool(out or picture))
    for label, path in (("values", options.out), ("figure", options.plot)):
        if path:
            print(f"{label}: {os.path.abspath(path)}")


def _facts(values: Any, dist: Any) -> tuple[str, ...]:
    """Mean, mean by theory, std, std by theory, min and max, as text with their unit."""
    bare, unit = units.unwrap("values", values)
    x = np.asarray(bare).astype(np.float64)
    digits, suffix = significant_digits(x), f" {unit}" if unit else ""

    def text(number: Any, digits: int = digits) -> str:
        return "-" if number is None else f"{number:#.{digits}g}".rstrip(".") + suffix

    law, _ = law_of(dist, x.shape)
    mean, std = (None, None) if law is None else (law.mean, law.std)
    with np.errstate(all="ignore"):  # of infinities, which a Constant may be
        middle = (text(x.mean()), text(mean), text(x.std(), 4), text(std, 4))
    return (*middle, text(x.min()), text(x.max()))


def _table(rows: Iterable[Sequence[str]]) -> str:
    """Align rows: the first column to the left, the numbers to the right."""
    columns = list(itertools.zip_longest(*rows, fillvalue=""))
    widths = [max(map(len, column)) for column in columns]
    form = "  ".join(f"{{:{'>' if i else '<'}{width}}}" for i, width in enumerate(widths))
    first, *others = (form.format(*row).rstrip() for row in zip(*columns, strict=True))
    return "\n".join([first, "-" * len(first), *others])


# ---------------------------------------------------------------- options


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refusal(f"{message} (see {_PROG} --help)")

    def _print_message(self, message: str, file: Any = None) -> None:
        print(message, end="", file=file)  # argparse's own method hides errors of writing


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=_PROG,
        description="Draw initial values with physical units, and see how they are distributed.\n"
        "Without an expression: compare distributions with theory.",
        epilog=_examples(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    expression = (
        "a distribution, as in Python; in quotes for the shell. Or a configuration that "
        "braininit.to_config wrote: the text, or the name of a .json file"
    )
    count = "how much to draw: 1000, 1e6, 100x200 or 100,200"
    picture = f"draw a picture, also as .svg or .pdf (without an expression, default {_FIGURE})"
    kind = "the picture: histogram, cdf (distribution function) or qq (quantiles against theory)"
    add("expression", nargs="?", help=expression)
    add("count", metavar="size", nargs="*", help=count)
    add("--size", action="append", help=f"the same as an option (default {_SIZE})")
    add("--seed", type=int, default=42, help="any integer (default 42)")
    add("--dtype", help="float32, bfloat16, float64, ... (default float32)")
    add("--out", metavar="FILE.npz", help="write the values, with their unit")
    add("--plot", metavar="FILE.png", help=picture)
    add("--kind", choices=[*pictures.KINDS], help=kind)
    add("--version", action="version", version=f"braininit {braininit.__version__}")
    return parser


def _examples() -> str:
    entries = ""
    for name, cls in sorted(classes().items()):
        if issubclass(cls, Initialization) and hasattr(braininit, name):
            parameters = inspect.signature(cls).parameters.values()
            plain = inspect.Signature([p.replace(annotation=p.empty) for p in parameters])
            summary = (inspect.getdoc(cls) or "").splitlines()[0].split(";")[0]
            entries += f"  {name}{plain}\n      {summary}\n"
    return f"""\
examples:
  {_PROG}
  {_PROG} "LogNormal(0.5*nS, 0.2*nS)" 1000 --plot weights.png
  {_PROG} "TruncatedNormal(0.5*nS, 0.2*nS, low=0*nS)" 100x200 --seed 7 --out weights.npz
  {_PROG} "Normal([-60, -70]*mV, 5*mV)" 1000x2 --dtype bfloat16
  {_PROG} weights.json 1e6

  In Python, braininit.load("weights.npz") returns the values with their unit.

units:
  A number gets its unit by *, as in 0.5*nS, 20*mV, 1.5*nS/mm**2, 3/ms. The names are those
  of brainunit (nS or u.nS; nsiemens works too): https://brainunit.readthedocs.io

distributions:
{entries}"""


def _size(texts: Sequence[str]) -> tuple[int, ...]:
    """Read the size, which is given once, as in 1000, 1e6, 100x200 or (100, 200)."""
    if len(texts) > 1:
        raise Refusal(f"give the size once, not {' and --size '.join(texts)}")
    text, number = texts[0], r"\d{1,99}(?:(?:\.\d{1,99})?[eE]\+?\d\d?)?"
    parts = re.split(r"\s*[x,]\s*", re.sub(r"^\(\s*|\s*,?\s*\)?$", "", text))
    if not all(re.fullmatch(number, n, re.ASCII) and float(n).is_integer() for n in parts):
        apart = re.fullmatch(rf"{number}(\s+{number})+", text, re.ASCII)
        remedy = "x".join(text.split()) if apart else "1000, 1e6, 100x200 or 100,200"
        raise Refusal(f"{text!r} is not a size: write {remedy}")
    with _refusing("the size"):
        size = as_shape([int(n) if n.isdecimal() else int(float(n)) for n in parts])
    if not 0 < math.prod(size) <= _MAX_DRAWS:
        raise Refusal(f"the size {text!r} makes {math.prod(size)} draws: take 1 to {_MAX_DRAWS}")
    return size


def _open(stack: contextlib.ExitStack, option: str, path: str, endings: Iterable[str]) -> BinaryIO:
    """Open a file that appears when the stack exits without an error."""
    if os.path.splitext(path)[1][1:].lower() not in endings:
        known = ", ".join(f".{ending}" for ending in endings)
        raise Refusal(f"{option} {path}: the name must end in {known}")
    with _refusing(option):
        return stack.enter_context(files.replacing(path))


def _picture(stack: contextlib.ExitStack, path: str) -> Callable[[Callable[..., Any]], None]:
    """A function that takes a function of matplotlib's Figure, and writes the resulting figure."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise Refusal('figures need matplotlib: pip install "braininit[plot]"') from None
    file = _open(stack, "--plot", path, Figure().canvas.get_supported_filetypes())
    ending = os.path.splitext(path)[1][1:].lower()
    return lambda draw: draw(Figure).savefig(file, format=ending, dpi=150)


@contextlib.contextmanager
def _refusing(where: str) -> Iterator[None]:
    """Turn an error caused by the user's input into one line that says where it is."""
    try:
        yield
    except Refusal:
        raise
    except Exception as error:
        raise Refusal(f"{where}: {reader.said(error)}".removeprefix(": ")) from error


if __name__ == "__main__":
    sys.exit(main())
