"""The gallery's one table: of each class what is drawn, and what is the same elsewhere.

A row is optional: without one a class is drawn with the parameters of its row in `tests/cases.py`.
Expressions are strings, shown as they stand and evaluated: at build for the pictures and tables, in
`tests/site/test_peers.py` to compare what a peer draws with what is drawn here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Same:
    """The same elsewhere.

    Attributes
    ----------
    there
        The peer's expression.
    here
        Ours, where it is not the row's own.
    how
        How a test compares them: a name in `peers.COMPARED`.
    note
        What a reader should know, in reStructuredText.
    """

    there: str
    here: str = ""
    how: str = "law"
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Row:
    """One class.

    Attributes
    ----------
    drawn
        Four of its objects, for the picture and the tables.
    here
        The object that the peers' expressions are the same as.
    shape
        Of the draws that are compared.
    first
        Statements that the peers' expressions build on.
    same
        By peer; a string stands for `Same` of it.
    size
        Of the draws in the picture, where they are matrices.
    """

    drawn: tuple[str, ...]
    here: str = ""
    same: Mapping[str, str | Same] = dataclasses.field(default_factory=dict)
    shape: tuple[int, ...] = (100_000,)
    first: str = ""
    size: tuple[int, ...] = ()

    def rows(self) -> dict[str, Same]:
        """What is the same, with the expression it is compared with."""
        made = {k: v if isinstance(v, Same) else Same(v) for k, v in self.same.items()}
        return {k: dataclasses.replace(v, here=v.here or self.here) for k, v in made.items()}


def _constant(value: str, name: str) -> dict[str, str | Same]:
    """Zeros or ones, which are called alike everywhere."""
    lower = name.lower()
    return {
        "jax.nn.initializers": Same(f"jax.nn.initializers.{lower}(key, shape)", how="equal"),
        "torch.nn.init": Same(f"torch.nn.init.{lower}_(torch.empty(shape))", how="equal"),
        "Keras": Same(f"keras.initializers.{name}()(shape)", how="equal"),
        "BrainTools": Same(f"braintools.init.Constant({value})(shape)", how="equal"),
    }


TWO = "truncated at 2 std here and there"
UNTRUNCATED = "not truncated there, though it has the same name"


def _scaled(name: str, jax_name: str, scale: str, mode: str, **torch: str) -> dict[str, str | Same]:
    """The peers' initializers of layers; those of torch take (out, in), and truncate nothing."""
    kind = "uniform" if name.endswith("Uniform") else "normal"
    plain = f'init.VarianceScaling({scale}, "{mode}", "{kind}")'
    keras = {"Kaiming": "He", "Xavier": "Glorot"}
    keras_name = name
    for ours, theirs in keras.items():
        keras_name = keras_name.replace(ours, theirs)
    elsewhere = {"here": "" if kind == "uniform" else plain}
    elsewhere["note"] = "" if kind == "uniform" else UNTRUNCATED
    return {
        "jax.nn.initializers": Same(f"jax.nn.initializers.{jax_name}()(key, shape)", how="bits"),
        "torch.nn.init": Same(torch["there"], **elsewhere),
        "Keras": Same(
            f"keras.initializers.{keras_name}(seed=0)(shape)", note=TWO if kind == "normal" else ""
        ),
        "BrainTools": Same(f"braintools.init.{name}()(shape, rng=rng)", **elsewhere),
    }


def _profile(formula: str, nest: str = "", braintools: str = "") -> dict[str, str | Same]:
    """A function of distance: the formula is Python's, Brian's and PyNN's."""
    found: dict[str, str | Same] = {
        "SciPy": Same(formula.replace("exp(", "np.exp("), how="values", note="NumPy"),
        "BrainTools": Same(f"braintools.init.{braintools}(d)", how="values"),
        "NEST": Same(nest, how="values"),
        "Brian2": Same(f'synapses.connect(p="{formula}")', how="values"),
        "PyNN": Same(f'DistanceDependentProbabilityConnector("{formula}")', how="values"),
    }
    return {peer: same for peer, same in found.items() if "()" not in same.there and same.there}


LAYER = (256, 128)

TABLE: dict[str, Row] = {
    "Constant": Row(
        drawn=(
            "init.Constant(0.5 * u.nS)",
            "init.Constant(-65 * u.mV)",
            "init.Constant(1.5 * u.ms)",
            "init.Constant(0.0)",
        ),
        here="init.Constant(0.5)",
        same={
            "jax.nn.initializers": Same(
                "jax.nn.initializers.constant(0.5)(key, shape)", how="equal"
            ),
            "torch.nn.init": Same("torch.nn.init.constant_(torch.empty(shape), 0.5)", how="equal"),
            "Keras": Same("keras.initializers.Constant(0.5)(shape)", how="equal"),
            "BrainTools": Same("braintools.init.Constant(0.5)(shape)", how="equal"),
            "NEST": Same("0.5", how="equal", note="a number where a parameter may stand"),
            "Brian2": Same('synapses.w = "0.5"', how="equal"),
        },
        shape=(100,),
    ),
    "ZeroInit": Row(
        drawn=(
            "init.ZeroInit()",
            "init.ZeroInit(u.nS)",
            "init.ZeroInit(u.mV)",
            "init.ZeroInit(u.ms)",
        ),
        here="init.ZeroInit()",
        same=_constant("0.0", "Zeros"),
        shape=(100,),
    ),
    "OneInit": Row(
        drawn=("init.OneInit()", "init.OneInit(u.nS)", "init.OneInit(u.mV)", "init.OneInit(u.ms)"),
        here="init.OneInit()",
        same=_constant("1.0", "Ones"),
        shape=(100,),
    ),
    "Uniform": Row(
        drawn=(
            "init.Uniform(0.2 * u.nS, 0.8 * u.nS)",
            "init.Uniform()",
            "init.Uniform(-70 * u.mV, -50 * u.mV)",
            "init.Uniform(0.5 * u.ms, 2 * u.ms)",
        ),
        here="init.Uniform(0.2, 0.8)",
        same={
            "SciPy": Same(
                "stats.uniform(0.2, 0.6).rvs(shape, rng)", note="`loc` and `scale`: low and width"
            ),
            "jax.random": Same("jax.random.uniform(key, shape)", here="init.Uniform()", how="bits"),
            "jax.nn.initializers": Same(
                "jax.nn.initializers.uniform(0.8)(key, shape)",
                here="init.Uniform(0.0, 0.8)",
                how="bits",
            ),
            "torch.nn.init": "torch.nn.init.uniform_(torch.empty(shape), 0.2, 0.8)",
            "Keras": "keras.initializers.RandomUniform(0.2, 0.8, seed=0)(shape)",
            "BrainTools": "braintools.init.Uniform(0.2, 0.8)(shape, rng=rng)",
            "NEST": "nest.random.uniform(min=0.2, max=0.8)",
            "Brian2": 'synapses.w = "0.2 + 0.6 * rand()"',
            "PyNN": 'RandomDistribution("uniform", low=0.2, high=0.8)',
        },
    ),
    "Normal": Row(
        drawn=(
            "init.Normal(0.5 * u.nS, 0.15 * u.nS)",
            "init.Normal()",
            "init.Normal(-65 * u.mV, 5 * u.mV)",
            "init.Normal(0.0, 0.02)",
        ),
        here="init.Normal(0.5, 0.15)",
        same={
            "SciPy": "stats.norm(0.5, 0.15).rvs(shape, rng)",
            "jax.random": Same("jax.random.normal(key, shape)", here="init.Normal()", how="bits"),
            "jax.nn.initializers": Same(
                "jax.nn.initializers.normal(0.15)(key, shape)",
                here="init.Normal(0.0, 0.15)",
                how="bits",
            ),
            "torch.nn.init": "torch.nn.init.normal_(torch.empty(shape), 0.5, 0.15)",
            "Keras": "keras.initializers.RandomNormal(0.5, 0.15, seed=0)(shape)",
            "BrainTools": "braintools.init.Normal(0.5, 0.15)(shape, rng=rng)",
            "NEST": "nest.random.normal(mean=0.5, std=0.15)",
            "Brian2": 'synapses.w = "0.5 + 0.15 * randn()"',
            "PyNN": 'RandomDistribution("normal", mu=0.5, sigma=0.15)',
        },
    ),
    "TruncatedNormal": Row(
        drawn=(
            "init.TruncatedNormal(0.5 * u.nS, 0.2 * u.nS, 0 * u.nS, 1 * u.nS)",
            "init.TruncatedNormal(0.0, 1.0, -2.0, 2.0)",
            "init.TruncatedNormal(1.5 * u.ms, 1 * u.ms, low=0.1 * u.ms)",
            "init.TruncatedNormal(0.0, 1.0, 5.0, 6.0)",
        ),
        here="init.TruncatedNormal(0.5, 0.2, 0.0, 1.0)",
        same={
            "SciPy": Same(
                "stats.truncnorm(-2.5, 2.5, loc=0.5, scale=0.2).rvs(shape, rng)",
                note="bounds in std from the mean",
            ),
            "jax.random": Same(
                "jax.random.truncated_normal(key, -2.0, 2.0, shape)",
                here="init.TruncatedNormal(0.0, 1.0, -2.0, 2.0)",
                how="bits",
                note="elsewhere better here: JAX loses the tails",
            ),
            "jax.nn.initializers": Same(
                "jax.nn.initializers.truncated_normal(0.2)(key, shape)",
                here="init.TruncatedNormal(0.0, 0.2, -0.4, 0.4)",
                note="bounds in std",
            ),
            "torch.nn.init": "torch.nn.init.trunc_normal_(torch.empty(shape), 0.5, 0.2, 0.0, 1.0)",
            "Keras": Same(
                "keras.initializers.TruncatedNormal(0.5, 0.2, seed=0)(shape)",
                here="init.TruncatedNormal(0.5, 0.2, 0.1, 0.9)",
                note="always at 2 std",
            ),
            "BrainTools": "braintools.init.TruncatedNormal(0.5, 0.2, 0.0, 1.0)(shape, rng=rng)",
            "NEST": "nest.math.redraw(nest.random.normal(mean=0.5, std=0.2), min=0.0, max=1.0)",
            "PyNN": 'RandomDistribution("normal_clipped", mu=0.5, sigma=0.2, low=0.0, high=1.0)',
        },
    ),
    "Beta": Row(
        drawn=(
            "init.Beta(2.0, 5.0)",
            "init.Beta(0.5, 0.5)",
            "init.Beta(5.0, 1.5, 0 * u.nS, 2 * u.nS)",
            "init.Beta(30.0, 30.0)",
        ),
        here="init.Beta(2.0, 5.0)",
        same={
            "SciPy": "stats.beta(2.0, 5.0).rvs(shape, rng)",
            "jax.random": "jax.random.beta(key, 2.0, 5.0, shape)",
            "torch.nn.init": Same(
                "torch.distributions.Beta(2.0, 5.0).sample(shape)", note="``torch.distributions``"
            ),
            "BrainTools": "braintools.init.Beta(2.0, 5.0, 0.0, 1.0)(shape, rng=rng)",
        },
    ),
    "Laplace": Row(
        drawn=(
            "init.Laplace(0.5 * u.nS, 0.15 * u.nS)",
            "init.Laplace()",
            "init.Laplace(-65 * u.mV, 2 * u.mV)",
            "init.Laplace(0.0, 0.02)",
        ),
        here="init.Laplace(0.5, 0.15)",
        same={
            "SciPy": "stats.laplace(0.5, 0.15).rvs(shape, rng)",
            "jax.random": "0.5 + 0.15 * jax.random.laplace(key, shape)",
            "torch.nn.init": Same(
                "torch.distributions.Laplace(0.5, 0.15).sample(shape)",
                note="``torch.distributions``",
            ),
            "Brian2": 'synapses.w = "0.5 + 0.15 * log(rand()) - 0.15 * log(rand())"',
        },
    ),
    "VonMises": Row(
        drawn=(
            "init.VonMises(0.5, 4.0)",
            "init.VonMises()",
            "init.VonMises(0.0, 0.2)",
            "init.VonMises(-1.0, 40.0)",
        ),
        here="init.VonMises(0.5, 4.0)",
        same={
            "SciPy": "stats.vonmises(4.0, loc=0.5).rvs(shape, rng)",
            "torch.nn.init": Same(
                "torch.distributions.VonMises(*torch.tensor([0.5, 4.0])).sample(shape)",
                note="``torch.distributions``",
                how="angle",
            ),
            "PyNN": Same('RandomDistribution("vonmises", mu=0.5, kappa=4.0)', how="angle"),
        },
    ),
    "LogNormal": Row(
        drawn=(
            "init.LogNormal(0.5 * u.nS, 0.2 * u.nS)",
            "init.LogNormal(0.5 * u.nS, 0.5 * u.nS)",
            "init.LogNormal(5 * u.Hz, 10 * u.Hz)",
            "init.LogNormal(1.5 * u.ms, 0.1 * u.ms)",
        ),
        here="init.LogNormal(0.5, 0.2)",
        first="s = np.sqrt(np.log1p((0.2 / 0.5) ** 2))  # std and mean of the logarithm\n"
        "m = np.log(0.5) - s**2 / 2",
        same={
            "SciPy": "stats.lognorm(s, scale=np.exp(m)).rvs(shape, rng)",
            "jax.random": "np.exp(m) * jax.random.lognormal(key, s, shape)",
            "torch.nn.init": Same(
                "torch.empty(shape).log_normal_(m, s)", note="a method of tensors"
            ),
            "BrainTools": "braintools.init.LogNormal(0.5, 0.2)(shape, rng=rng)",
            "NEST": "nest.random.lognormal(mean=m, std=s)",
            "Brian2": 'synapses.w = "exp(m + s * randn())"',
            "PyNN": 'RandomDistribution("lognormal", mu=m, sigma=s)',
        },
    ),
    "Gamma": Row(
        drawn=(
            "init.Gamma(3.0, 0.2 * u.nS)",
            "init.Gamma(0.5, 1.0)",
            "init.Gamma(1.0, 5 * u.Hz)",
            "init.Gamma(30.0, 0.05 * u.ms)",
        ),
        here="init.Gamma(3.0, 0.2)",
        same={
            "SciPy": "stats.gamma(3.0, scale=0.2).rvs(shape, rng)",
            "jax.random": "0.2 * jax.random.gamma(key, 3.0, shape)",
            "torch.nn.init": Same(
                "torch.distributions.Gamma(3.0, 1 / 0.2).sample(shape)",
                note="``torch.distributions``; the rate is 1 / scale",
            ),
            "BrainTools": "braintools.init.Gamma(3.0, 0.2)(shape, rng=rng)",
            "PyNN": 'RandomDistribution("gamma", k=3.0, theta=0.2)',
        },
    ),
    "Exponential": Row(
        drawn=(
            "init.Exponential(2 * u.ms)",
            "init.Exponential()",
            "init.Exponential(5 * u.Hz)",
            "init.Exponential(0.3 * u.nS)",
        ),
        here="init.Exponential(0.3)",
        same={
            "SciPy": "stats.expon(scale=0.3).rvs(shape, rng)",
            "jax.random": "0.3 * jax.random.exponential(key, shape)",
            "torch.nn.init": Same(
                "torch.empty(shape).exponential_(1 / 0.3)",
                note="a method of tensors; the rate is 1 / scale",
            ),
            "BrainTools": "braintools.init.Exponential(0.3)(shape, rng=rng)",
            "NEST": "nest.random.exponential(beta=0.3)",
            "Brian2": 'synapses.w = "-0.3 * log(rand())"',
            "PyNN": 'RandomDistribution("exponential", beta=0.3)',
        },
    ),
    "Weibull": Row(
        drawn=(
            "init.Weibull(1.5, 0.5 * u.nS)",
            "init.Weibull(0.7, 1.0)",
            "init.Weibull(1.0, 2 * u.ms)",
            "init.Weibull(5.0, 10 * u.Hz)",
        ),
        here="init.Weibull(1.5, 0.5)",
        same={
            "SciPy": "stats.weibull_min(1.5, scale=0.5).rvs(shape, rng)",
            "jax.random": Same(
                "jax.random.weibull_min(key, 0.5, 1.5, shape)", note="the scale comes first"
            ),
            "torch.nn.init": Same(
                "torch.distributions.Weibull(0.5, 1.5).sample(shape)",
                note="``torch.distributions``; the scale comes first",
            ),
            "BrainTools": "braintools.init.Weibull(1.5, 0.5)(shape, rng=rng)",
            "Brian2": 'synapses.w = "0.5 * (-log(rand())) ** (1 / 1.5)"',
        },
    ),
    "LogUniform": Row(
        drawn=(
            "init.LogUniform(0.1 * u.nS, 10 * u.nS)",
            "init.LogUniform(1e-4, 1e-1)",
            "init.LogUniform(1 * u.ms, 100 * u.ms)",
            "init.LogUniform(1 * u.Hz, 2 * u.Hz)",
        ),
        here="init.LogUniform(0.1, 10.0)",
        same={
            "SciPy": "stats.loguniform(0.1, 10.0).rvs(shape, rng)",
            "jax.random": "0.1 * 100.0 ** jax.random.uniform(key, shape)",
            "NEST": "0.1 * nest.math.exp(np.log(100.0) * nest.random.uniform())",
            "Brian2": 'synapses.w = "0.1 * 100 ** rand()"',
        },
    ),
    "Truncated": Row(
        drawn=(
            "init.Truncated(init.Exponential(1 * u.ms), 0.3 * u.ms, 3 * u.ms)",
            "init.Truncated(init.Gamma(3.0, 0.2 * u.nS), high=1 * u.nS)",
            "init.Truncated(init.LogNormal(0.5 * u.nS, 0.5 * u.nS), 0.1 * u.nS, 1.5 * u.nS)",
            "init.Truncated(init.Laplace(), -1.0, 2.0)",
        ),
        here="init.Truncated(init.Exponential(1.0), 0.3, 3.0)",
        same={
            "SciPy": Same(
                "stats.truncexpon(2.7, loc=0.3).rvs(shape, rng)",
                note="an exponential forgets where it was cut; ``stats.truncate`` for others",
            ),
            "NEST": "nest.math.redraw(nest.random.exponential(beta=1.0), min=0.3, max=3.0)",
        },
    ),
    "VarianceScaling": Row(
        drawn=(
            'init.VarianceScaling(1.0, "fan_in", "normal")',
            'init.VarianceScaling(2.0, "fan_out", "truncated_normal")',
            'init.VarianceScaling(1.0, "fan_avg", "uniform")',
            'init.VarianceScaling(1 * u.nS**2, "fan_geo_avg", "normal")',
        ),
        here='init.VarianceScaling(2.0, "fan_out", "truncated_normal")',
        same={
            "jax.nn.initializers": Same(
                'jax.nn.initializers.variance_scaling(2.0, "fan_out", "truncated_normal")'
                "(key, shape)",
                how="bits",
            ),
            "Keras": "keras.initializers.VarianceScaling("
            '2.0, "fan_out", "truncated_normal", seed=0)(shape)',
            "BrainTools": Same(
                'braintools.init.VarianceScaling(2.0, "fan_out", "normal")(shape, rng=rng)',
                here='init.VarianceScaling(2.0, "fan_out", "normal")',
            ),
        },
        shape=LAYER,
        size=LAYER,
    ),
    "KaimingNormal": Row(
        drawn=(
            "init.KaimingNormal()",
            'init.KaimingNormal(mode="fan_out")',
            'init.KaimingNormal(nonlinearity="tanh")',
            'init.KaimingNormal(nonlinearity="leaky_relu", negative_slope=0.2)',
        ),
        here="init.KaimingNormal()",
        same=_scaled(
            "KaimingNormal",
            "he_normal",
            "2.0",
            "fan_in",
            there='torch.nn.init.kaiming_normal_(torch.empty(shape[::-1]), nonlinearity="relu").T',
        ),
        shape=LAYER,
        size=LAYER,
    ),
    "KaimingUniform": Row(
        drawn=(
            "init.KaimingUniform()",
            'init.KaimingUniform(mode="fan_out")',
            'init.KaimingUniform(nonlinearity="tanh")',
            'init.KaimingUniform(nonlinearity="leaky_relu", negative_slope=5**0.5)',
        ),
        here="init.KaimingUniform()",
        same=_scaled(
            "KaimingUniform",
            "he_uniform",
            "2.0",
            "fan_in",
            there='torch.nn.init.kaiming_uniform_(torch.empty(shape[::-1]), nonlinearity="relu").T',
        ),
        shape=LAYER,
        size=LAYER,
    ),
    "XavierNormal": Row(
        drawn=(
            "init.XavierNormal()",
            "init.XavierNormal(2.0)",
            "init.XavierNormal(1 * u.nS**2)",
            "init.XavierNormal(fan_in=1000)",
        ),
        here="init.XavierNormal()",
        same=_scaled(
            "XavierNormal",
            "glorot_normal",
            "1.0",
            "fan_avg",
            there="torch.nn.init.xavier_normal_(torch.empty(shape[::-1])).T",
        ),
        shape=LAYER,
        size=LAYER,
    ),
    "XavierUniform": Row(
        drawn=(
            "init.XavierUniform()",
            "init.XavierUniform(2.0)",
            "init.XavierUniform(1 * u.nS**2)",
            "init.XavierUniform(fan_in=1000)",
        ),
        here="init.XavierUniform()",
        same=_scaled(
            "XavierUniform",
            "glorot_uniform",
            "1.0",
            "fan_avg",
            there="torch.nn.init.xavier_uniform_(torch.empty(shape[::-1])).T",
        ),
        shape=LAYER,
        size=LAYER,
    ),
    "LecunNormal": Row(
        drawn=(
            "init.LecunNormal()",
            "init.LecunNormal(2.0)",
            "init.LecunNormal(1 * u.nS**2)",
            "init.LecunNormal(fan_in=1000)",
        ),
        here="init.LecunNormal()",
        same=_scaled(
            "LecunNormal",
            "lecun_normal",
            "1.0",
            "fan_in",
            there='torch.nn.init.kaiming_normal_(torch.empty(shape[::-1]), nonlinearity="linear").T',
        ),
        shape=LAYER,
        size=LAYER,
    ),
    "LecunUniform": Row(
        drawn=(
            "init.LecunUniform()",
            "init.LecunUniform(2.0)",
            "init.LecunUniform(1 * u.nS**2)",
            "init.LecunUniform(fan_in=1000)",
        ),
        here="init.LecunUniform()",
        same=_scaled(
            "LecunUniform",
            "lecun_uniform",
            "1.0",
            "fan_in",
            there='torch.nn.init.kaiming_uniform_(torch.empty(shape[::-1]), nonlinearity="linear").T',
        ),
        shape=LAYER,
        size=LAYER,
    ),
    "Orthogonal": Row(
        drawn=(
            "init.Orthogonal()",
            "init.Orthogonal(2.0)",
            "init.Orthogonal(1 * u.nS)",
            "init.Orthogonal(column_axis=0)",
        ),
        here="init.Orthogonal()",
        same={
            "SciPy": Same("stats.ortho_group(64).rvs(random_state=rng)", how="orthogonal"),
            "jax.nn.initializers": Same("jax.nn.initializers.orthogonal()(key, shape)", how="bits"),
            "torch.nn.init": Same(
                "torch.nn.init.orthogonal_(torch.empty(shape))", how="orthogonal"
            ),
            "Keras": Same("keras.initializers.Orthogonal(seed=0)(shape)", how="orthogonal"),
            "BrainTools": Same("braintools.init.Orthogonal()(shape, rng=rng)", how="orthogonal"),
        },
        shape=(64, 64),
        size=(32, 16),
    ),
    "DeltaOrthogonal": Row(
        drawn=(
            "init.DeltaOrthogonal()",
            "init.DeltaOrthogonal(2.0)",
            "init.DeltaOrthogonal(1 * u.nS)",
            "init.DeltaOrthogonal(0.5)",
        ),
        here="init.DeltaOrthogonal()",
        same={
            "jax.nn.initializers": Same(
                "jax.nn.initializers.delta_orthogonal()(key, shape)", how="bits"
            ),
        },
        shape=(3, 3, 16, 32),
        size=(3, 16, 32),
    ),
    "Identity": Row(
        drawn=(
            "init.Identity()",
            "init.Identity(0.5)",
            "init.Identity(1 * u.nS)",
            "init.Identity(-1.0)",
        ),
        here="init.Identity()",
        same={
            "torch.nn.init": Same("torch.nn.init.eye_(torch.empty(shape))", how="equal"),
            "Keras": Same("keras.initializers.Identity()(shape)", how="equal"),
            "BrainTools": Same("braintools.init.Identity()(shape)", how="equal"),
        },
        shape=(48, 32),
        size=(16, 12),
    ),
    "Dirac": Row(
        drawn=(
            "init.Dirac()",
            "init.Dirac(groups=2)",
            "init.Dirac(1 * u.nS)",
            "init.Dirac(0.5, groups=4)",
        ),
        here="init.Dirac()",
        same={
            "torch.nn.init": Same(
                "torch.nn.init.dirac_(torch.empty(shape[::-1])).permute(2, 1, 0)", how="equal"
            ),
        },
        shape=(3, 8, 16),
        size=(3, 8, 16),
    ),
    "Sparse": Row(
        drawn=(
            "init.Sparse(0.7, init.Normal(0 * u.nS, 1 * u.nS))",
            "init.Sparse(0.9, init.LogNormal(0.5, 0.2))",
            "init.Sparse(0.5, init.Uniform(-1.0, 1.0), axis=1)",
            "init.Sparse(0.8, init.Orthogonal())",
        ),
        here="init.Sparse(0.3, init.Normal(0.0, 0.01))",
        same={
            "torch.nn.init": Same(
                "torch.nn.init.sparse_(torch.empty(shape), sparsity=0.3, std=0.01)",
                how="zeros in each column",
            ),
        },
        shape=(200, 100),
        size=(24, 24),
    ),
    "Spectral": Row(
        drawn=(
            "init.Spectral(init.Normal(), radius=0.95)",
            "init.Spectral(init.Sparse(0.9), radius=0.95)",
            "init.Spectral(init.Uniform(-1.0, 1.0), norm=2.0)",
            "init.Spectral(init.Normal(0 * u.nS, 1 * u.nS), radius=1.2 * u.nS)",
        ),
        here="init.Spectral(init.Normal(), radius=0.95)",
        first="w = stats.norm.rvs(size=shape, random_state=rng)",
        same={
            "SciPy": Same("w * 0.95 / abs(np.linalg.eigvals(w)).max()", how="radius"),
        },
        shape=(100, 100),
        size=(24, 24),
    ),
    "Dale": Row(
        drawn=(
            "init.Dale(init.LogNormal(0.5 * u.nS, 0.2 * u.nS))",
            "init.Dale(init.Sparse(0.7, init.Gamma(3.0, 0.2)))",
            "init.Dale(init.Uniform(), 0.5, balance=False)",
            'init.Dale(init.Exponential(), 6, balance="exact", axis=1)',
        ),
        size=(20, 20),
    ),
    "Mixture": Row(
        drawn=(
            "init.Mixture([init.Normal(0.5 * u.nS, 0.1 * u.nS), init.Uniform(0.8 * u.nS, 1.2 * u.nS)])",
            "init.Mixture([init.Normal(-2.0, 0.5), init.Normal(2.0, 0.5)], [0.3, 0.7])",
            "init.Mixture([init.Exponential(1 * u.ms), init.Gamma(30.0, 0.2 * u.ms)], [0.6, 0.4])",
            "init.Mixture([init.Normal(0.0, 1.0), init.Normal(0.0, 0.1)], [0.9, 0.1])",
        ),
        here="init.Mixture([init.Normal(-2.0, 0.5), init.Normal(2.0, 0.5)], [0.3, 0.7])",
        same={
            "SciPy": Same(
                "stats.Mixture([stats.Normal(mu=-2.0, sigma=0.5), stats.Normal(mu=2.0, sigma=0.5)], "
                "weights=[0.3, 0.7]).sample(shape, rng=rng)",
                note="SciPy 1.15",
            ),
            "torch.nn.init": Same(
                "torch.distributions.MixtureSameFamily("
                "torch.distributions.Categorical(torch.tensor([0.3, 0.7])), "
                "torch.distributions.Normal(torch.tensor([-2.0, 2.0]), torch.tensor([0.5, 0.5]))"
                ").sample(shape)",
                note="``torch.distributions``",
            ),
            "BrainTools": "braintools.init.Mixture([braintools.init.Normal(-2.0, 0.5), "
            "braintools.init.Normal(2.0, 0.5)], [0.3, 0.7])(shape, rng=rng)",
            "Brian2": 'synapses.w = "-2 + 4 * int(rand() < 0.7) + 0.5 * randn()"',
        },
    ),
    "Conditional": Row(
        drawn=(
            "init.Conditional([80, 20], init.Normal(0.5 * u.nS, 0.1 * u.nS), "
            "init.Normal(-1 * u.nS, 0.2 * u.nS))",
            "init.Conditional([50, 50], init.Exponential(), init.Constant(0.0))",
            "init.Conditional([30, 70], init.Uniform(0.0, 1.0), init.Uniform(2.0, 3.0))",
            "init.Conditional([90, 10], init.LogNormal(0.5, 0.2), init.LogNormal(2.0, 0.5))",
        ),
        here="init.Conditional([80_000, 20_000], init.Normal(0.5, 0.1), init.Normal(-1.0, 0.2))",
        same={
            "BrainTools": "braintools.init.Conditional(lambda i: i < 80_000, "
            "braintools.init.Normal(0.5, 0.1), braintools.init.Normal(-1.0, 0.2))(100_000, rng=rng)",
            "Brian2": 'synapses.w = "0.5 + 0.1 * randn() + int(i >= 80000) * (-1.5 + 0.1 * randn()'
            ' * 3**0.5)"',
        },
        size=(100,),
    ),
    "Clipped": Row(
        drawn=(
            "init.Normal(0.5 * u.nS, 0.2 * u.nS).clip(0 * u.nS, 1 * u.nS)",
            "init.Normal().clip(-1.0, 1.0)",
            "init.Exponential(2 * u.ms).clip(0.5 * u.ms, 5 * u.ms)",
            "init.Normal(0.3, 0.2).clip(0.0)",
        ),
        here="init.Normal(0.5, 0.4).clip(0.0, 1.0)",
        same={
            "SciPy": "stats.norm(0.5, 0.4).rvs(shape, rng).clip(0.0, 1.0)",
            "jax.random": "(0.5 + 0.4 * jax.random.normal(key, shape)).clip(0.0, 1.0)",
            "torch.nn.init": "torch.nn.init.normal_(torch.empty(shape), 0.5, 0.4).clamp_(0.0, 1.0)",
            "BrainTools": "braintools.init.Normal(0.5, 0.4).clip(0.0, 1.0)(shape, rng=rng)",
            "NEST": "nest.math.max(nest.math.min(nest.random.normal(mean=0.5, std=0.4), 1.0), 0.0)",
            "Brian2": 'synapses.w = "clip(0.5 + 0.4 * randn(), 0, 1)"',
            "PyNN": 'RandomDistribution("normal_clipped_to_boundary", '
            "mu=0.5, sigma=0.4, low=0.0, high=1.0)",
        },
    ),
    "Compose": Row(
        drawn=(
            "init.Normal() | jnp.tanh",
            "init.Normal() | jnp.exp",
            "init.Exponential() | jnp.sqrt",
            "init.Compose(init.Uniform(), jnp.log, jnp.negative)",
        ),
        here="init.Normal() | jnp.tanh",
        same={
            "SciPy": "np.tanh(stats.norm.rvs(size=shape, random_state=rng))",
            "jax.random": "jnp.tanh(jax.random.normal(key, shape))",
            "torch.nn.init": "torch.nn.init.normal_(torch.empty(shape)).tanh_()",
            "BrainTools": "(braintools.init.Normal(0.0, 1.0) | np.tanh)(shape, rng=rng)",
            "Brian2": 'synapses.w = "tanh(randn())"',
        },
    ),
    "Scaled": Row(
        drawn=(
            "init.Normal(0.5, 0.15) * u.nS",
            "2 * init.Gamma(3.0, 0.2)",
            "init.Uniform() * (5 * u.ms)",
            "init.Scaled(init.Laplace(), 0.02)",
        ),
        here="2.0 * init.Normal(0.5, 0.15)",
        same={
            "SciPy": "2.0 * stats.norm(0.5, 0.15).rvs(shape, rng)",
            "jax.random": "2.0 * (0.5 + 0.15 * jax.random.normal(key, shape))",
            "BrainTools": "(2.0 * braintools.init.Normal(0.5, 0.15))(shape, rng=rng)",
            "NEST": "2.0 * nest.random.normal(mean=0.5, std=0.15)",
            "Brian2": 'synapses.w = "2 * (0.5 + 0.15 * randn())"',
        },
    ),
    "Combined": Row(
        drawn=(
            "init.Exponential(2 * u.ms) + 0.5 * u.ms",
            "init.Normal(0.5, 0.1) + init.Exponential(0.3)",
            "init.Uniform() + init.Uniform()",
            "init.Normal() / init.Gamma(3.0, 1.0)",
        ),
        here="init.Exponential(2.0) + 0.5",
        same={
            "SciPy": "stats.expon(0.5, 2.0).rvs(shape, rng)",
            "jax.random": "2.0 * jax.random.exponential(key, shape) + 0.5",
            "BrainTools": "(braintools.init.Exponential(2.0) + 0.5)(shape, rng=rng)",
            "NEST": "nest.random.exponential(beta=2.0) + 0.5",
            "Brian2": 'synapses.w = "0.5 - 2 * log(rand())"',
        },
    ),
    "Power": Row(
        drawn=(
            "init.Normal() ** 2",
            "init.Uniform() ** 2",
            "init.Gamma(3.0, 0.2 * u.nS) ** 0.5",
            "init.Exponential() ** -1",
        ),
        here="init.Normal() ** 2",
        same={
            "SciPy": "stats.chi2(1).rvs(shape, rng)",
            "jax.random": "jax.random.normal(key, shape) ** 2",
            "NEST": "nest.random.normal(mean=0.0, std=1.0) ** 2",
            "Brian2": 'synapses.w = "randn() ** 2"',
        },
    ),
    "GaussianProfile": Row(
        drawn=(
            "init.GaussianProfile(50 * u.um)",
            "init.GaussianProfile(100 * u.um)",
            "init.GaussianProfile(100 * u.um, max_distance=150 * u.um)",
            "0.9 * init.GaussianProfile(50 * u.um) + 0.1",
        ),
        here="init.GaussianProfile(50.0)",
        same=_profile(
            "exp(-d**2 / (2 * 50.0**2))",
            "nest.spatial_distributions.gaussian(nest.spatial.distance, std=50.0)",
            "GaussianProfile(50.0)",
        ),
    ),
    "ExponentialProfile": Row(
        drawn=(
            "init.ExponentialProfile(100 * u.um)",
            "init.ExponentialProfile(50 * u.um)",
            "init.ExponentialProfile(100 * u.um, max_distance=150 * u.um)",
            "0.5 * init.ExponentialProfile(100 * u.um)",
        ),
        here="init.ExponentialProfile(100.0)",
        same=_profile(
            "exp(-d / 100.0)",
            "nest.spatial_distributions.exponential(nest.spatial.distance, beta=100.0)",
            "ExponentialProfile(100.0)",
        ),
    ),
    "PowerLawProfile": Row(
        drawn=(
            "init.PowerLawProfile(1.0, 20 * u.um)",
            "init.PowerLawProfile(2.0, 20 * u.um)",
            "init.PowerLawProfile(0.5, 20 * u.um)",
            "init.PowerLawProfile(2.0, 50 * u.um, max_distance=250 * u.um)",
        ),
        here="init.PowerLawProfile(2.0, 20.0)",
        same={
            "SciPy": Same("(np.maximum(d, 20.0) / 20.0) ** -2.0", how="values", note="NumPy"),
            "BrainTools": Same("braintools.init.PowerLawProfile(2.0, 20.0)(d)", how="values"),
            "NEST": Same("(nest.math.max(nest.spatial.distance, 20.0) / 20.0) ** -2", how="values"),
            "Brian2": Same('synapses.connect(p="(clip(d, 20, inf) / 20) ** -2")', how="values"),
            "PyNN": Same(
                'DistanceDependentProbabilityConnector("(np.maximum(d, 20.0) / 20.0) ** -2.0")',
                how="values",
            ),
        },
    ),
    "LinearProfile": Row(
        drawn=(
            "init.LinearProfile(200 * u.um)",
            "init.LinearProfile(100 * u.um)",
            "0.5 * init.LinearProfile(300 * u.um)",
            "init.LinearProfile(200 * u.um) ** 2",
        ),
        here="init.LinearProfile(200.0)",
        same=_profile(
            "(1 - d / 200.0) * (d < 200.0)",
            "nest.math.max(1.0 - nest.spatial.distance / 200.0, 0.0)",
            "LinearProfile(200.0)",
        ),
    ),
    "StepProfile": Row(
        drawn=(
            "init.StepProfile(100 * u.um)",
            "init.StepProfile(200 * u.um, 0.8, 0.1)",
            "init.StepProfile(50 * u.um, 0.0, 1.0)",
            "init.StepProfile(150 * u.um, 0.5)",
        ),
        here="init.StepProfile(200.0, 0.8, 0.1)",
        same=_profile("0.1 + 0.7 * (d <= 200.0)", "", "StepProfile(200.0, 0.8, 0.1)"),
    ),
    "SigmoidProfile": Row(
        drawn=(
            "init.SigmoidProfile(150 * u.um, 0.05 / u.um)",
            "init.SigmoidProfile(150 * u.um, 0.02 / u.um)",
            "init.SigmoidProfile(100 * u.um, 0.2 / u.um)",
            "init.SigmoidProfile(150 * u.um, -0.05 / u.um)",
        ),
        here="init.SigmoidProfile(150.0, 0.05)",
        same=_profile("1 / (1 + exp(0.05 * (d - 150.0)))", "", "SigmoidProfile(150.0, 0.05)"),
    ),
    "LogisticProfile": Row(
        drawn=(
            "init.LogisticProfile(0.05 / u.um, 150 * u.um)",
            "init.LogisticProfile(0.02 / u.um, 150 * u.um)",
            "init.LogisticProfile(0.2 / u.um, 100 * u.um)",
            "init.LogisticProfile(0.05 / u.um, 150 * u.um, max_distance=200 * u.um)",
        ),
        here="init.LogisticProfile(0.05, 150.0)",
        same=_profile("1 / (1 + exp(0.05 * (d - 150.0)))", "", "LogisticProfile(0.05, 150.0)"),
    ),
    "DoGProfile": Row(
        drawn=(
            "init.DoGProfile(50 * u.um, 100 * u.um)",
            "init.DoGProfile(30 * u.um, 150 * u.um)",
            "init.DoGProfile(50 * u.um, 100 * u.um, 1.0, 1.0)",
            "init.DoGProfile(50 * u.um, 100 * u.um, 0.5, 0.9)",
        ),
        here="init.DoGProfile(50.0, 100.0).weight_scaling",
        same={
            "SciPy": Same(
                "np.exp(-d**2 / (2 * 50.0**2)) - 0.5 * np.exp(-d**2 / (2 * 100.0**2))",
                how="values",
                note="NumPy",
            ),
            "BrainTools": Same(
                "braintools.init.DoGProfile(50.0, 100.0)(d)",
                here="init.DoGProfile(50.0, 100.0).probability",
                how="values",
                note="cut at 0, as a probability is here",
            ),
            "NEST": Same(
                "nest.spatial_distributions.gaussian(nest.spatial.distance, std=50.0) - 0.5"
                " * nest.spatial_distributions.gaussian(nest.spatial.distance, std=100.0)",
                how="values",
            ),
            "Brian2": Same(
                'synapses.w = "exp(-d**2 / (2 * 50.0**2)) - 0.5 * exp(-d**2 / (2 * 100.0**2))"',
                how="values",
            ),
        },
    ),
    "BimodalProfile": Row(
        drawn=(
            "init.BimodalProfile(30 * u.um, 50 * u.um, 0 * u.um, 200 * u.um)",
            "init.BimodalProfile(30 * u.um, 30 * u.um, 50 * u.um, 200 * u.um, 0.5, 1.0)",
            "init.BimodalProfile(20 * u.um, 80 * u.um, amplitude1=0.5, amplitude2=0.5)",
            "init.BimodalProfile(50 * u.um, 50 * u.um, 100 * u.um, 250 * u.um)",
        ),
        here="init.BimodalProfile(30.0, 50.0, 0.0, 200.0, 0.5, 0.5)",
        same=_profile(
            "0.5 * exp(-d**2 / (2 * 30.0**2)) + 0.5 * exp(-(d - 200.0)**2 / (2 * 50.0**2))",
            "0.5 * nest.spatial_distributions.gaussian(nest.spatial.distance, std=30.0) + 0.5 * "
            "nest.spatial_distributions.gaussian(nest.spatial.distance, mean=200.0, std=50.0)",
            "BimodalProfile(30.0, 50.0, 0.0, 200.0, 0.5, 0.5)",
        ),
    ),
    "MexicanHatProfile": Row(
        drawn=(
            "init.MexicanHatProfile(80 * u.um)",
            "init.MexicanHatProfile(40 * u.um)",
            "init.MexicanHatProfile(80 * u.um, 0.5)",
            "init.MexicanHatProfile(80 * u.um, max_distance=150 * u.um)",
        ),
        here="init.MexicanHatProfile(80.0).weight_scaling",
        same={
            "SciPy": Same(
                "(1 - d**2 / 80.0**2) * np.exp(-d**2 / (2 * 80.0**2))", how="values", note="NumPy"
            ),
            "BrainTools": Same(
                "braintools.init.MexicanHatProfile(80.0)(d)",
                here="init.MexicanHatProfile(80.0).probability",
                how="values",
                note="cut at 0, as a probability is here",
            ),
            "Brian2": Same(
                'synapses.w = "(1 - d**2 / 80.0**2) * exp(-d**2 / (2 * 80.0**2))"', how="values"
            ),
        },
    ),
    "CombinedProfile": Row(
        drawn=(
            "init.GaussianProfile(50 * u.um) + 0.5 * init.GaussianProfile(200 * u.um)",
            "init.GaussianProfile(100 * u.um) * init.StepProfile(150 * u.um)",
            "1 - init.GaussianProfile(100 * u.um)",
            "init.ExponentialProfile(100 * u.um) / 2",
        ),
    ),
    "ApplyProfile": Row(
        drawn=(
            "init.GaussianProfile(100 * u.um) | jnp.sqrt",
            "init.LinearProfile(300 * u.um) | jnp.square",
            "init.GaussianProfile(100 * u.um).clip(0.2, 0.8)",
            "init.ExponentialProfile(100 * u.um).apply(lambda p: 1 - p)",
        ),
    ),
    "DistanceModulated": Row(
        drawn=(
            "init.DistanceModulated(init.Constant(1 * u.nS), init.GaussianProfile(50 * u.um))",
            "init.DistanceModulated(init.LogNormal(0.5 * u.nS, 0.2 * u.nS), "
            "init.ExponentialProfile(100 * u.um))",
            "init.DistanceModulated(init.Normal(), init.DoGProfile(50 * u.um, 100 * u.um))",
            "init.DistanceModulated(init.Uniform(), init.StepProfile(100 * u.um), "
            "include_self=False)",
        ),
    ),
}
