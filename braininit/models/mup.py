"""The maximal update parametrization: what a small model is told, in terms of a wide one.

The width multipliers follow from two trees of shapes, that of the base and that of the model.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, overload

import jax.numpy as jnp
import numpy as np

from braininit._params.options import one_of
from braininit._params.values import fields
from braininit.distributions.continuous import Normal, TruncatedNormal, Uniform
from braininit.initializer.children import Custom
from braininit.initializer.constant import Constant, OneInit, ZeroInit
from braininit.initializer.initialization import Initialization
from braininit.layers.fans import NEEDED, from_shape
from braininit.layers.matrices import Orthogonal
from braininit.models.layouts import TABLES, asked_fans, has_own_axes
from braininit.models.leaves import Leaf, Stack, leaves_of, pattern
from braininit.models.parts import Parts
from braininit.models.problems import Problems
from braininit.models.rules import KEEP, Rule, as_initializer, as_rule, takes_leaf
from braininit.models.trees import opened

__all__ = ["MupRules", "mup"]


def mup(
    rules: Sequence[Any],
    base: Any,
    *,
    layers: str | None = None,
    stacked: Mapping[str, int] | None = None,
    layout: Any = None,
    axes: Mapping[str, str] | None = None,
    tables: str = TABLES,
) -> MupRules:
    r"""Make rules for a small model hold for wider ones: the maximal update parametrization, muP.

    Each leaf gets what its rule gives in the base, with the fans that it has there, times a
    multiplier of its width. With m the number of inputs over that of the base:

    =========  ===========================  ==========  ==============  ==========================
    a leaf is  if there grow                std is x    Adam's rate x   SGD's rate x
    =========  ===========================  ==========  ==============  ==========================
    hidden     its inputs and its outputs   m^(-1/2)    1 / m           outputs' growth / m
    output     its inputs alone             1 / m       1 / m           1 / m
    input      its outputs alone, a table   1           1               outputs' growth
    vector     a bias, the scale of a norm  1           1               its own growth
    =========  ===========================  ==========  ==============  ==========================

    The best learning rate of a small model is then that of a wide one.

    Parameters
    ----------
    rules : sequence of (pattern, initializer)
        As `plan` takes them: right for a model of the base's width.
    base : PyTree
        The small model, or what stands for it (`jax.eval_shape`), with the paths of the wide one.
        It may have fewer layers.
    layers, stacked, layout, axes
        As `plan` takes them: give both the same.
    tables : str
        A regular expression: tables, whose rows are looked up, and are inputs however their axes
        stand. Layers of embeddings are known by their classes.

    Returns
    -------
    MupRules
        A sequence of rules for `plan`; its `learning_rates` are for the optimizer.

    Raises
    ------
    PlanError
        By `plan`: with the paths of leaves that the base lacks, or has with other numbers of axes;
        of initializers whose draws in the base are not known, as a user's own function.

    Notes
    -----
    From Yang et al., Tensor Programs V, arXiv 2203.03466, table 3. What it asks of the model
    itself: attention divides by the size of a head, ``q @ k / d``, not by its root (times the
    root of the base's d, to have the base's values); a head whose weights are those of a table
    divides its results by m. With a head that starts at 0 the results don't depend on the width
    from the start; else they fall by the root of the width, as do the logits of attention.

    Check a model by the std of each layer's values at several widths: on logarithmic axes the slope
    is 0, at the start and after some steps.

    A rule that is a function of the leaf is shown the base's: its shape and fans.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, optax, braininit as init
    >>> def model(width):
    ...     shapes = {"in": (8, width), "hidden": (width, width), "out": (width, 1)}
    ...     return {name: jax.ShapeDtypeStruct(s, jnp.float32) for name, s in shapes.items()}
    >>> rules = init.mup([(r"", init.LecunNormal())], base=model(64))
    >>> params = init.plan(model(256), rules)(jax.random.key(0))
    >>> rates = rules.learning_rates(model(256))
    >>> rates
    {'hidden': 0.25, 'in': 1.0, 'out': 0.25}
    >>> by_width = optax.stateless(
    ...     lambda updates, params: jax.tree.map(lambda m, u: m * u, rates, updates)
    ... )
    >>> optimizer = optax.chain(optax.scale_by_adam(), by_width, optax.scale_by_learning_rate(1e-2))
    """
    options = {"layers": layers, "stacked": stacked or {}, "layout": layout, "axes": axes}
    known = [as_rule(i, rule) for i, rule in enumerate(rules)]
    return MupRules(known, _Base(base, options, tables), options)


class MupRules(Sequence[Rule]):
    """Rules whose draws are those of a base, times the multipliers of the width; by `mup`."""

    def __init__(self, rules: Sequence[Rule], base: _Base, options: Mapping[str, Any]) -> None:
        self._base, self._options = base, options
        # Two rules with one right side keep one: a tied leaf may match both.
        made = {id(rule.initializer): _Widened(rule.initializer, base) for rule in rules}
        self._rules = tuple(rule._replace(initializer=made[id(rule.initializer)]) for rule in rules)

    def __len__(self) -> int:
        return len(self._rules)

    @overload
    def __getitem__(self, index: int) -> Rule: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Rule, ...]: ...

    def __getitem__(self, index: Any) -> Any:
        return self._rules[index]

    def learning_rates(self, model: Any, optimizer: str = "adam") -> Any:
        """Return what the learning rate of each leaf is multiplied by.

        Parameters
        ----------
        model : PyTree
            The wide model, or what stands for it; of Equinox what `equinox.filter` leaves.
        optimizer : {'adam', 'sgd'}
            Adam stands for all whose steps don't depend on the size of gradients.

        Returns
        -------
        PyTree
            Of the model's type, with a float in place of each array. Multiply the updates by it,
            after Adam's scaling and before a weight decay that is to be the same at all widths.
        """
        one_of("optimizer", optimizer, [*_RATES])
        problems, tree = Problems(), opened(model)
        stacks = leaves_of(tree.places, **self._options, problems=problems)
        rates = [self._rate(stack, optimizer, problems) for stack in stacks]
        problems.raised()
        return tree.closed(rates)

    def _rate(self, stack: Stack, optimizer: str, problems: Problems) -> float:
        found = set()
        for leaf in stack.leaves:
            if not jnp.issubdtype(leaf.dtype, np.inexact):
                continue
            try:
                found.add(_RATES[optimizer](self._base.width(leaf)))
            except ValueError as error:
                problems.add(str(error), leaf.path)
        if len(found) > 1:
            problems.add("mup: stacked layers have several learning rates", stack.path)
        return min(found, default=1.0)


# ---------------------------------------------------------------- widths


class Width(NamedTuple):
    """How much wider a leaf is than in the base, and what that makes of its draws."""

    kind: str
    ins: float = 1.0
    outs: float = 1.0

    @property
    def divisor(self) -> float:
        """What the variance is divided by."""
        return {"hidden": self.ins, "output": self.ins**2}.get(self.kind, 1.0)


def _adam(width: Width) -> float:
    return 1 / width.ins


def _sgd(width: Width) -> float:
    return width.outs / width.ins


_RATES = {"adam": _adam, "sgd": _sgd}


class _Base:
    """The leaves of the small model."""

    def __init__(self, model: Any, options: Mapping[str, Any], tables: str) -> None:
        problems = Problems()
        stacks = leaves_of(opened(model).places, **{**options, "layers": None}, problems=problems)
        problems.raised()
        self._leaves = {leaf.path: leaf for stack in stacks for leaf in stack.leaves}
        self._layers = None if options["layers"] is None else pattern("layers", options["layers"])
        self._stacked = [pattern("stacked", prefix) for prefix in options["stacked"]]
        self._is_table = pattern("tables", tables).search
        self._numbered: dict[tuple[str, str], list[Leaf]] = {}
        for leaf in self._leaves.values():
            for before, _, after in _indices(leaf.path):
                self._numbered.setdefault((before, after), []).append(leaf)

    def of(self, leaf: Leaf) -> Leaf:
        """The base's leaf of the same path, or of another layer where it has fewer."""
        found = self._leaves.get(leaf.path) or self._of_another_layer(leaf)
        if found is None:
            raise ValueError("mup: the base has no such leaf")
        if found.ndim != leaf.ndim:
            raise ValueError("mup: the base's leaf has another number of axes")
        return found

    def _of_another_layer(self, leaf: Leaf) -> Leaf | None:
        for before, index, after in _indices(leaf.path):
            every = self._numbered.get((before, after))
            if not every or not self._is_layer(leaf, before, index):
                continue
            if len({other.shape for other in every}) > 1:
                raise ValueError("mup: the base has no such layer, and those that it has differ")
            return every[0]
        return None

    def _is_layer(self, leaf: Leaf, before: str, index: str) -> bool:
        """Whether an index in a path is that of a layer."""
        if leaf.layer == int(index):
            return True
        if any((match := p.search(before)) and match.end() == len(before) for p in self._stacked):
            return True
        match = self._layers and self._layers.search(f"{before}/{index}")
        return bool(match) and index in match.groups()

    def width(self, leaf: Leaf) -> Width:
        """The kind of a leaf and its multipliers."""
        base, layout = self.of(leaf), leaf.layout
        if leaf.ndim < 2 or layout is None or layout.given is not None:
            return Width("vector", outs=math.prod(leaf.shape) / math.prod(base.shape))
        if self._is_table(leaf.path) or _is_of_embedding(leaf):
            return Width("input", outs=leaf.shape[-1] / base.shape[-1])

        def growth(axes: tuple[int, ...]) -> float:
            return math.prod(leaf.shape[a] / base.shape[a] for a in axes)

        ins, outs = growth(layout.in_axis), growth(layout.out_axis)
        if ins == 1:
            return Width("input", outs=outs)
        return Width("output" if outs == 1 else "hidden", ins, outs)


def _is_of_embedding(leaf: Leaf) -> bool:
    return any(cls.__name__ in ("Embed", "Embedding") for cls in type(leaf.owner).__mro__)


def _indices(path: str) -> list[tuple[str, str, str]]:
    """What is before each index in a path, the index, and what is after it."""
    parts = path.split("/")
    return [
        ("/".join(parts[:i]), part, "/".join(parts[i + 1 :]))
        for i, part in enumerate(parts)
        if part.isdigit()
    ]


# ---------------------------------------------------------------- initializers


class _Widened:
    """A rule's right side: what the given one gives in the base, times the multiplier."""

    def __init__(self, given: Any, base: _Base) -> None:
        self._given, self._base, self._by_leaf = given, base, takes_leaf(given)
        self._made = None if self._by_leaf else as_initializer(given)

    def __call__(self, leaf: Leaf) -> Any:
        initializer = self._made
        if self._by_leaf:
            small = self._base.of(leaf)
            same = {"shape": small.shape, "layout": small.layout}
            initializer = as_initializer(self._given(dataclasses.replace(leaf, **same)))
        if initializer is None:
            return KEEP
        if not jnp.issubdtype(leaf.dtype, np.inexact):
            return initializer
        return _widened(initializer, leaf, self._base.of(leaf), self._base.width(leaf).divisor)

    def __repr__(self) -> str:
        return f"mup({self._given!r})"


_FOLDED: Mapping[type, tuple[str, ...]] = {
    Normal: ("mean", "std"),
    TruncatedNormal: ("mean", "std", "low", "high"),
    Uniform: ("low", "high"),
    Constant: ("value",),
    Orthogonal: ("scale",),
}
"""What is multiplied where a draw is."""


def _widened(obj: Any, leaf: Leaf, base: Leaf, divisor: float) -> Any:
    """An initializer as it draws in the base, its variance divided by a number."""
    if isinstance(obj, Parts):
        return _of_parts(obj, leaf, base, divisor)
    if isinstance(obj, ZeroInit) or (isinstance(obj, OneInit) and divisor == 1):
        return obj
    fans = asked_fans(obj._recipe)
    if fans is not None:
        own = _fans_in_base(obj, fans, base)
        return dataclasses.replace(obj, **{n: fan * divisor for n, fan in own.items()})
    facts = obj._recipe.facts
    known = (facts.elementwise and facts.has_rows) or isinstance(obj, Orthogonal)
    if not known or isinstance(obj, Custom):
        if divisor == 1:
            return obj
        raise TypeError(
            f"mup: what {obj!r} draws in the base is not known; give Normal(), a scaled "
            "initializer, or Orthogonal()"
        )
    changes: dict[str, Any] = {}
    for field in fields(obj):
        value = getattr(obj, field.name)
        if isinstance(value, Initialization):
            changes[field.name] = _widened(value, leaf, base, 1.0)
        elif type(value) is tuple and any(isinstance(v, Initialization) for v in value):
            changes[field.name] = tuple(_widened(v, leaf, base, 1.0) for v in value)
    if isinstance(obj, Orthogonal):
        divisor *= _longer_side(obj, base) / _longer_side(obj, leaf)
    folded = _FOLDED.get(type(obj))
    if folded is not None and divisor != 1:
        factor = divisor**-0.5
        numbers = {name: getattr(obj, name) for name in folded}
        changes |= {n: value * factor for n, value in numbers.items() if value is not None}
    made = dataclasses.replace(obj, **changes) if changes else obj
    return made if folded is not None or divisor == 1 else made * divisor**-0.5


def _fans_in_base(obj: Any, fans: Any, base: Leaf) -> dict[str, Any]:
    """The fans that a scaled initializer has in the base."""
    names = NEEDED[fans.mode]
    given = {name: getattr(obj, name, None) for name in names}
    found: dict[str, Any] = {}
    if any(fan is None for fan in given.values()):
        if has_own_axes(obj):
            axes = [(a,) if isinstance(a, int) else tuple(a) for a in fans[1:4]]
            found = from_shape(base.shape, *axes, names[0], any(given.values()))
        elif base.fans is not None:
            found = dict(zip(("fan_in", "fan_out"), base.fans, strict=True))
        else:
            raise ValueError("mup: the leaf of the base has no fans; give `fan_in=`")
    return {name: found[name] if fan is None else fan for name, fan in given.items()}


def _longer_side(obj: Orthogonal, leaf: Leaf) -> float:
    """The longer side of an orthogonal matrix: its draws have a variance of one over that."""
    layout = leaf.layout
    columns, batch, gates = (obj.column_axis,), obj.batch_axis, 1
    if (columns, batch) == ((-1,), ()) and layout is not None and len(layout.out_axis) == 1:
        columns, batch, gates = layout.out_axis, layout.batch_axis, layout.gates
    batch = (batch,) if isinstance(batch, int) else batch
    wide = math.prod(leaf.shape[a] for a in columns)
    high = math.prod(leaf.shape) / wide / math.prod(leaf.shape[a] for a in batch)
    return max(wide / gates, high)


def _of_parts(obj: Parts, leaf: Leaf, base: Leaf, divisor: float) -> Parts:
    """Kernels side by side: each as it is in the base."""
    at, child = obj.axis % leaf.ndim, as_initializer(obj.base)

    def part(whole: Leaf, length: int) -> Leaf:
        return dataclasses.replace(whole, shape=obj.part(whole.shape, length))

    grown = leaf.shape[at] / base.shape[at]
    made = [
        _widened(child, part(leaf, n), part(base, round(n / grown)), divisor)
        for n in dict.fromkeys(obj.lengths)
    ]
    if any(other != made[0] for other in made):
        raise ValueError("mup: parts of several sizes have several std in the base")
    return dataclasses.replace(obj, base=made[0])
