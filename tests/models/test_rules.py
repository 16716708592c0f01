"""Rules: the first that matches, every kind of right side, and one error for all that is wrong."""

from __future__ import annotations

import functools
import re

import brainunit as u
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import braininit as init

S = jax.ShapeDtypeStruct
MODEL = {
    "blocks": [{"kernel": S((8, 4), jnp.float32), "bias": S((4,), jnp.float32)} for _ in range(3)],
    "head": {"kernel": S((4, 2), jnp.float32)},
}


def drawn(key, rule, model=None):
    return init.initialize(model or {"w": S((6, 4), jnp.float32)}, [("", rule)], key)


KINDS = {
    "ours": init.Normal(0.0, 2.0),
    "function of ours": init.zeros,
    "of JAX": jax.nn.initializers.normal(0.02),
    "scaled of JAX": jax.nn.initializers.he_uniform(),
    "one's own": lambda key, shape, dtype: jax.random.laplace(key, shape, dtype),
    "a name": "KaimingNormal",
    "text": "Uniform(2, 3)",
    "config": {"class": "Normal", "mean": 1.0, "std": 0.5},
    "number": 2.5,
    "array": np.arange(4.0),
    "of the leaf": lambda leaf: init.Normal(0.0, leaf.fan_in**-0.5),
    "of the leaf, a number": lambda leaf: 3.0,
    "composed": 2 * init.LecunNormal() + 1.0,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_right_side_draws_what_it_draws_by_itself(kind, key):
    given, its = KINDS[kind], init.path_key(key, "w")
    made = drawn(key, given)["w"]
    if kind.startswith("of the leaf"):
        given = init.Normal(0.0, 6**-0.5) if kind == "of the leaf" else init.Constant(3.0)
    elif kind in ("a name", "text", "config"):
        given = init.get(given)
    elif kind in ("number", "array"):
        given = init.Constant(given)
    np.testing.assert_array_equal(made, given(its, (6, 4), jnp.float32))


def test_the_first_rule_counts_and_a_leaf_may_be_kept(key):
    model = {"a": jnp.ones(3), "b": jnp.ones(3)}
    made = init.initialize(model, [("a", init.KEEP), ("a|b", 5.0)], key)
    assert made["a"] is model["a"]
    assert made["b"].tolist() == [5, 5, 5]


def test_a_rule_by_a_predicate_sees_the_leaf(key):
    seen = []

    def wide(leaf):
        seen.append((leaf.path, leaf.shape, leaf.layer, leaf.depth, leaf.fan_in, leaf.fan_out))
        return leaf.ndim == 2

    init.plan(MODEL, [(wide, 1.0), ("", 0.0)], layers=r"blocks/(\d+)")
    assert ("blocks/2/kernel", (8, 4), 2, 3, 8, 4) in seen
    assert ("blocks/1/bias", (4,), 1, 3, 8, 4) in seen  # its kernel's fans
    assert ("head/kernel", (4, 2), None, 3, 4, 2) in seen


def test_stacks_of_layers_are_counted_by_themselves():
    model = {"encoder": [jnp.ones(2)] * 3, "decoder": [jnp.ones(2)] * 5, "head": jnp.ones(2)}
    depth = {}
    rule = lambda leaf: depth.update({leaf.path: leaf.depth}) or 0.0  # noqa: E731
    init.plan(model, [("", rule)], layers=r"coder/(\d+)")
    assert (depth["encoder/0"], depth["decoder/4"], depth["head"]) == (3, 5, 5)


def test_numbers_by_layer(key):
    rule = lambda leaf: init.Normal(0.0, 0.02 / (2 * (leaf.layer + 1)) ** 0.5)  # noqa: E731
    plan = init.plan(MODEL, [("blocks/.*kernel", rule), ("", 0)], layers=r"blocks/(\d+)")
    stds = [0.02 / (2 * i) ** 0.5 for i in (1, 2, 3)]
    assert [re.search(f"{std:.4g}", str(plan)) is not None for std in stds] == [True] * 3


def test_all_problems_come_in_one_error():
    rules = [
        ("head", init.Normal(1 * u.nS, 0.1 * u.nS)),
        ("bias", init.LecunNormal(in_axis=3)),
        ("missing", 0.0),
        ("head/kernel", 0.0),
    ]
    with pytest.raises(init.PlanError) as caught:
        init.plan(MODEL, rules)
    text = str(caught.value)
    assert "no rule matches: blocks/0/kernel, blocks/1/kernel, blocks/2/kernel" in text
    assert "has the unit nS, the leaf has none: head/kernel" in text
    assert "the shape (4,) has no axis 3" in text
    assert "blocks/0/bias, blocks/1/bias, blocks/2/bias" in text
    assert "rule 2, 'missing', matches no leaf" in text
    assert "rule 3, 'head/kernel', is shadowed by rules before it" in text
    assert len(text.splitlines()) == 5


def test_long_lists_of_paths_are_cut():
    model = {f"{i}": S((2,), jnp.float32) for i in range(30)}
    with pytest.raises(init.PlanError, match="and 22 more"):
        init.plan(model, [])


def test_an_optional_rule_may_match_nothing(key):
    rules = [init.Rule("missing", 0.0, optional=True), ("", 1.0)]
    assert init.initialize({"w": jnp.zeros(2)}, rules, key)["w"].tolist() == [1, 1]


SQUARE = {"w": S((3, 3), jnp.float32)}
REFUSED = [
    ({"w": S((3,), jnp.int32)}, init.Normal(), "Normal draws floats, not int32"),
    ({"w": S((3,), jnp.int32)}, 0.5, "`value` = 0.5 is not one of the whole numbers"),
    ({"w": S((3,), jnp.float32)}, init.LecunNormal(), "no axis -2 for `in_axis`"),
    ({"w": S((3,), jnp.float16)}, init.Constant(1e6), "`value`"),
    ({"w": S((3,), jnp.float32)}, init.Normal, "write Normal"),
    ({"w": S((3,), jnp.float32)}, "Nrmal", "did you mean 'Normal'"),
    (
        {"w": S((3, 3), jnp.float32)},
        init.DistanceModulated(1.0, init.StepProfile(1.0)),
        "distances",
    ),
    ({"w": u.Quantity(S((3,), jnp.float32), unit=u.mV)}, init.Normal(), "no unit, the leaf is in"),
    (
        {"w": u.Quantity(S((3,), jnp.float32), unit=u.mV)},
        init.Normal(1 * u.nS, 1 * u.nS),
        "is in nS, the leaf in mV",
    ),
]


@pytest.mark.parametrize(("model", "rule", "text"), REFUSED, ids=[r[2][:20] for r in REFUSED])
def test_what_does_not_fit_is_refused_with_its_path(model, rule, text):
    with pytest.raises(init.PlanError, match=re.escape(text)) as caught:
        init.plan(model, [("", rule)])
    assert str(caught.value).endswith(": w")


def test_a_draw_in_another_unit_or_dtype_is_refused(key):
    model = {"w": u.Quantity(S((3,), jnp.float32), unit=u.mV)}

    def traced(key, shape, dtype):
        return jnp.ones(shape, dtype) * u.nS

    def called(key, shape, dtype):
        return jnp.full(shape, float(np.asarray(jax.random.uniform(key))), dtype) * u.nS

    with pytest.raises(init.PlanError, match="rule 0: .*traced is in nS, the leaf in mV: w"):
        init.plan(model, [("", traced)])
    with pytest.raises(init.UnitError, match="w is in mV, and .* drew in nS"):
        init.initialize(model, [("", called)], key)
    volts = lambda key, shape, dtype: jnp.ones(shape, dtype) * u.volt  # noqa: E731
    assert init.initialize(model, [("", volts)], key)["w"].mantissa.tolist() == [1000] * 3


def test_functions_draw_whole_numbers_and_booleans(key):
    big = 2**24 + 1  # which float32 lacks
    functions = {
        "mask": (bool, lambda key, shape, _: jax.random.bernoulli(key, 0.5, shape)),
        "count": (
            jnp.int32,
            lambda key, shape, kind: jax.random.randint(key, shape, big, big, kind),
        ),
        "known": (jnp.int32, lambda key, shape, kind: np.full(shape, big, kind)),
    }
    model = {name: S((64,), kind) for name, (kind, _) in functions.items()}
    made = init.initialize(model, [(name, f) for name, (_, f) in functions.items()], key)
    assert {name: x.dtype for name, x in made.items()} == {n: m.dtype for n, m in model.items()}
    assert 10 < int(made["mask"].sum()) < 54
    assert made["count"][0] == made["known"][0] == big


def test_a_tied_leaf_asked_two_ways():
    class Tied(nnx.Module):
        def __init__(self, rngs):
            self.embed = nnx.Embed(4, 2, rngs=rngs)
            self.out = self.embed

    model = nnx.eval_shape(lambda: Tied(nnx.Rngs(0)))
    with pytest.raises(init.PlanError, match="has two rules, rule 0 and, as out/embedding"):
        init.plan(model, [("^embed", init.Normal()), ("^out", init.Normal(0.0, 2.0))])
    same = init.Normal()
    init.plan(model, [("^embed", same), init.Rule("^out", same, optional=True)])


def test_two_leaves_of_one_path():
    with pytest.raises(init.PlanError, match="two leaves have the same path: a/b"):
        init.plan({"a": {"b": jnp.ones(2)}, "a/b": jnp.ones(2)}, [("", 0.0)])


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ([init.Normal()], r"rules\[0\] must be a pattern and an initializer"),
        ([(3, init.Normal())], r"rules\[0\] must start with a pattern, a type or a function"),
        ([("(", init.Normal())], r"rules\[0\].* is no regular expression"),
    ],
)
def test_what_is_no_rule(rules, text):
    with pytest.raises((TypeError, ValueError), match=text):
        init.plan({"w": jnp.ones(2)}, rules)


FAILING = [
    (("w", lambda leaf: 1 / leaf.depth), "rule 0, called with the leaf: ZeroDivisionError"),
    (("w", lambda leaf: leaf.layer + 1.0), "it is in no layer, by layers=: w"),
    (("w", lambda leaf: leaf.fanin), "AttributeError: 'Leaf' object has no attribute 'fanin'"),
    (("w", lambda leaf, k: 1.0), "gave the shape (), not (3, 3) as asked: w"),
    ((lambda leaf: leaf.fanin > 2, 0.0), "rules[0] fails at w: AttributeError"),
    ((init.Normal(), "w"), "rules[0] must start with a pattern, a type or a function"),
]


@pytest.mark.parametrize(("rule", "text"), FAILING, ids=[text[:20] for _, text in FAILING])
def test_functions_that_fail_say_which_rule_and_leaf(rule, text):
    with pytest.raises((ValueError, TypeError), match=re.escape(text)):
        init.plan(SQUARE, [rule])


def test_problems_of_rules_come_in_their_order():
    model = {"a": jnp.ones(2), "b": jnp.ones(2)}
    with pytest.raises(init.PlanError) as caught:
        init.plan(model, {"b": init.LecunNormal(), "a": "Nrmal"})
    lines = str(caught.value).splitlines()
    assert [line[:6] for line in lines] == ["rule 0", "rule 1"]


OTHERS = {
    "of random": (jax.random.normal, lambda key: jax.random.normal(key, (3, 3))),
    "partial": (
        functools.partial(jax.random.uniform, minval=-1.0),
        lambda key: jax.random.uniform(key, (3, 3), minval=-1.0),
    ),
    "other names": (
        lambda k, s, d: jax.random.normal(k, s, d),
        lambda key: jax.random.normal(key, (3, 3)),
    ),
    "of a size": (jnp.zeros, lambda key: jnp.zeros((3, 3))),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_functions_of_every_signature(kind, key):
    given, expected = OTHERS[kind]
    np.testing.assert_array_equal(drawn(key, given, SQUARE)["w"], expected(init.path_key(key, "w")))


def test_dtypes_are_those_of_jax_and_masks_may_be_true(key):
    model = {"w": np.zeros(3), "n": np.zeros(3, int), "mask": np.zeros(2, bool)}
    model["bits"] = S((2,), jnp.int4)
    rules = [("w", init.Normal()), ("n", 2**24 + 1), ("mask", True), ("bits", -8)]
    made = init.initialize(model, rules, key)
    assert [x.dtype for x in made.values()] == [jnp.int4, bool, jnp.int32, jnp.float32]
    assert made["mask"].tolist() == [True, True]
    assert made["bits"].tolist() == [-8, -8]
    assert made["n"].tolist() == [2**24 + 1] * 3


def test_layers_need_a_group():
    with pytest.raises(ValueError, match="has no group"):
        init.plan(MODEL, [("", 0.0)], layers=r"blocks/\d+")
    with pytest.raises(init.PlanError, match="matches no leaf"):
        init.plan(MODEL, [("", 0.0)], layers=r"block/(\d+)")


def test_a_derivative_reaches_the_numbers_of_a_rule(key):
    model = {"w": S((50,), jnp.float32)}

    def size(std):
        return jnp.sum(init.initialize(model, [("w", init.Normal(0.0, std))], key)["w"] ** 2)

    expected = 2 * size(1.0) * 3.0
    np.testing.assert_allclose(jax.grad(size)(3.0), expected, rtol=1e-5)


def test_the_table(key):
    model = eqx.filter_eval_shape(eqx.nn.MLP, 3, 2, 8, 1, key=key)
    plan = init.plan(model, [("weight", init.LecunNormal()), ("bias", init.zeros)])
    lines = str(plan).splitlines()
    assert lines[0].split() == (
        [
            "path",
            "shape",
            "dtype",
            "unit",
            "rule",
            "fans",
            "mean",
            "std",
            "bytes",
            "bytes/device",
            "sharding",
        ]
    )
    assert lines[1].split()[:4] == ["layers/0/weight", "(8,3)", "float32", "0:"]
    assert "3, 8" in lines[1]
    assert f"{3**-0.5:.4g}" in lines[1]
    assert lines[-1].split()[:3] == ["4", "leaves", "50"]
    page = plan._repr_html_()
    assert page.count("<tr>") == len(lines)
    assert "&lt;" not in page
    assert repr(plan) == "<plan of 4 leaves, 4 drawn; print it for a table>"


def test_one_leaf_alone(key):
    plan = init.plan(MODEL, [("bias", 0.0), ("", init.Normal())])
    whole = plan(key)
    np.testing.assert_array_equal(plan.leaf(key, "blocks/1/kernel"), whole["blocks"][1]["kernel"])
    with pytest.raises(KeyError, match="no leaf 'blocks/1/kernl'; did you mean 'blocks/1/kernel'"):
        plan.leaf(key, "blocks/1/kernl")
    kept = init.plan({"a": jnp.ones(2)}, [("", init.KEEP)])
    with pytest.raises(ValueError, match="kept by its rule"):
        kept.leaf(key, "a")


def test_other_layers_change_no_leaf(key):
    rules = [("", init.Normal())]
    small = init.initialize(MODEL, rules, key)
    more = {"extra": MODEL["head"], "blocks": [*MODEL["blocks"], MODEL["blocks"][0]]}
    more |= {"head": MODEL["head"]}
    large = init.initialize(more, rules, key)
    for i in range(3):
        for name in ("kernel", "bias"):
            np.testing.assert_array_equal(small["blocks"][i][name], large["blocks"][i][name])
    wrapped = init.initialize({"a": MODEL}, rules, key)
    fewer = init.initialize({"a": {"head": MODEL["head"]}}, rules, key)
    np.testing.assert_array_equal(wrapped["a"]["head"]["kernel"], fewer["a"]["head"]["kernel"])


def test_ensembles(key):
    plan = init.plan(MODEL, [("", init.Normal())])
    keys = jax.random.split(key, 3)
    several = jax.vmap(plan)(jax.random.clone(keys))
    one = plan(keys[1])
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[1], b), several, one)
    compiled = jax.jit(plan)(jax.random.clone(keys)[1])
    jax.tree.map(np.testing.assert_array_equal, compiled, one)


def test_what_is_no_tree_and_what_are_no_rules():
    leaf = jax.ShapeDtypeStruct((3, 4), "float32")
    own = {"w": leaf}
    own["own"] = own
    with pytest.raises(ValueError, match="holds itself"):
        init.plan(own, [("", 0.0)])
    for rules in (None, 3, {("", 0.0)}, "kernel"):
        with pytest.raises(TypeError, match="`rules` must be a sequence"):
            init.plan({"w": leaf}, rules)
    plan = init.plan({"w": leaf}, [("", 0.0)])
    with pytest.raises(TypeError, match="`given` must be a tree of arrays, got 'model.npz'"):
        plan(jax.random.key(0), given="model.npz")
    for rename in ("x", ["xyz"], 3):
        with pytest.raises(TypeError, match="`rename` must be a sequence of patterns"):
            plan(jax.random.key(0), given={}, rename=rename)
