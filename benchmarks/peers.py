"""Draws of the distributions in `tests/cases.py` by each peer, in its fastest documented way.

That is the peer's named draw, or a standard draw finished in place if that is faster, in the
requested dtype where the peer has it. Functions take a case's parameters by their names.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import braininit
from braininit._engine.source import Source

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from cases import CASES, DRAWN, RANDOM

__all__ = [
    "CASES",
    "GIVEN",
    "KEY",
    "OURS",
    "PLAIN",
    "RANDOM",
    "ROWS",
    "THEIRS",
    "absent",
    "calls",
    "drawn_by",
    "eagerly",
    "is_keyed",
    "versions",
]

PLAIN = tuple(case for case in RANDOM if not case.powers)  # peers have these names too
KEY = jax.random.key(0)
OURS, THEIRS = "braininit", "jax.random"
PACKAGES = {"PyTorch": "torch", "numpyro": "numpyro", "BrainTools": "braintools"}
Draw = Callable[..., Any]


def eagerly(peer: str) -> str:
    """The name of a peer that is called eagerly, outside a `jax.jit`."""
    return f"{peer} eager"


def absent() -> list[str]:
    """The peers that are not installed."""
    return [name for name, module in PACKAGES.items() if importlib.util.find_spec(module) is None]


def versions() -> dict[str, str]:
    packages = ["jax", "jaxlib", "brainunit", "numpy", *PACKAGES.values()]
    installed = {name: version(name) for name in packages if importlib.util.find_spec(name)}
    return {"braininit": braininit.__version__} | installed


# ---------------------------------------------------------------- rows


class Between(NamedTuple):
    """An array parameter: one value for each number, evenly spaced from `low` to `high`."""

    low: float
    high: float

    def __call__(self, n: int) -> np.ndarray:
        return np.linspace(self.low, self.high, n)


GIVEN = {str(case): dict(case.given) for case in DRAWN}
_ARRAYS = {"low": Between(-0.2, 0.4), "high": Between(0.6, 1.2)}

ROWS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "bits": ("bits", {}),
    "Uniform, standard": ("Uniform", {"low": 0.0, "high": 1.0}),
    **{name: (name, given) for name, given in GIVEN.items()},
    "TruncatedNormal, bounds per element": (
        "TruncatedNormal",
        GIVEN["TruncatedNormal"] | _ARRAYS,
    ),
    "Gamma, shape 0.5": ("Gamma", {"shape": 0.5, "scale": 0.25}),
    "Gamma, shape 30": ("Gamma", {"shape": 30.0, "scale": 0.25}),
    "Gamma, shape per element": ("Gamma", {"shape": Between(0.3, 8.0), "scale": 0.25}),
}


def _log_parameters(mean: float, std: float) -> tuple[float, float]:
    variance = np.log1p((std / mean) ** 2)
    return float(np.log(mean) - variance / 2), float(np.sqrt(variance))


# ---------------------------------------------------------------- peers that draw from a key


def _braininit() -> dict[str, Draw]:
    def draw_of(case: Any) -> Draw:
        def draw(key: Any, n: int, dtype: Any, /, **parameters: Any) -> Any:  # `n` of Binomial
            return case.function(key, (n,), **case.called(parameters), dtype=dtype)

        return draw

    draws = {str(case): draw_of(case) for case in DRAWN}
    draws["bits"] = lambda key, n, dtype: Source(key, (n,)).words(np.dtype(np.float32))
    return draws


def _jax_random() -> dict[str, Draw]:
    r = jax.random

    def truncated(key: Any, n: int, dtype: Any, mean: Any, std: Any, low: Any, high: Any) -> Any:
        low, high = (low - mean) / std, (high - mean) / std
        return mean + std * r.truncated_normal(key, low, high, (n,), dtype)

    def lognormal(key: Any, n: int, dtype: Any, mean: Any, std: Any) -> Any:
        mu, sigma = _log_parameters(mean, std)
        return jnp.exp(mu + sigma * r.normal(key, (n,), dtype))

    def scaled(distribution: str) -> Draw:
        def draw(key: Any, n: int, dtype: Any, scale: Any, fan_in: float) -> Any:
            fans = int(fan_in)
            scaling = jax.nn.initializers.variance_scaling(scale, "fan_in", distribution)
            return scaling(key, (fans, -(-n // fans)), dtype).reshape(-1)[:n]

        return draw

    return {
        "bits": lambda key, n, d: r.bits(key, (n,), jnp.uint32),
        "Uniform": lambda key, n, d, low, high: r.uniform(key, (n,), d, low, high),
        "Normal": lambda key, n, d, mean, std: mean + std * r.normal(key, (n,), d),
        "LogNormal": lognormal,
        "Gamma": lambda key, n, d, shape, scale: scale * r.gamma(key, shape, (n,), d),
        "Exponential": lambda key, n, d, scale: scale * r.exponential(key, (n,), d),
        "Laplace": lambda key, n, d, loc, scale: loc + scale * r.laplace(key, (n,), d),
        "Weibull": lambda key, n, d, shape, scale: r.weibull_min(key, scale, shape, (n,), d),
        "Beta": lambda key, n, d, alpha, beta, low, high: r.beta(key, alpha, beta, (n,), d),
        "TruncatedNormal": truncated,
        "VarianceScaling": scaled("normal"),
        "KaimingNormal": scaled("truncated_normal"),
        "KaimingUniform": scaled("uniform"),
    }


def _numpyro() -> dict[str, Draw]:
    import numpyro.distributions as dist

    return {
        "Uniform": lambda key, n, d, low, high: dist.Uniform(low, high).sample(key, (n,)),
        "Normal": lambda key, n, d, mean, std: dist.Normal(mean, std).sample(key, (n,)),
        "LogNormal": lambda key, n, d, mean, std: dist.LogNormal(
            *_log_parameters(mean, std)
        ).sample(key, (n,)),
        "Gamma": lambda key, n, d, shape, scale: dist.Gamma(shape, 1 / scale).sample(
            key, () if jnp.ndim(shape) else (n,)
        ),
        "LogUniform": lambda key, n, d, low, high: dist.LogUniform(low, high).sample(key, (n,)),
        "Laplace": lambda key, n, d, loc, scale: dist.Laplace(loc, scale).sample(key, (n,)),
        "VonMises": lambda key, n, d, mean, concentration: dist.VonMises(
            mean, concentration
        ).sample(key, (n,)),
        "Exponential": lambda key, n, d, scale: dist.Exponential(1 / scale).sample(key, (n,)),
        "Weibull": lambda key, n, d, shape, scale: dist.Weibull(scale, shape).sample(key, (n,)),
        "Beta": lambda key, n, d, alpha, beta, low, high: dist.Beta(alpha, beta).sample(key, (n,)),
        "TruncatedNormal": lambda key, n, d, mean, std, low, high: dist.TruncatedNormal(
            mean, std, low=low, high=high
        ).sample(key, () if jnp.ndim(low) else (n,)),
    }


# ---------------------------------------------------------------- peers that draw from a state


def _numpy(seed: int = 0) -> dict[str, Draw]:
    rng = np.random.default_rng(seed)

    def affine(x: np.ndarray, scale: float, shift: float = 0.0) -> np.ndarray:
        if scale != 1:
            x *= x.dtype.type(scale)
        if shift != 0:
            x += x.dtype.type(shift)
        return x

    def lognormal(n: int, dtype: Any, mean: float, std: float) -> np.ndarray:
        mu, sigma = _log_parameters(mean, std)
        x = affine(rng.standard_normal(n, dtype), sigma, mu)
        return np.exp(x, out=x)

    def weibull(n: int, dtype: Any, shape: float, scale: float) -> np.ndarray:
        x = rng.standard_exponential(n, dtype)
        return affine(np.power(x, x.dtype.type(1 / shape), out=x), scale)

    return {
        "bits": lambda n, d: rng.integers(0, 2**32, n, dtype=np.uint32),
        "Uniform": lambda n, d, low, high: affine(rng.random(n, d), high - low, low),
        "Normal": lambda n, d, mean, std: affine(rng.standard_normal(n, d), std, mean),
        "LogNormal": lognormal,
        "Laplace": lambda n, d, loc, scale: rng.laplace(loc, scale, n),
        "VonMises": lambda n, d, mean, concentration: rng.vonmises(mean, concentration, n),
        "Gamma": lambda n, d, shape, scale: affine(rng.standard_gamma(shape, n, d), scale),
        "Exponential": lambda n, d, scale: affine(rng.standard_exponential(n, d), scale),
        "Weibull": weibull,
        "Beta": lambda n, d, alpha, beta, low, high: rng.beta(alpha, beta, n),
    }


def _torch() -> dict[str, Draw]:
    import torch

    def empty(n: int, dtype: Any) -> Any:
        return torch.empty(n, dtype=getattr(torch, np.dtype(dtype).name))

    def lognormal(n: int, dtype: Any, mean: float, std: float) -> Any:
        if np.dtype(dtype).itemsize == 2:  # rounded once
            return empty(n, dtype).log_normal_(*_log_parameters(mean, std))
        return empty(n, dtype).normal_(*_log_parameters(mean, std)).exp_()  # log_normal_: 5x

    def gamma(n: int, dtype: Any, shape: Any, scale: float) -> Any:
        if not isinstance(shape, torch.Tensor):
            shape = torch.full((n,), shape)
        return torch._standard_gamma(shape).mul_(scale)

    def truncated(n: int, dtype: Any, mean: Any, std: Any, low: Any, high: Any) -> Any:
        if isinstance(low, torch.Tensor):
            return None
        return torch.nn.init.trunc_normal_(empty(n, dtype), mean, std, low, high)

    def beta(n: int, dtype: Any, alpha: Any, beta: Any, low: float, high: float) -> Any:
        return torch.distributions.Beta(alpha, beta).sample((n,))

    return {
        "bits": lambda n, d: torch.empty(n, dtype=torch.int32).random_(-(2**31), 2**31 - 1),
        "Uniform": lambda n, d, low, high: empty(n, d).uniform_(low, high),
        "Normal": lambda n, d, mean, std: empty(n, d).normal_(mean, std),
        "LogNormal": lognormal,
        "Laplace": lambda n, d, loc, scale: torch.distributions.Laplace(loc, scale).sample((n,)),
        "VonMises": lambda n, d, mean, concentration: torch.distributions.VonMises(
            torch.tensor(mean), torch.tensor(concentration)
        ).sample((n,)),
        "Gamma": gamma,
        "Exponential": lambda n, d, scale: empty(n, d).exponential_(1 / scale),
        "Weibull": lambda n, d, shape, scale: (
            empty(n, d).exponential_().pow_(1 / shape).mul_(scale)
        ),
        "Beta": beta,
        "TruncatedNormal": truncated,
    }


def _braintools(**rng: Any) -> dict[str, Draw]:
    from braintools import init

    def draw_of(name: str) -> Draw:
        return lambda n, dtype, **parameters: getattr(init, name)(**parameters)(n, **rng)

    return {str(case): draw_of(str(case)) for case in PLAIN if hasattr(init, str(case))}


# ---------------------------------------------------------------- all peers


def _table() -> tuple[dict[str, dict[str, Draw]], dict[str, dict[str, Draw]]]:
    keyed = {OURS: _braininit(), THEIRS: _jax_random()}
    stateful = {"NumPy": _numpy()}
    gone = absent()
    if "numpyro" not in gone:
        keyed["numpyro"] = _numpyro()
    if "PyTorch" not in gone:
        stateful["PyTorch"] = _torch()
    if "BrainTools" not in gone:
        stateful["BrainTools"] = _braintools()
        stateful["BrainTools, NumPy rng"] = _braintools(rng=np.random.default_rng(0))
    return keyed, stateful


_KEYED, _STATEFUL = _table()


def drawn_by(peer: str, seed: int = 0) -> dict[str, Draw]:
    """A peer's draws by the names of the table; a peer with a state is seeded."""
    if peer in _KEYED:
        return _KEYED[peer]
    if peer == "NumPy":
        return _numpy(seed)
    if peer == "PyTorch":
        import torch

        torch.manual_seed(seed)
        return _torch()
    if peer == "BrainTools, NumPy rng":
        return _braintools(rng=np.random.default_rng(seed))
    import brainstate

    brainstate.random.seed(seed)
    return _braintools()


def is_keyed(peer: str) -> bool:
    """Whether a peer draws from keys, not from a state."""
    return peer in _KEYED


_ANY_DTYPE = (OURS, THEIRS, "PyTorch")
_FLOAT32_ONLY = {("PyTorch", name) for name in ("Gamma", "Beta", "Laplace", "VonMises")}


def jitted(peer: str, row: str, n: int, dtype: Any) -> tuple[Any, dict[str, Any]] | None:
    """A keyed peer's compiled draw, and the array parameters that it takes after the key."""
    name, given = ROWS[row]
    draw = _KEYED[peer].get(name)
    if draw is None or (np.dtype(dtype) != np.float32 and peer not in _ANY_DTYPE):
        return None
    fixed = {k: v for k, v in given.items() if not isinstance(v, Between)}
    arrays = {k: jnp.asarray(v(n), dtype) for k, v in given.items() if isinstance(v, Between)}
    return jax.jit(lambda key, arrays: draw(key, n, dtype, **fixed, **arrays)), arrays


def calls(row: str, n: int, dtype: Any) -> dict[str, Callable[[], Any]]:
    """The calls that draw `n` numbers of a row, by peer."""
    name, given = ROWS[row]
    by_peer: dict[str, Callable[[], Any]] = {}
    for peer in _KEYED:
        if (compiled := jitted(peer, row, n, dtype)) is not None:
            by_peer[peer] = lambda c=compiled: c[0](KEY, c[1])
    if name != "bits":
        for peer in (OURS, THEIRS):
            values = {
                k: jnp.asarray(v(n), dtype) if isinstance(v, Between) else v
                for k, v in given.items()
            }
            if (draw := _KEYED[peer].get(name)) is None:
                continue
            by_peer[eagerly(peer)] = lambda d=draw, g=values: d(KEY, n, dtype, **g)
    for peer, draws in _STATEFUL.items():
        no_dtype = np.dtype(dtype) != np.float32 and (
            peer not in _ANY_DTYPE or (peer, name) in _FLOAT32_ONLY
        )
        if name not in draws or no_dtype:
            continue
        values = {k: _native(peer, v(n)) if isinstance(v, Between) else v for k, v in given.items()}
        has_arrays = any(isinstance(v, Between) for v in given.values())
        if draws[name](n if has_arrays else 1, dtype, **values) is None:  # not offered
            continue
        by_peer[peer] = lambda d=draws[name], g=values: d(n, dtype, **g)
    return by_peer


def _native(peer: str, array: np.ndarray) -> Any:
    """An array parameter in the form that a peer takes without conversion."""
    if peer == "PyTorch":
        import torch

        return torch.from_numpy(array.astype(np.float32))
    return array if peer == "NumPy" else jnp.asarray(array, jnp.float32)
