"""The maximal update parametrization: rules for a small model, applied to a wide one.

The width multipliers follow from two trees of shapes: the base's and the model's.
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
from braininit.models.trees import open_model

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
    r"""Adapt the rules for a small model to wider ones: the maximal update parametrization, muP.

    Each leaf is drawn as its rule draws in the base, with the base's fans, times a multiplier of
    the width. With m the number of inputs divided by that of the base:

    =========  ===========================  ==========  ==============  ==========================
    a leaf is  if these grow                std is x    Adam's rate x   SGD's rate x
    =========  ===========================  ==========  ==============  ==========================
    hidden     its inputs and its outputs   m^(-1/2)    1 / m           outputs' growth / m
    output     its inputs alone             1 / m       1 / m           1 / m
    input      its outputs alone, a table   1           1               outputs' growth
    vector     a bias, the scale of a norm  1           1               its own growth
    =========  ===========================  ==========  ==============  ==========================

    The best learning rate of a small model is then the best for a wide one.

    Parameters
    ----------
    rules : sequence of (pattern, initializer)
        As in `plan`, for a model of the base's width.
    base : PyTree
        The small model or its shapes (`jax.eval_shape`), with the paths of the wide one. It may
        have fewer layers.
    layers, stacked, layout, axes
        As in `plan`; give both the same.
    tables : str
        A regular expression for tables, whose rows are looked up: they are inputs in any layout.
        Layers of embeddings are known by their classes.

    Returns
    -------
    MupRules
        A sequence of rules for `plan`; its `learning_rates` are for the optimizer.

    Raises
    ------
    PlanError
        By `plan`: with the paths of leaves that the base lacks or has with another number of axes,
        and of initializers whose draws in the base are not known, as a user's own function.

    Notes
    -----
    From Yang et al., Tensor Programs V, arXiv 2203.03466, table 3. The model itself has two duties.
    Attention divides by the size of a head, ``q @ k / d``, not by its root (times the root of the
    base's d, to get the base's values). A head that shares its weights with a table divides its
    results by m. If the head starts at 0, the results don't depend on the width from the start;
    else they fall with the root of the width, as do the logits of attention.

    To check a model, plot the std of each layer's values against the width on logarithmic axes: the
    slope is 0, at the start and after some steps.

    A rule that is a function of the leaf receives the leaf with the base's shape and fans.

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
    checked = [as_rule(i, rule) for i, rule in enumerate(rules)]
    return MupRules(checked, _Base(base, options, tables), options)


class MupRules(Sequence[Rule]):
    """Rules that draw as in a base, times the multipliers of the width; made by `mup`."""

    def __init__(self, rules: Sequence[Rule], base: _Base, options: Mapping[str, Any]) -> None:
        self._base, self._options = base, options
        # Rules that share an initializer go on sharing one: a tied leaf may match both.
        wide = {id(rule.initializer): _Widened(rule.initializer, base) for rule in rules}
        self._rules = tuple(rule._replace(initializer=wide[id(rule.initializer)]) for rule in rules)

    def __len__(self) -> int:
        return len(self._rules)

    @overload
    def __getitem__(self, index: int) -> Rule: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Rule, ...]: ...

    def __getitem__(self, index: Any) -> Any:
        return self._rules[index]

    def learning_rates(self, model: Any, optimizer: str = "adam") -> Any:
        """Return the multiplier of the learning rate of each leaf.

        Parameters
        ----------
        model : PyTree
            The wide model or its shapes; of an Equinox model, the result of `equinox.filter`.
        optimizer : {'adam', 'sgd'}
            'adam' is right for every optimizer whose steps don't depend on the size of gradients.

        Returns
        -------
        PyTree
            A tree of the model's type with a float for each array. Multiply the updates by it,
            after Adam's scaling, and before a weight decay that is to be equal at all widths.
        """
        one_of("optimizer", optimizer, [*_RATES])
        problems, tree = Problems(), open_model(model)
        stacks = leaves_of(tree.places, **self._options, problems=problems)
        rates = [self._rate(stack, optimizer, problems) for stack in stacks]
        problems.raised()
        return tree.closed(rates)

    def _rate(self, stack: Stack, optimizer: str, problems: Problems) -> float:
        rates = set()
        for leaf in stack.leaves:
            if not jnp.issubdtype(leaf.dtype, np.inexact):
                continue
            try:
                rates.add(_RATES[optimizer](self._base.width(leaf)))
            except ValueError as error:
                problems.add(str(error), leaf.path)
        if len(rates) > 1:
            problems.add("mup: stacked layers have several learning rates", stack.path)
        return min(rates, default=1.0)


# ---------------------------------------------------------------- widths


class Width(NamedTuple):
    """How much wider a leaf is than in the base, and how its draws scale."""

    kind: str
    ins: float = 1.0
    outs: float = 1.0

    @property
    def divisor(self) -> float:
        """The number that divides the variance."""
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
        stacks = leaves_of(
            open_model(model).places, **{**options, "layers": None}, problems=problems
        )
        problems.raised()
        self._leaves = {leaf.path: leaf for stack in stacks for leaf in stack.leaves}
        self._layers = None if options["layers"] is None else pattern("layers", options["layers"])
        self._stacked = [pattern("stacked", prefix) for prefix in options["stacked"]]
        self._is_table = pattern("tables", tables).search
        self._numbered: dict[tuple[str, str], list[Leaf]] = {}
        for leaf in self._leaves.values():
            for before, _, after in _indices(leaf.path):
                self._numbered.setdefault((before, after), []).append(leaf)

    def find(self, leaf: Leaf) -> Leaf:
        """The base's leaf with the same path; of another layer, if the base has fewer."""
        base_leaf = self._leaves.get(leaf.path) or self._of_another_layer(leaf)
        if base_leaf is None:
            raise ValueError("mup: the base has no such leaf")
        if base_leaf.ndim != leaf.ndim:
            raise ValueError("mup: the base's leaf has another number of axes")
        return base_leaf

    def _of_another_layer(self, leaf: Leaf) -> Leaf | None:
        for before, index, after in _indices(leaf.path):
            others = self._numbered.get((before, after))
            if not others or not self._is_layer(leaf, before, index):
                continue
            if len({other.shape for other in others}) > 1:
                raise ValueError("mup: the base has no such layer, and the layers it has differ")
            return others[0]
        return None

    def _is_layer(self, leaf: Leaf, before: str, index: str) -> bool:
        """Whether an index in a path counts layers."""
        if leaf.layer == int(index):
            return True
        if any((match := p.search(before)) and match.end() == len(before) for p in self._stacked):
            return True
        match = self._layers and self._layers.search(f"{before}/{index}")
        return bool(match) and index in match.groups()

    def width(self, leaf: Leaf) -> Width:
        """The kind of a leaf and its multipliers."""
        base, layout = self.find(leaf), leaf.layout
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
    """Each index in a path: the path before it, the index, and the path after it."""
    parts = path.split("/")
    return [
        ("/".join(parts[:i]), part, "/".join(parts[i + 1 :]))
        for i, part in enumerate(parts)
        if part.isdigit()
    ]


# ---------------------------------------------------------------- initializers


class _Widened:
    """The right side of a rule: draws as the original in the base, times the multiplier."""

    def __init__(self, original: Any, base: _Base) -> None:
        self._original, self._base, self._by_leaf = original, base, takes_leaf(original)
        self._initializer = None if self._by_leaf else as_initializer(original)

    def __call__(self, leaf: Leaf) -> Any:
        initializer = self._initializer
        if self._by_leaf:
            small = self._base.find(leaf)
            seen = dataclasses.replace(leaf, shape=small.shape, layout=small.layout)
            initializer = as_initializer(self._original(seen))
        if initializer is None:
            return KEEP
        if not jnp.issubdtype(leaf.dtype, np.inexact):
            return initializer
        return _widened(initializer, leaf, self._base.find(leaf), self._base.width(leaf).divisor)

    def __repr__(self) -> str:
        return f"mup({self._original!r})"


_FOLDED: Mapping[type, tuple[str, ...]] = {
    Normal: ("mean", "std"),
    TruncatedNormal: ("mean", "std", "low", "high"),
    Uniform: ("low", "high"),
    Constant: ("value",),
    Orthogonal: ("scale",),
}
"""The parameters to multiply so that draws are multiplied."""


def _widened(obj: Any, leaf: Leaf, base: Leaf, divisor: float) -> Any:
    """An initializer that draws as in the base, with the variance divided by a number."""
    if isinstance(obj, Parts):
        return _of_parts(obj, leaf, base, divisor)
    if isinstance(obj, ZeroInit) or (isinstance(obj, OneInit) and divisor == 1):
        return obj
    fans = asked_fans(obj._recipe)
    if fans is not None:
        base_fans = _fans_in_base(obj, fans, base)
        return dataclasses.replace(obj, **{n: fan * divisor for n, fan in base_fans.items()})
    facts = obj._recipe.facts
    scalable = (facts.elementwise and facts.has_rows) or isinstance(obj, Orthogonal)
    if not scalable or isinstance(obj, Custom):
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
    result = dataclasses.replace(obj, **changes) if changes else obj
    return result if folded is not None or divisor == 1 else result * divisor**-0.5


def _fans_in_base(obj: Any, fans: Any, base: Leaf) -> dict[str, Any]:
    """The fans that a scaled initializer uses in the base."""
    names = NEEDED[fans.mode]
    given = {name: getattr(obj, name, None) for name in names}
    base_fans: dict[str, Any] = {}
    if any(fan is None for fan in given.values()):
        if has_own_axes(obj):
            axes = [(a,) if isinstance(a, int) else tuple(a) for a in fans[1:4]]
            base_fans = from_shape(base.shape, *axes, names[0], any(given.values()))
        elif base.fans is not None:
            base_fans = dict(zip(("fan_in", "fan_out"), base.fans, strict=True))
        else:
            raise ValueError("mup: the leaf of the base has no fans; give `fan_in=`")
    return {name: base_fans[name] if fan is None else fan for name, fan in given.items()}


def _longer_side(obj: Orthogonal, leaf: Leaf) -> float:
    """The longer side of an orthogonal matrix: the variance of its entries is 1 / side."""
    layout = leaf.layout
    columns, batch, gates = (obj.column_axis,), obj.batch_axis, 1
    if (columns, batch) == ((-1,), ()) and layout is not None and len(layout.out_axis) == 1:
        columns, batch, gates = layout.out_axis, layout.batch_axis, layout.gates
    batch = (batch,) if isinstance(batch, int) else batch
    wide = math.prod(leaf.shape[a] for a in columns)
    high = math.prod(leaf.shape) / wide / math.prod(leaf.shape[a] for a in batch)
    return max(wide / gates, high)


def _of_parts(obj: Parts, leaf: Leaf, base: Leaf, divisor: float) -> Parts:
    """Kernels side by side, each drawn as in the base."""
    at, child = obj.axis % leaf.ndim, as_initializer(obj.base)

    def part(whole: Leaf, length: int) -> Leaf:
        return dataclasses.replace(whole, shape=obj.part(whole.shape, length))

    growth = leaf.shape[at] / base.shape[at]
    widened = [
        _widened(child, part(leaf, n), part(base, round(n / growth)), divisor)
        for n in dict.fromkeys(obj.lengths)
    ]
    if any(other != widened[0] for other in widened):
        raise ValueError("mup: parts of several sizes have several std in the base")
    return dataclasses.replace(obj, base=widened[0])
