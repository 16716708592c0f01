"""The plan of a model: how each leaf is initialized, and the model drawn by the plan."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar, cast

import jax
import numpy as np
from jax.sharding import NamedSharding

from braininit._engine import keys
from braininit._jax.settings import eager
from braininit._params.types import Key, Values
from braininit.initializer.children import Custom
from braininit.models import draws
from braininit.models.leaves import Stack, bare, leaves_of, pattern
from braininit.models.paths import joined, path_keys, split
from braininit.models.placement import in_place, place
from braininit.models.problems import PlanError, Problems, near
from braininit.models.processes import agree, telling
from braininit.models.progress import tracked
from braininit.models.rules import Choice, chosen
from braininit.models.table import as_html, as_text
from braininit.models.trees import Opened, open_model
from braininit.models.warm import Report, match_given

__all__ = ["ModelPlan", "initialize", "plan"]


@dataclasses.dataclass(eq=False)
class Row:
    """A leaf of the model's tree, with its initializers and its sharding."""

    stack: Stack
    choices: list[Choice]
    sharding: NamedSharding | None
    drawn: bool
    """False if the leaf is kept, or left out by `only`."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The path of the leaf, and its other paths if it is tied."""
        return (self.stack.path, *map(joined, self.stack.place.ties))

    @property
    def kept(self) -> bool:
        """Whether the rules keep the leaf."""
        return self.choices[0].initializer is None


M = TypeVar("M")

Rules: TypeAlias = Sequence[Any] | Mapping[Any, Any]
Renames: TypeAlias = Sequence[tuple[str, str | None]] | Mapping[str, str | None]


class ModelPlan(Generic[M]):
    """How each leaf of a model is initialized: print it for a table, call it to draw the model.

    Made by `plan`.
    """

    report: Report | None = None
    """The paths that the last call took from `given`, drew, kept and left over."""

    def __init__(self, tree: Opened, rows: Sequence[Row], *, partial: bool = False) -> None:
        self._tree, self.rows, self._partial = tree, list(rows), partial

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        return as_text(self.rows)

    def __repr__(self) -> str:
        drawn = sum(row.drawn for row in self.rows)
        return f"<plan of {len(self.rows)} leaves, {drawn} drawn; print it for a table>"

    def _repr_html_(self) -> str:
        return as_html(self.rows)

    def __call__(
        self,
        key: Key,
        given: Any = None,
        *,
        rename: Renames = (),
        given_stacked: Mapping[str, int] | None = None,
        left_over: str = "error",
        progress: bool | None = None,
    ) -> M:
        """Draw the model.

        Parameters
        ----------
        key : key
            A JAX key; each leaf's key follows from this key and the leaf's path (`path_key`).
        given : tree or mapping, optional
            Values to take instead of drawing: a model, parameters, or a mapping from paths.
            Layers that the model stacks along an axis may be given one by one; for the reverse
            see `given_stacked`.
        rename : sequence of (pattern, replacement)
            Regular expressions that turn the paths of `given` into those of the model. With the
            replacement None, matching paths are left out.
        given_stacked : mapping, optional
            For layers that `given` stacks along an axis and the model does not: patterns of paths,
            and the axis, as in `stacked` of `plan`. The paths are those after `rename`: with
            ``{r"^blocks": 0}`` the leaf ``blocks/kernel`` holds the layers ``blocks/0/kernel``,
            ``blocks/1/kernel`` and so on, as many as the model has.
        left_over : {'error', 'ignore'}
            Whether values in `given` that the model has no leaf for are an error.
        progress : bool, optional
            Whether to show a bar; by default, if drawing takes more than a second.

        Returns
        -------
        model
            A model of the same type as the planned one.

        Examples
        --------
        >>> import jax, jax.numpy as jnp, braininit as init
        >>> model = {"blocks": [{"w": jax.ShapeDtypeStruct((2,), jnp.float32)}] * 3}
        >>> plan = init.plan(model, [("w", init.Normal())])
        >>> checkpoint = {"blocks": {"w": jnp.arange(6.0).reshape(3, 2)}}
        >>> params = plan(jax.random.key(0), checkpoint, given_stacked={"^blocks": 0})
        >>> params["blocks"][1]["w"].tolist()
        [2.0, 3.0]
        >>> plan.report.taken["blocks/1/w"]
        'blocks/w[1]'
        """
        rows = self.rows
        with telling():
            source = match_given(given, rename, given_stacked, rows, left_over)
        redrawn = {i for i, row in enumerate(rows) if self._partial and row.drawn}
        values = {i: value for i, value in source.values.items() if i not in redrawn}
        self._agree(key, values)
        values = {i: in_place(value, rows[i].sharding) for i, value in values.items()}
        drawing = [i for i, row in enumerate(rows) if row.drawn and i not in values]
        kept = [i for i, row in enumerate(rows) if not row.drawn and i not in values]
        self.report = Report(
            {rows[i].stack.path: source.paths[i] for i in sorted(values)},
            tuple(rows[i].stack.path for i in drawing),
            tuple(rows[i].stack.path for i in kept),
            source.left_over,
            source.left_out,
        )
        values |= {i: self._kept_value(rows[i]) for i in kept}
        constant = [i for i in drawing if _is_small_constant(rows[i])]
        pairs = [(rows[i].choices[0], rows[i].stack.leaves[0]) for i in constant]
        values |= zip(constant, draws.constants(pairs), strict=True)
        random = [i for i in drawing if i not in values]
        paths = [split(leaf.path) for i in random for leaf in rows[i].stack.leaves]
        leaf_keys = iter(path_keys(key, paths))
        for i in tracked(random, progress):
            values[i] = _drawn(rows[i], [next(leaf_keys) for _ in rows[i].stack.leaves])
        return cast(M, self._tree.closed(values[i] for i in range(len(rows))))

    def leaf(self, key: Key, path: str) -> Values:
        """Draw one leaf alone, with the same bits as in the model.

        Parameters
        ----------
        key : key
            The key of the model.
        path : str
            The leaf's path; where layers are stacked, that of one layer or of the whole.
        """
        path = joined(split(path))
        for row in self.rows:
            if path in row.paths:
                if row.kept:
                    raise ValueError(f"{path} is kept by its rule; there is nothing to draw")
                return _drawn(row, path_keys(key, [split(leaf.path) for leaf in row.stack.leaves]))
            for leaf, choice in zip(row.stack.leaves, row.choices, strict=True):
                if leaf.path == path and choice.initializer is not None:
                    (leaf_key,) = path_keys(key, [split(path)])
                    return draws.draw_leaf(choice, leaf, leaf_key)
        paths = [leaf.path for row in self.rows for leaf in row.stack.leaves]
        raise KeyError(f"the model has no leaf {path!r}{near(path, paths)}")

    def only(self, of: str) -> ModelPlan[M]:
        """Return a plan that draws only the leaves whose paths match the regular expression `of`.

        Other leaves are taken from `given`, or keep their value.
        """
        matches = pattern("of", of).search
        rows = [
            dataclasses.replace(row, drawn=row.drawn and any(map(matches, row.paths)))
            for row in self.rows
        ]
        if not any(row.drawn for row in rows):
            raise ValueError(f"{of!r} matches no leaf that is drawn")
        return ModelPlan(self._tree, rows, partial=True)

    def _kept_value(self, row: Row) -> Any:
        value = row.stack.place.value
        if not row.kept and isinstance(bare(value), jax.ShapeDtypeStruct):
            raise PlanError(f"nothing draws these leaves, and none is given: {row.stack.path}")
        return value

    def _agree(self, key: Any, values: Mapping[int, Any]) -> None:
        """Raise a PlanError if the processes of a cluster would draw different models."""
        if not eager() or jax.process_count() == 1:
            return
        words = keys.typed(key, keys.legacy_impl(key))
        plan = [repr(sorted(values)), *map(_described, self.rows)]
        agree(
            {
                "keys": np.asarray(jax.random.key_data(words)).tobytes(),
                "plans": "\n".join(plan).encode(),
            }
        )


def _described(row: Row) -> str:
    """A row as text, equal in all processes with the same plan."""

    def name(choice: Choice) -> str:
        if isinstance(custom := choice.initializer, Custom):
            return getattr(custom.function, "__qualname__", type(custom.function).__qualname__)
        return re.sub(r" at 0x[0-9a-f]+", "", repr(choice.initializer))

    spec = None if row.sharding is None else (row.sharding.spec, row.sharding.mesh.shape_tuple)
    return "\n".join(
        f"{leaf.path} {leaf.shape} {leaf.dtype} {leaf.unit} {spec} {row.drawn} {name(choice)}"
        for leaf, choice in zip(row.stack.leaves, row.choices, strict=True)
    )


def _is_small_constant(row: Row) -> bool:
    """Whether a leaf is a small constant, without a sharding and without stacked layers."""
    single = row.sharding is None and row.stack.axis is None
    return single and draws.is_small_constant(row.choices[0], row.stack.leaves[0])


def _drawn(row: Row, leaf_keys: Sequence[Any]) -> Any:
    if row.stack.axis is None:
        return draws.draw_leaf(row.choices[0], row.stack.leaves[0], leaf_keys[0], row.sharding)
    return draws.draw_layers(row.choices, row.stack.leaves, leaf_keys, row.stack.axis, row.sharding)


# ---------------------------------------------------------------- making a plan


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Turn off Python's garbage collector: for 10^5 leaves it takes 60% of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@telling()
@_without_collector()
def plan(
    model: M,
    rules: Rules,
    *,
    layers: str | None = None,
    stacked: Mapping[str, int] | None = None,
    layout: Any = None,
    axes: Mapping[str, str] | None = None,
    shardings: Any = None,
    mesh: jax.sharding.Mesh | None = None,
) -> ModelPlan[M]:
    r"""Plan the initial values of a whole model; nothing is drawn yet.

    Parameters
    ----------
    model : PyTree
        A model or parameters, with arrays, Quantities or their shapes (`jax.eval_shape`,
        `equinox.filter_eval_shape`, `nnx.eval_shape`): Equinox and nnx modules, nnx States,
        parameters of linen and Haiku, a TrainState, brainstate's modules and States. A Python
        number is a leaf if it has a unit, ``0.5 * u.mV``, or is in a variable, as in
        ``nnx.Param(0.5)``; other numbers keep their value.
    rules : sequence of (pattern, initializer)
        The first rule that matches a leaf counts. The pattern is a regular expression, searched in
        the leaf's path (``blocks/0/mlp/kernel``); a class, of the leaf's variable or of the module
        that owns it; or a predicate of the leaf (`Leaf`). The initializer is one of this package or
        of `jax.nn.initializers`, a function ``(key, shape, dtype)``, a configuration or a name for
        `get`, a number, `KEEP`, or a function of the leaf that returns one of these.
    layers : str, optional
        A regular expression with a group for the index of the layer: ``r"blocks/(\d+)"``.
    stacked : mapping, optional
        For leaves with an axis of layers: patterns of paths, and the axis, ``{r"^blocks": 0}``.
        Layer i is drawn as the leaf ``blocks/i/...`` would be.
    layout : str or sequence of (pattern, str), optional
        The axes of kernels: ``"torch"`` for (out, in, \*spatial), ``"jax"`` for (\*spatial, in,
        out). By default, those of the layer that owns the leaf, else ``"jax"``.
    axes : mapping, optional
        The role of each named axis (linen's and nnx's metadata): ``{"embed": "in", "mlp": "out",
        "experts": "batch"}``; ``"spatial"`` is the receptive field.
    shardings : optional
        The sharding of each leaf: a sequence of (pattern, PartitionSpec, NamedSharding or `fsdp`),
        one of these for all, a tree of them, or a mapping from the names of axes to those of the
        mesh. By default, the leaf's own sharding, else its names of axes on the mesh.
    mesh : Mesh, optional
        The mesh; by default, the one set by `jax.set_mesh`.

    Returns
    -------
    ModelPlan
        ``print(plan)`` shows how each leaf is initialized; ``plan(key)`` draws the model.

    Raises
    ------
    PlanError
        A ValueError that lists every problem with its paths: leaves without a rule, rules without a
        leaf, units, dtypes and axes that don't fit, tied leaves with two rules, rules for
        parameters that would set an optimizer's state.

    Notes
    -----
    A leaf's draw depends only on the key and on its path, shape, dtype and initializer: it stays
    the same when other layers are added, removed or reordered, and on any devices. The path of a
    tied leaf is the first of its paths in alphabetical order. A scaled initializer with JAX's
    default axes takes the axes of the leaf, unless they are written as tuples, ``in_axis=(-2,)``; a
    bias has the fans of the kernel beside it. A kept leaf that is only a shape stays a shape.

    A rule that matches a parameter is refused for the leaves that follow it in a state of optax,
    such as the moments of Adam: half of a second moment drawn as its kernel would be negative. Let
    a rule for the state come first, ``(r"^opt_state", 0.0)``, or its class. Other copies of
    parameters, such as their averages, have draws of their own: set them from the drawn model.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, braininit as init
    >>> shape = jax.ShapeDtypeStruct
    >>> model = {"mlp": {"kernel": shape((64, 32), jnp.float32), "bias": shape((32,), jnp.float32)}}
    >>> plan = init.plan(model, [(r"kernel", init.LecunNormal()), (r"bias", 0.0)])
    >>> params = plan(jax.random.key(0))
    >>> params["mlp"]["kernel"].shape
    (64, 32)
    """
    problems, tree = Problems(), open_model(model)
    stacks = leaves_of(
        tree.places,
        layers=layers,
        stacked=stacked or {},
        layout=layout,
        axes=axes,
        problems=problems,
    )
    _refuse_equal_paths(stacks, problems)
    placed = place(stacks, shardings, mesh, problems)
    choices = chosen(stacks, rules, problems)
    rows = []
    for stack, layers_choices, (sharding, problem) in zip(stacks, choices, placed, strict=True):
        drawn = {choice.initializer is not None for choice in layers_choices}
        if len(drawn) > 1:
            problems.add("a leaf of stacked layers must be kept or drawn as a whole", stack.path)
        if True in drawn and problem:
            problems.add(problem, stack.path)
        rows.append(Row(stack, layers_choices, sharding, drawn=True in drawn))
    problems.raised()
    return ModelPlan(tree, rows)


def _refuse_equal_paths(stacks: Sequence[Stack], problems: Problems) -> None:
    seen: set[str] = set()
    for stack in stacks:
        for leaf in stack.leaves:
            if leaf.path in seen:
                problems.add("two leaves have the same path", leaf.path)
            seen.add(leaf.path)


def initialize(
    model: M,
    rules: Rules,
    key: Key,
    given: Any = None,
    *,
    rename: Renames = (),
    given_stacked: Mapping[str, int] | None = None,
    left_over: str = "error",
    progress: bool | None = None,
    **options: Any,
) -> M:
    """Draw a whole model by rules: ``plan(model, rules, **options)(key, given, ...)``.

    Parameters
    ----------
    model, rules, **options
        As in `plan`.
    key, given, rename, given_stacked, left_over, progress
        As in a call of a plan.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, braininit as init
    >>> model = {"w": jax.ShapeDtypeStruct((3, 2), jnp.float32)}
    >>> init.initialize(model, [("w", init.Normal())], jax.random.key(0))["w"].shape
    (3, 2)
    """
    return plan(model, rules, **options)(
        key,
        given,
        rename=rename,
        given_stacked=given_stacked,
        left_over=left_over,
        progress=progress,
    )
