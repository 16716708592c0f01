r"""Known initializations of layers and of whole models, as lists of rules for `plan`.

Each function returns a plain list: put your own rules before it, or take rules out. The order
counts: the first rule that matches a leaf is used. Most rules are optional, as a model may lack a
bias. The rules that a preset is named for are not: if a model's residual projections have other
names, the plan raises an error; give the preset your own pattern.

>>> import jax, jax.numpy as jnp, braininit as init
>>> shape = jax.ShapeDtypeStruct
>>> block = {"qkv": {"kernel": shape((64, 192), jnp.float32)},
...          "out": {"kernel": shape((64, 64), jnp.float32)}}
>>> model = {"wte": shape((100, 64), jnp.float32), "blocks": [block] * 8}
>>> plan = init.plan(model, init.presets.gpt2(), layers=r"blocks/(\d+)")
>>> plan.rows[2].choices[0].initializer
Normal(mean=0.0, std=0.005)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from braininit._params import options
from braininit.distributions.continuous import Normal, TruncatedNormal
from braininit.layers.kaiming import KaimingNormal
from braininit.layers.scaling import LecunNormal, VarianceScaling, XavierNormal
from braininit.models.layouts import TABLES
from braininit.models.leaves import Leaf
from braininit.models.libraries import (
    equinox,
    flax,
    follows_weight,
    is_scale,
    keras,
    optional,
    random_state,
    table,
    torch,
)
from braininit.models.rules import Rule

__all__ = [
    "EMBEDDING",
    "HEAD",
    "KEY",
    "QUERY",
    "RESIDUAL",
    "ROUTER",
    "deepnorm",
    "deepnorm_alpha",
    "equinox",
    "fixup",
    "flax",
    "gpt2",
    "keras",
    "megatron",
    "neox",
    "switch_router",
    "t5",
    "torch",
    "torchtitan",
    "zero_residual",
]

# ---------------------------------------------------------------- names


def _layer(*names: str) -> str:
    """A pattern for the weights of layers with these names, or for arrays with these names."""
    return rf"(^|/)({'|'.join(names)})(/(kernel|weight|w))?$"


_RESIDUAL = (
    *("out", "o", "out_proj", "o_proj", "output_proj", "c_proj", "proj", "proj_out", "linear_proj"),
    *("wo", "w2", "w_out", "down", "down_proj", "fc2", "fc_out", "linear2", "linear_fc2"),
    "dense_4h_to_h",
)

RESIDUAL = rf"(?<!patch_embed/)(?<!patch_embed)(?:{_layer(*_RESIDUAL)})"
"""The last weights of each residual branch: of attention, and of the layers after it.

Layers without names, as in ``equinox.nn.MLP`` and ``nnx.Sequential``, are not matched: add them,
as in ``residual=presets.RESIDUAL + r"|mlp/layers/1/weight$"``, and print the plan.
"""

EMBEDDING = TABLES
"""Tables of tokens and of positions."""

HEAD = (
    _layer("head", "lm_head", "classifier", "logits", "unembed", "readout")
    + "|"
    + r"^(params/)?(output|fc)(/(kernel|weight|w))?$"
)
"""The last layer, which returns the model's outputs."""

ROUTER = r"(?i)(^|/)(router|router(/[^/]+)*/(kernel|weight|w)|moe[^/]*/gate(/(kernel|weight|w))?)$"
"""The layer that chooses experts."""

QUERY = _layer("q", "query", "q_proj", "query_proj", "wq")
"""The projection to queries."""

KEY = _layer("k", "key", "k_proj", "key_proj", "wk")
"""The projection to keys."""

_BIAS = r"(^|/)(\w*bias\w*|b|b_\w+|b\d+|offset|beta|(\w+_)?mean)$"


def _is_matrix(leaf: Leaf) -> bool:
    """Whether a leaf is a kernel or a table."""
    return leaf.ndim > 1


def _vectors() -> list[Rule]:
    """The rules that most presets start with: biases 0, scales of norms 1."""
    return [random_state(), follows_weight(), *optional((_BIAS, 0.0), (is_scale, 1.0))]


# ---------------------------------------------------------------- the depth


def _by_depth(layers: int | None, initializer: Callable[[int], Any]) -> Any:
    """An initializer that depends on the number of layers: `layers`, or what the plan finds."""
    if layers is not None:
        return initializer(options.whole("layers", layers, 1))

    def by_depth(leaf: Leaf) -> Any:
        if not leaf.depth:
            raise ValueError(
                "the number of layers is not known; give layers=12 to the preset, or "
                r"layers=r'blocks/(\d+)' to the plan"
            )
        return initializer(leaf.depth)

    return by_depth


# ---------------------------------------------------------------- transformers


def gpt2(
    layers: int | None = None, std: Any = 0.02, *, residual: str | None = RESIDUAL
) -> list[Rule]:
    r"""Return GPT-2's initialization: one std, but less where branches join the residual stream.

    .. math:: W \sim N(0, std^2), \quad W_{residual} \sim N(0, std^2 / (2 L))

    Biases are 0, scales of norms 1. The 2 L branches of L layers then add as much variance to the
    stream as one branch would without the factor.

    Parameters
    ----------
    layers : int, optional
        L; by default, the number that `layers` of the plan finds.
    std : number or Quantity
        The std of kernels and tables.
    residual : str, optional
        A regular expression for the projections into the residual stream; None draws them with
        `std`.

    Notes
    -----
    From Radford et al., Language models are unsupervised multitask learners, 2019, 2.3, with the
    2 L of Megatron-LM, nanoGPT and Hugging Face. OpenAI's code has 0.01 for positions.

    Examples
    --------
    >>> import braininit as init
    >>> init.presets.gpt2(layers=8)[4].initializer
    Normal(mean=0.0, std=0.005)
    """
    scaled = _by_depth(layers, lambda depth: Normal(0.0, std / (2 * depth) ** 0.5))
    return [
        *_vectors(),
        *([] if residual is None else [Rule(residual, scaled)]),
        *optional((_is_matrix, Normal(0.0, std))),
    ]


def megatron(
    layers: int | None = None,
    std: Any = 0.02,
    *,
    residual: str | None = RESIDUAL + r"|(^|/)dense/(kernel|weight|w)$",
) -> list[Rule]:
    """Return Megatron-LM's initialization: `gpt2` with the names of its layers.

    The kernels of ``init_method_normal(std)``, and of ``scaled_init_method_normal(std, layers)``
    for ``dense``, ``dense_4h_to_h``, ``linear_proj`` and ``linear_fc2``.

    Parameters
    ----------
    layers, std, residual
        As `gpt2` takes them.

    Notes
    -----
    From NVIDIA/Megatron-LM, ``megatron/model/utils.py``: sigma / sqrt(2 layers).

    Examples
    --------
    >>> import braininit as init
    >>> init.presets.megatron(layers=32, std=0.01)[4].initializer
    Normal(mean=0.0, std=0.00125)
    """
    return gpt2(layers, std, residual=residual)


def torchtitan(
    layers: int | None = None,
    std: Any = 0.02,
    *,
    per_layer: bool = True,
    residual: str = RESIDUAL + "|" + _layer("w3", "up_proj") + "|" + ROUTER.replace("(?i)", ""),
    embedding: str = EMBEDDING,
    head: str = HEAD,
) -> list[Rule]:
    r"""Return torchtitan's initialization of Llama 3: the std falls from layer to layer.

    .. math:: W_l \sim N(0, std^2 / (2 (l + 1)))

    for layer l, counted from 0, at ``wo``, ``w2``, ``w3`` and routers. Other kernels are
    N(0, std^2), tables N(0, 1), the head normal with std 1 / sqrt(inputs), truncated at 3 std.

    Parameters
    ----------
    layers : int, optional
        L, used if `per_layer` is False; by default, the number that the plan finds.
    std : float
        The std of other kernels.
    per_layer : bool
        Whether the std depends on the layer's index, by `layers` of the plan; else L is l + 1.
    residual, embedding, head : str
        Regular expressions for the scaled kernels, the tables, and the last layer.

    Notes
    -----
    From pytorch/torchtitan, ``models/llama3``: `weight_init_std`, `depth_init`. Kernels are drawn
    by PyTorch's ``trunc_normal_`` with its default bounds, -2 and 2 for any std, so nothing is cut
    off. The head's std is the one before truncation, as ``trunc_normal_`` does not widen: that of
    the draws is 0.9866 times as large.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, braininit as init
    >>> model = {"layers": [{"wo": jax.ShapeDtypeStruct((64, 64), jnp.float32)}] * 8}
    >>> plan = init.plan(model, init.presets.torchtitan(), layers=r"layers/(\d+)")
    >>> plan.rows[7].choices[0].initializer
    TruncatedNormal(mean=0.0, std=0.005, low=-2.0, high=2.0)
    """

    def uncut(size: Any) -> TruncatedNormal:
        return TruncatedNormal(0.0, size, -2.0, 2.0)

    def for_layer(leaf: Leaf) -> TruncatedNormal:
        if leaf.layer is None:
            raise ValueError(
                r"the layer is not known; give layers=r'layers/(\d+)' to the plan, or "
                "per_layer=False to the preset"
            )
        return uncut(std / (2 * (leaf.layer + 1)) ** 0.5)

    def for_head(leaf: Leaf) -> TruncatedNormal:
        return _truncated(leaf, 1.0, 3.0)

    by_depth = _by_depth(layers, lambda depth: uncut(std / (2 * depth) ** 0.5))
    return [
        *_vectors(),
        Rule(residual, for_layer if per_layer else by_depth),
        *optional((embedding, Normal(0.0, 1.0)), (head, for_head), (_is_matrix, uncut(std))),
    ]


def _truncated(leaf: Leaf, scale: float, times: float) -> TruncatedNormal:
    """A normal of variance `scale` / inputs, truncated at `times` std and not widened."""
    if leaf.fan_in is None:
        raise ValueError("the number of inputs is not known; name its axes by axes= of the plan")
    std = (scale / leaf.fan_in) ** 0.5
    return TruncatedNormal(0.0, std, -times * std, times * std)


def neox(
    layers: int | None = None, *, residual: str = RESIDUAL, embedding: str = EMBEDDING
) -> list[Rule]:
    r"""Return GPT-NeoX's initialization: "small init", and "Wang init" for residual projections.

    .. math:: W \sim N(0, \frac{2}{5 d}), \quad W_{residual} \sim N(0, \frac{4}{L^2 d})

    The width d is a kernel's number of inputs, a residual projection's number of outputs, or the
    length of a table's rows.

    Parameters
    ----------
    layers : int, optional
        L; by default, the number that `layers` of the plan finds.
    residual, embedding : str
        Regular expressions for the projections into the residual stream, and for the tables.

    Notes
    -----
    From EleutherAI/gpt-neox, ``megatron/model/init_functions.py``: sqrt(2 / (5 d)), after Nguyen
    and Salazar, Transformers without tears, 2019, and 2 / (L sqrt(d)), its ``wang_init_method``.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, braininit as init
    >>> model = {"out": jax.ShapeDtypeStruct((64, 16), jnp.float32)}
    >>> print(init.plan(model, init.presets.neox(layers=10)))  # doctest: +ELLIPSIS
    path ... std ...
    out ... 0.05 ...
    """
    wang = _by_depth(layers, lambda depth: VarianceScaling(4 / depth**2, "fan_out", "normal"))
    return [
        *_vectors(),
        Rule(residual, wang),
        *optional(
            (embedding, table(2 / 5)),
            (_is_matrix, VarianceScaling(2 / 5, "fan_in", "normal")),
        ),
    ]


def t5(
    head_dim: int = 64,
    model_dim: int | None = None,
    *,
    query: str = QUERY,
    embedding: str = EMBEDDING,
    head: str = HEAD,
    relative: str = r"(^|/)(relative_attention_bias|rel_embedding|relpos_bias)(/|$)",
) -> list[Rule]:
    r"""Return T5's initialization, for attention that does not divide by the root of a head's size.

    .. math:: W_q \sim N(0, \frac{1}{d\, d_k}), \quad W \sim N(0, \frac{1}{fan_{in}}), \quad
        E \sim N(0, 1)

    Products of queries and keys then have variance 1 if the inputs have variance 1.

    Parameters
    ----------
    head_dim : int
        d_k, the size of a head.
    model_dim : int, optional
        d; required for tables of relative positions, whose std is 1 / sqrt(d).
    query, embedding, head, relative : str
        Regular expressions for the projection to queries, the tables, the head, and the tables of
        relative positions. A head that is no table has std 1 too.

    Notes
    -----
    From Raffel et al., Exploring the limits of transfer learning, 2020, as in mesh-tensorflow,
    ``transformer/attention.py``, and ``T5PreTrainedModel._init_weights`` of Hugging Face. Fused
    kernels of queries, keys and values need `Parts`.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, braininit as init
    >>> model = {"q": jax.ShapeDtypeStruct((64, 128), jnp.float32)}
    >>> print(init.plan(model, init.presets.t5(head_dim=16)))  # doctest: +ELLIPSIS
    path ... std ...
    q ... 0.03125 ...
    """
    size = options.whole("head_dim", head_dim, 1)

    def for_positions(leaf: Leaf) -> Normal:
        if model_dim is None:
            raise ValueError("t5: tables of relative positions need model_dim=")
        return Normal(0.0, options.whole("model_dim", model_dim, 1) ** -0.5)

    return [
        *optional((relative, for_positions)),
        *_vectors(),
        Rule(query, VarianceScaling(1 / size, "fan_in", "normal")),
        *optional(
            (embedding, Normal(0.0, 1.0)),
            (head, Normal(0.0, 1.0)),
            (_is_matrix, LecunNormal(distribution="normal")),
        ),
    ]


def deepnorm(
    layers: int | None = None,
    decoder_layers: int | None = None,
    *,
    query_key: str = f"{QUERY}|{KEY}",
    embedding: str = EMBEDDING,
    head: str = HEAD,
    decoder: str = "decoder",
) -> list[Rule]:
    r"""Return DeepNorm's initialization, for transformers of up to a thousand layers.

    .. math:: W \sim N(0, \beta^2 \frac{2}{fan_{in} + fan_{out}}), \quad \beta = (8 N)^{-1/4}

    for values, outputs and feed-forward layers; for queries and keys beta is 1. An encoder of N
    layers and a decoder of M have beta 0.87 (N^4 M)^(-1/16) and (12 M)^(-1/4). The model must
    multiply its residual stream by alpha, ``norm(alpha x + branch(x))``: see `deepnorm_alpha`.

    Parameters
    ----------
    layers : int, optional
        N, the number of layers, of the encoder if there are two stacks; by default, the number
        that `layers` of the plan finds.
    decoder_layers : int, optional
        M, of a decoder beside an encoder.
    query_key, embedding, head, decoder : str
        Regular expressions for the kernels of queries and keys, the tables and the head (of
        variance 1 / width), and the decoder.

    Notes
    -----
    From Wang et al., DeepNet: Scaling transformers to 1,000 layers, arXiv 2203.00555, figure 2;
    the tables and the head as in microsoft/torchscale. beta is a gain on the std, not on the
    variance. Fused kernels of queries, keys and values need `Parts`.

    Examples
    --------
    >>> import braininit as init
    >>> init.presets.deepnorm_alpha(8), init.presets.deepnorm(2)[7].initializer.scale
    (2.0, 0.25)
    """
    plain = XavierNormal(distribution="normal")
    rules = [
        *_vectors(),
        Rule(query_key, plain),
        *optional(
            (embedding, table(1.0)),
            (head, LecunNormal(distribution="normal")),
        ),
    ]

    def gained(beta: float) -> XavierNormal:
        return XavierNormal(beta**2, distribution="normal")

    if decoder_layers is None:
        by_depth = _by_depth(layers, lambda depth: gained((8 * depth) ** -0.25))
        return [*rules, Rule(_is_matrix, by_depth)]
    n, m = _both(layers, decoder_layers)
    search = re.compile(decoder).search
    return [
        *rules,
        Rule(lambda leaf: _is_matrix(leaf) and search(leaf.path), gained((12 * m) ** -0.25)),
        Rule(_is_matrix, gained(0.87 * (n**4 * m) ** (-1 / 16))),
    ]


def deepnorm_alpha(layers: int, decoder_layers: int | None = None) -> Any:
    r"""Return DeepNorm's factor of the residual stream, alpha in ``norm(alpha x + branch(x))``.

    .. math:: \alpha = (2 N)^{1/4}

    for N layers; 0.81 (N^4 M)^(1/16) and (3 M)^(1/4) for an encoder of N and a decoder of M.

    Parameters
    ----------
    layers, decoder_layers
        As in `deepnorm`; with both, the result is a pair.

    Examples
    --------
    >>> import braininit as init
    >>> init.presets.deepnorm_alpha(8)
    2.0
    """
    if decoder_layers is None:
        return (2 * options.whole("layers", layers, 1)) ** 0.25
    n, m = _both(layers, decoder_layers)
    return 0.81 * (n**4 * m) ** (1 / 16), (3 * m) ** 0.25


def _both(layers: Any, decoder_layers: Any) -> tuple[int, int]:
    if layers is None:
        raise ValueError("`decoder_layers` needs `layers` too, the number of the encoder's layers")
    return options.whole("layers", layers, 1), options.whole("decoder_layers", decoder_layers, 1)


# ---------------------------------------------------------------- parts of models


def switch_router(scale: float = 0.1, *, router: str = ROUTER) -> list[Rule]:
    r"""Return the rule for the router of a Switch transformer, a tenth of the usual variance.

    .. math:: W \sim N(0, scale / fan_{in}), \quad |W| \le 2 \sqrt{scale / fan_{in}}

    Parameters
    ----------
    scale : float
        The variance times fan_in; 1 is usual.
    router : str
        A regular expression for the router's kernel.

    Notes
    -----
    From Fedus, Zoph and Shazeer, Switch transformers, arXiv 2101.03961, 2.4. The std is
    the one before values beyond 2 std are drawn again: that of the draws is 0.8796 times as large.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, braininit as init
    >>> model = {"router": jax.ShapeDtypeStruct((10, 8), jnp.float32)}
    >>> rules = init.presets.switch_router() + init.presets.gpt2(residual=None)
    >>> init.plan(model, rules).rows[0].choices[0].initializer
    TruncatedNormal(mean=0.0, std=0.1, low=-0.2, high=0.2)
    """
    return [Rule(router, lambda leaf: _truncated(leaf, scale, 2.0))]


def zero_residual(residual: str = RESIDUAL) -> list[Rule]:
    r"""Return the rule that starts each residual block as the identity: its last weights are 0.

    Parameters
    ----------
    residual : str
        A regular expression for the last weights of branches. If a branch ends in a norm, they are
        the norm's scale: ``r"BatchNorm_2/scale$"`` or ``r"bn3/weight$"``.

    Notes
    -----
    From Goyal et al., Accurate, large minibatch SGD, arXiv 1706.02677, 5.1; torchvision's
    ``zero_init_residual``. SkipInit (2002.10444) and ReZero (2003.04887) set the scalar factor of
    a branch to 0: ``zero_residual(r"skip_gain$")``.

    Examples
    --------
    >>> import braininit as init
    >>> rules = init.presets.zero_residual() + init.presets.gpt2(residual=None)
    >>> rules[0].initializer
    0.0
    """
    return [Rule(residual, 0.0)]


def fixup(
    layers: int | None = None,
    branch_layers: int = 2,
    *,
    branch: str = r"(?i)(block|layers?|stages?)[^/]*/",
    last: str | None = None,
    skip: str = r"(?i)(^|/)(downsample|shortcut|skip|conv_proj)",
    head: str = HEAD,
) -> list[Rule]:
    r"""Return Fixup's initialization, for residual networks without norms.

    .. math:: W \sim N(0, \frac{2}{fan_{out}} L^{-1 / (m - 1)})

    for L blocks, in each layer but the last of a branch of m layers. The last layer of each branch
    and the head are 0; others are N(0, 2 / fan_out). Biases are 0, multipliers 1.

    Parameters
    ----------
    layers : int, optional
        L, the number of residual blocks; by default, the number that `layers` of the plan finds.
    branch_layers : int
        m, at least 2.
    branch, last, skip, head : str
        Regular expressions for leaves inside a block, the last layer of a branch (by default
        ``conv2`` and ``Conv_1`` for m = 2, or a name in `RESIDUAL`), the layers beside a branch,
        and the head.

    Notes
    -----
    From Zhang, Dauphin and Ma, Fixup initialization, arXiv 1901.09321, with He's initialization
    as in hongyi-zhang/Fixup. The model needs a scalar bias before each layer, and a scalar
    multiplier, ``scale``, at the end of each branch.

    Examples
    --------
    >>> import braininit as init
    >>> init.presets.fixup(layers=16, branch_layers=3)[7].initializer.scale
    0.5
    """
    m = options.whole("branch_layers", branch_layers, 2)
    last = rf"(^|/)(conv{m}|Conv_{m - 1})/(kernel|weight|w)$|{RESIDUAL}" if last is None else last
    he = _he(2.0)
    inside, beside = re.compile(branch).search, re.compile(skip).search
    return [
        *_vectors(),
        *optional((head, 0.0)),
        *optional((lambda leaf: _is_matrix(leaf) and beside(leaf.path), he)),
        Rule(lambda leaf: inside(leaf.path) and re.search(last, leaf.path), 0.0),
        Rule(
            lambda leaf: _is_matrix(leaf) and inside(leaf.path),
            _by_depth(layers, lambda depth: _he(2 * depth ** (-1 / (m - 1)))),
        ),
        *optional((_is_matrix, he)),
    ]


def _he(scale: float) -> KaimingNormal:
    return KaimingNormal(scale, "fan_out", distribution="normal")
