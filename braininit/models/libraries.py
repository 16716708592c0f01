"""The default initializations of libraries, as rules; exported by `presets`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from braininit._params import options
from braininit.distributions.continuous import Normal, Uniform
from braininit.initializer.constant import Constant
from braininit.layers.kaiming import KaimingUniform
from braininit.layers.matrices import Orthogonal
from braininit.layers.scaling import LecunNormal, VarianceScaling, XavierNormal, XavierUniform
from braininit.models.layouts import TABLES
from braininit.models.leaves import Leaf
from braininit.models.rules import KEEP, Rule

__all__ = [
    "equinox",
    "flax",
    "follows_weight",
    "is_of_random_numbers",
    "is_scale",
    "keras",
    "optional",
    "owned_by",
    "table",
    "torch",
]

# ---------------------------------------------------------------- kinds of leaves


def owned_by(*names: str) -> Callable[[Leaf], bool]:
    """A function that tells whether a leaf's layer has a class with such a part in its name."""

    def owned(leaf: Leaf) -> bool:
        return any(name in cls.__name__ for cls in type(leaf.owner).__mro__ for name in names)

    return owned


_is_of_norm = owned_by("Norm")


def is_scale(leaf: Leaf) -> bool:
    """Whether a leaf is a scale, as of a norm, or a running variance."""
    if re.search(r"(scale|gamma|multiplier|(^|_)var(iance)?)$", leaf.name):
        return True
    if _is_norm_of_weight(leaf):
        return False
    named = leaf.name in ("weight", "w", "g", "kernel")
    if leaf.ndim > 1:
        return named and _is_of_norm(leaf)
    return named or re.search(r"norm|(^|/)ln", leaf.path) is not None


def _is_norm_of_weight(leaf: Leaf) -> bool:
    """Whether a leaf is g of Equinox's WeightNorm, the norm of the wrapped layer's weight."""
    return leaf.name == "g" and _is_of_equinox(leaf, "WeightNorm")


def _is_of_power_iteration(leaf: Leaf) -> bool:
    """Whether a leaf is u or v of Equinox's SpectralNorm, before its state is separated."""
    return "/uv_index/init/" in f"/{leaf.path}" and _is_of_equinox(leaf, "StateIndex")


def _is_of_equinox(leaf: Leaf, name: str) -> bool:
    return any(
        cls.__name__ == name and cls.__module__.partition(".")[0] == "equinox"
        for cls in type(leaf.owner).__mro__
    )


def follows_weight() -> Rule:
    """The rule for leaves that must follow from a drawn weight: it raises an error."""

    def refused(leaf: Leaf) -> Any:
        name = "SpectralNorm's u and v" if _is_of_power_iteration(leaf) else "WeightNorm's g"
        raise ValueError(
            f"{name} must follow from the drawn weight; give KEEP here, and wrap the drawn layer "
            "anew, as the notes of presets.equinox do"
        )

    def follows(leaf: Leaf) -> bool:
        return _is_norm_of_weight(leaf) or _is_of_power_iteration(leaf)

    return Rule(follows, refused, optional=True)


def is_of_random_numbers(leaf: Leaf) -> bool:
    """Whether a leaf is a key or a counter of nnx."""
    return leaf.variable is not None and leaf.variable.__name__ in ("RngKey", "RngCount")


def random_state() -> Rule:
    """The rule for keys and counters of nnx: kept; where they are only shapes, made."""

    def make_keys(key: Any, shape: Any, dtype: Any) -> Any:
        return jax.random.split(key, shape) if shape else key

    def initializer(leaf: Leaf) -> Any:
        if not leaf.abstract:
            return KEEP
        return make_keys if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else 0

    return Rule(is_of_random_numbers, initializer, optional=True)


def optional(*rules: tuple[Any, Any]) -> list[Rule]:
    """Rules that may match no leaf, from pairs."""
    return [Rule(*rule, optional=True) for rule in rules]


def table(scale: float) -> Callable[[Leaf], VarianceScaling]:
    """Normal, of variance `scale` / row length, for a table or several side by side."""

    def initializer(leaf: Leaf) -> VarianceScaling:
        batch = tuple(range(leaf.ndim - 2))
        return VarianceScaling(scale, "fan_in", "normal", in_axis=-1, out_axis=-2, batch_axis=batch)

    return initializer


# ---------------------------------------------------------------- layers of libraries

_TORCH = VarianceScaling(1 / 3, "fan_in", "uniform")
"""Uniform on +-1 / sqrt(fan_in)."""


def torch(*, gates: int | None = None, embedding: str = TABLES) -> list[Rule]:
    r"""Return PyTorch's defaults, for parameters with PyTorch's names.

    ====================================  ======================================================
    Linear, Conv, their biases            uniform on +-1 / sqrt(fan_in)
    Embedding                             normal, std 1
    RNN, GRU, LSTM: all                   uniform on +-1 / sqrt(hidden)
    MultiheadAttention: ``in_proj``       Glorot uniform, of the fused kernel; biases 0
    norms                                 1 and 0; running mean 0, variance 1
    ====================================  ======================================================

    Parameters
    ----------
    gates : int, optional
        The number of gates of recurrent layers: 4 in an LSTM, 3 in a GRU, 1 in an RNN.
    embedding : str
        A regular expression for the tables.

    Notes
    -----
    From the ``reset_parameters`` of PyTorch 2.14: ``kaiming_uniform_(weight, a=sqrt(5))`` has the
    bound 1 / sqrt(fan_in). Give ``layout="torch"`` to the plan where kernels are (out, in,
    \*spatial), and write the names of a `state_dict` with slashes. The bias of a layer named
    ``out_proj`` is 0, as in MultiheadAttention. The row of a `padding_idx` is drawn like the
    others. Bilinear and PReLU need their own rules.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, braininit as init
    >>> model = {"fc/weight": jnp.zeros((20, 100)), "fc/bias": jnp.zeros(20)}
    >>> plan = init.plan(model, init.presets.torch(), layout="torch")
    >>> bool(abs(plan(jax.random.key(0))["fc/bias"]).max() <= 0.1)
    True
    """
    gates = None if gates is None else options.whole("gates", gates, 1)

    def recurrent(leaf: Leaf) -> Uniform:
        if gates is None:
            raise ValueError("torch: how many gates? Give gates=4 for an LSTM, 3 for a GRU, 1")
        hidden = leaf.shape[1] if "_hr_" in leaf.name else leaf.shape[0] // gates
        return Uniform(-(hidden**-0.5), hidden**-0.5)

    def bias(leaf: Leaf) -> Any:
        return 0.0 if leaf.fan_in is None else _TORCH

    return optional(
        (r"(^|/)(weight_(ih|hh|hr)|bias_(ih|hh))(_l\d+(_reverse)?)?$", recurrent),
        (r"(^|/)(in|[qkv])_proj_weight$", XavierUniform()),
        (r"(^|/)bias_[kv]$", XavierNormal(distribution="normal")),
        (r"(^|/)(in_proj_bias|out_proj/bias|running_mean|num_batches_tracked)$", 0.0),
        (r"(^|/)running_var$", 1.0),
        (r"(^|/)bias$", bias),
        (is_scale, 1.0),
        (embedding, Normal(0.0, 1.0)),
        (r"(^|/)weight$", _TORCH),
    )


def flax() -> list[Rule]:
    """Return the defaults of Flax, for linen's parameters and for nnx modules.

    ================================  ==========================================================
    kernels                           LeCun normal, truncated at 2 std and widened
    recurrent kernels                 orthogonal
    Embed                             normal, std 1 / sqrt(features)
    biases, running means             0
    scales, running variances, sigma  1
    u of SpectralNorm                 normal, std 1; of nnx 0.01
    LoRA                              He uniform, and 0
    ================================  ==========================================================

    Notes
    -----
    From ``flax.linen`` and ``flax.nnx`` 0.12. The std is that of the draws, after truncation. As in
    Flax, a LinearGeneral counts its axes of independent kernels as inputs, and a ConvTranspose with
    ``transpose_kernel=True`` its outputs; the kernels of linen's attention, (in, heads, size) and
    (heads, size, out), have the fans of the flat kernels. Other kernels with several axes of inputs
    or outputs need `axes` in the plan, or their own rules: in ``DenseGeneral_0`` they are an error;
    in layers that you named, they can't be told from kernels of a convolution.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, braininit as init
    >>> from flax import nnx
    >>> model = nnx.eval_shape(lambda: nnx.Linear(100, 20, rngs=nnx.Rngs(0)))
    >>> init.plan(model, init.presets.flax())(jax.random.key(0)).kernel.shape
    (100, 20)
    """
    rules = optional(
        (r"(^|/)(sigma$|scales/|(input|kernel|output_grad)_scale$)", 1.0),
        (r"_amax_history$|(^|/)cache(d_key|d_value|_index)$", 0.0),
        (r"(^|/)u$", lambda leaf: Normal(0.0, 1.0 if leaf.variable is None else 0.01)),
        (r"(^|/)if/bias$", 1.0),  # of MGUCell; other cells have no such leaf
        (r"(^|/)(dense_h|h[ifgornz]|\w*[cC]ell(_\d+)?/h)/kernel$", Orthogonal()),
        (r"(^|/)embedding$", table(1.0)),
        (r"(^|/)lora_a$", KaimingUniform()),
        (lambda leaf: leaf.name == "kernel" and _counts_otherwise(leaf), _kernel_of_nnx),
        (r"(^|/)DenseGeneral_\d+/kernel$", _kernel_of_linen),
        (r"(^|/)kernel$", LecunNormal()),
        (r"(^|/)(bias|mean|lora_b)$", 0.0),
        (r"(^|/)(scale|var)$", 1.0),
        (r"(^|/)negative_slope$", 0.01),
    )
    return [random_state(), *rules]


_is_of_transpose, _is_of_general = owned_by("ConvTranspose"), owned_by("LinearGeneral")


def _counts_otherwise(leaf: Leaf) -> bool:
    """Whether nnx may count other inputs for a kernel than the layer has."""
    return leaf.layout is not None and (_is_of_transpose(leaf) or _is_of_general(leaf))


def _kernel_of_nnx(leaf: Leaf) -> LecunNormal:
    """The initializer with the inputs that nnx counts."""
    assert leaf.layout is not None
    batch, ins = leaf.layout.batch_axis, leaf.layout.in_axis
    if _is_of_transpose(leaf):  # the last axis but one, with any `transpose_kernel`
        return LecunNormal(in_axis=(-2,), out_axis=(-1,), batch_axis=batch)
    own = batch[len(batch) - len(leaf.owner.batch_axis) :]  # further axes: modules side by side
    return LecunNormal(fan_in=math.prod(leaf.shape[axis] for axis in (*own, *ins)))


def _kernel_of_linen(leaf: Leaf) -> LecunNormal:
    """The initializer of a DenseGeneral, whose parameters do not say which axes are inputs."""
    if leaf.ndim > 2 and not any(leaf.names or ()):
        raise ValueError(
            "flax: which axes of a DenseGeneral are inputs? Name them, for axes= of the plan, or "
            "give a rule, as LecunNormal(in_axis=0, out_axis=(1, 2))"
        )
    return LecunNormal()


def equinox() -> list[Rule]:
    """Return the defaults of Equinox, for its modules.

    ==========================  ================================================================
    Linear, Conv, biases        uniform on +-1 / sqrt(fan_in)
    LSTMCell, GRUCell: all      uniform on +-1 / sqrt(hidden)
    Embedding                   normal, std 1
    norms                       1 and 0
    PReLU                       0.25
    ==========================  ================================================================

    Notes
    -----
    From ``equinox.nn`` 0.13. Layers are known by their classes. Values in a `State` or a
    `StateIndex`, as of BatchNorm, are kept.

    A plan can't draw leaves that follow from a weight: g of WeightNorm is the norm of its layer's
    weight, u and v of SpectralNorm are its singular vectors. They are errors; keep them, and wrap
    the drawn layers anew, as below. If the `State` of a SpectralNorm is separate already, its
    vectors are kept, and belong to the former weight: call the model in training before inference.

    Examples
    --------
    >>> import equinox as eqx, jax, jax.numpy as jnp, braininit as init
    >>> key = jax.random.key(0)
    >>> model = eqx.filter_eval_shape(eqx.nn.Linear, 100, 20, key=key)
    >>> init.plan(model, init.presets.equinox())(key).weight.shape
    (20, 100)

    >>> WeightNorm = eqx.nn.WeightNorm
    >>> build = lambda key: WeightNorm(eqx.nn.Linear(100, 20, key=key))
    >>> model = eqx.filter_eval_shape(build, key)
    >>> plan = init.plan(model, [(WeightNorm, init.KEEP), *init.presets.equinox()])
    >>> def anew(x):
    ...     return WeightNorm(x.layer, x.weight_name, x.axis) if isinstance(x, WeightNorm) else x
    >>> drawn = jax.tree.map(anew, plan(key), is_leaf=lambda x: isinstance(x, WeightNorm))
    >>> bool(jnp.allclose(drawn.g[:, 0], jnp.linalg.norm(drawn.layer.weight, axis=1)))
    True
    """
    rules = optional(
        (lambda leaf: type(leaf.owner).__name__ in ("State", "StateIndex"), KEEP),
        (lambda leaf: _is_of_norm(leaf) and leaf.name == "weight", 1.0),
        (lambda leaf: _is_of_norm(leaf) and leaf.name == "bias", 0.0),
        (owned_by("Embedding"), Normal(0.0, 1.0)),
        (_is_complex, _square),
        # A gate of `weight_ih` has as many outputs as there are hidden units.
        (r"(^|/)weight_ih$", VarianceScaling(1 / 3, "fan_out", "uniform")),
        (r"(^|/)(weight_hh|weight|bias|bias_n)$", _TORCH),
        (r"(^|/)negative_slope$", 0.25),
    )
    return [follows_weight(), *rules]


_OF_LAYERS = re.compile(r"^(weight(_ih|_hh)?|bias(_n)?)$")


def _is_complex(leaf: Leaf) -> bool:
    """Whether a leaf is a complex weight or bias, which Equinox draws from a square."""
    return bool(_OF_LAYERS.search(leaf.name)) and jnp.issubdtype(leaf.dtype, np.complexfloating)


def _square(leaf: Leaf) -> Any:
    """Real and imaginary parts uniform on +-1 / sqrt(fan), each with its own key."""
    fan = leaf.fan_out if leaf.name == "weight_ih" else leaf.fan_in
    if fan is None:
        raise ValueError("equinox: the number of inputs is not known")
    part = Uniform(-(fan**-0.5), fan**-0.5)

    def draw(key: Any, shape: Any, dtype: Any) -> Any:
        real = jnp.finfo(dtype).dtype
        return jax.lax.complex(*(part(k, shape, real) for k in jax.random.split(key)))

    return draw


def keras() -> list[Rule]:
    r"""Return the defaults of Keras 3, for parameters with its names and its axes.

    =====================================  =====================================================
    kernels                                Glorot uniform
    recurrent kernels                      orthogonal, the gates together
    Embedding                              uniform on +-0.05
    biases                                 0; of an LSTM 1 at the forget gate
    norms                                  1 and 0; moving mean 0, variance 1
    =====================================  =====================================================

    Notes
    -----
    From the documentation of Keras 3. Fans are read from the last two axes; the others are the
    receptive field, also for the kernels of attention, as in Keras. An LSTM is known by its name,
    ``lstm``; its gates are i, f, c, o.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, braininit as init
    >>> model = {"lstm/lstm_cell/bias": jax.ShapeDtypeStruct((8,), jnp.float32)}
    >>> print(init.plan(model, init.presets.keras())(jax.random.key(0))["lstm/lstm_cell/bias"])
    [0. 0. 1. 1. 0. 0. 0. 0.]
    """

    def forget_gate(leaf: Leaf) -> Constant:
        return Constant(np.repeat([0.0, 1.0, 0.0, 0.0], leaf.shape[-1] // 4))

    def last_axes(leaf: Leaf) -> XavierUniform:
        return XavierUniform(in_axis=leaf.ndim - 2, out_axis=leaf.ndim - 1)

    return optional(
        (r"(?i)lstm[^/]*/bias$", forget_gate),
        (r"(^|/)recurrent_kernel$", Orthogonal()),
        (r"(^|/)\w*kernel$", last_axes),
        (r"(^|/)embeddings$", Uniform(-0.05, 0.05)),
        (r"(^|/)(bias|beta|moving_mean)$", 0.0),
        (r"(^|/)(gamma|scale|moving_variance)$", 1.0),
    )
