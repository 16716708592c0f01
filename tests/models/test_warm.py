"""Warm starts: what is given is taken, what is not is drawn, what does not fit is an error."""

from __future__ import annotations

import sys
import types

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import braininit as init

S = jax.ShapeDtypeStruct
MODEL = {
    "net": {"w": S((4, 3), jnp.float32), "b": S((3,), jnp.float32)},
    "head": S((3, 2), jnp.float32),
}


@pytest.fixture
def plan():
    return init.plan(MODEL, [("", init.Normal())])


def test_given_leaves_are_taken_and_the_others_drawn_as_ever(plan, key):
    drawn, given = plan(key), {"net": {"w": np.ones((4, 3), np.float32)}}
    made = plan(key, given=given)
    assert made["net"]["w"].tolist() == [[1] * 3] * 4
    np.testing.assert_array_equal(made["head"], drawn["head"])
    report = plan.report
    assert report.taken == {"net/w": "net/w"}
    assert set(report.drawn) == {"net/b", "head"}
    assert (report.kept, report.left_over) == ((), ())
    assert str(report).splitlines()[:2] == ["taken: 1", "  net/w"]


def test_names_of_another_framework(plan, key):
    given = {
        "model.net2.weight": np.ones((4, 3), np.float32),
        "model.net2.bias": np.zeros(3, np.float32),
        "optimizer.step": np.zeros(()),
    }
    rename = [("^optimizer", None), (r"\.", "/"), ("^model/net2/", "net/"), ("weight$", "w")]
    made = plan(key, given=given, rename=[*rename, ("bias$", "b")])
    assert made["net"]["w"].tolist() == [[1] * 3] * 4
    assert plan.report.taken == {"net/w": "model.net2.weight", "net/b": "model.net2.bias"}
    assert plan.report.left_out == ("optimizer.step",)
    assert "net/w  from model.net2.weight" in str(plan.report)


def test_all_that_does_not_fit_in_one_error(plan, key):
    given = {
        "net": {"w": np.ones((3, 4), np.float32), "b": np.ones(3)},
        "head2": np.ones((3, 2), np.float32),
    }
    with pytest.raises(init.PlanError) as caught:
        plan(key, given=given)
    text = str(caught.value)
    assert "the shape is (3, 4), the leaf's (4, 3): net/w" in text
    assert "the dtype is float64, the leaf's float32; cast it before: net/b" in text
    assert "the model has no leaf for these; did you mean 'head'?" in text
    assert text.endswith("head2")


def test_lists_of_numbers_and_replacements_that_can_not_be(plan, key):
    lists = {"head": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], "step": [1, 2]}
    with pytest.raises(init.PlanError, match="a list of numbers is no array; make it one: head$"):
        plan(key, given=lists)
    for into in (3, r"\2"):
        with pytest.raises(ValueError, match="`rename`: .* can't replace 'head': "):
            plan(key, given={"head": np.ones((3, 2), np.float32)}, rename=[("head", into)])


def test_left_over_may_be_ignored(plan, key):
    plan(key, given={"extra": np.ones(2)}, left_over="ignore")
    assert plan.report.left_over == ("extra",)
    with pytest.raises(ValueError, match="`left_over` must be one of 'error', 'ignore'"):
        plan(key, given={}, left_over="drop")


def test_two_for_one_leaf_and_a_shape_for_a_value(plan, key):
    both = {"a": np.ones((3, 2), np.float32), "b": np.zeros((3, 2), np.float32)}
    with pytest.raises(init.PlanError, match="a and b are both for: head"):
        plan(key, given=both, rename=[("^[ab]$", "head")])
    with pytest.raises(init.PlanError, match="there is no value, only a shape: head"):
        plan(key, given={"head": S((3, 2), jnp.float32)})
    with pytest.raises(ValueError, match="`rename` = '\\(' is no regular expression"):
        plan(key, given=both, rename=[("(", "x")])


def test_numbers_and_both_names_of_a_tied_weight(key):
    plan = init.plan({"step": jnp.zeros((), jnp.int32), "w": jnp.zeros(2)}, [("", 0)])
    made = plan(key, given={"step": 5, "rate": 3.0})  # a model holds numbers that are no leaves
    assert int(made["step"]) == 5
    with pytest.raises(init.PlanError, match="the dtype is float64, the leaf's int32"):
        plan(key, given={"step": 5.5})

    class Tied(nnx.Module):
        def __init__(self, rngs):
            self.embed = nnx.Embed(4, 2, rngs=rngs)
            self.attend = self.embed

    model = nnx.eval_shape(lambda: Tied(nnx.Rngs(0)))
    plan = init.plan(model, [("", init.Normal())])
    assert plan.rows[0].paths == ("attend/embedding", "embed/embedding")
    table = np.ones((4, 2), np.float32)
    made = plan(key, given={"embed": {"embedding": table}, "attend": {"embedding": table}})
    assert made.attend.embedding.get_value().tolist() == [[1, 1]] * 4
    with pytest.raises(init.PlanError, match="are both for: "):
        plan(key, given={"embed/embedding": table, "attend/embedding": 2 * table})
    alone = plan.leaf(key, "attend/embedding")
    np.testing.assert_array_equal(alone, plan.only("attend")(key).embed.embedding.get_value())


def test_a_checkpoint_of_variables(key):
    model = nnx.eval_shape(lambda: nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    plan = init.plan(model, [("", init.Normal())])
    given = {"kernel": {"value": np.ones((2, 3), np.float32)}}
    assert plan(key, given=given).kernel.get_value().tolist() == [[1] * 3] * 2


def test_layers_one_by_one_for_a_leaf_that_has_them_along_an_axis(key):
    def layer(*axis):
        return {"w": S((*axis, 4, 2), jnp.float32), "g": S((*axis, 2), jnp.float32) * u.mS}

    rules = [("w", init.Normal()), ("g", init.Uniform(0.0, 1.0 * u.mS))]
    apart = init.plan({"blocks": [layer() for _ in range(3)]}, rules)(key)
    stacked = init.plan({"blocks": layer(3)}, rules, stacked={"^blocks": 0})
    whole, nanos = stacked(key), [g.in_unit(u.nS) for g in (b["g"] for b in apart["blocks"])]
    for g, layer in zip(nanos, apart["blocks"], strict=True):
        layer["g"] = g
    made = stacked(jax.random.key(7), given=apart)
    np.testing.assert_array_equal(made["blocks"]["w"], whole["blocks"]["w"])
    np.testing.assert_allclose(made["blocks"]["g"] / u.mS, whole["blocks"]["g"] / u.mS, rtol=1e-6)
    assert stacked.report.taken["blocks/w"] == "blocks/0/w to blocks/2/w"
    assert not stacked.report.drawn

    del apart["blocks"][2]["w"]
    with pytest.raises(init.PlanError, match=r"some layers of blocks/w are.*not: blocks/2/w"):
        stacked(key, given=apart)
    apart["blocks"][2]["w"] = np.zeros((2, 4), np.float32)
    with pytest.raises(init.PlanError, match=r"the shape is \(2, 4\).*blocks/2/w"):
        stacked(key, given=apart)
    apart["blocks"][2]["w"] = np.zeros((4, 2), np.float32)
    both = {f"blocks/{n}/w": b["w"] for n, b in enumerate(apart["blocks"])}
    with pytest.raises(init.PlanError, match=r"blocks/w and its layers are both for: blocks/w"):
        stacked(key, given=both | {"blocks/w": whole["blocks"]["w"]})


def layer(*axis):
    return {"w": S((*axis, 4, 2), jnp.float32), "g": S((*axis, 2), jnp.float32) * u.mS}


LAYERS = [("w", init.Normal()), ("g", init.Uniform(0.0, 1.0 * u.mS))]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_layers_along_an_axis_for_leaves_that_are_apart(axis, key):
    apart = init.plan({"blocks": [layer() for _ in range(3)]}, LAYERS)
    drawn = apart(key)["blocks"]
    given = {
        "net.w": np.stack([np.asarray(b["w"]) for b in drawn], axis),
        "net.g": jnp.stack([b["g"].to_decimal(u.nS) for b in drawn], axis) * u.nS,
    }
    options = {"rename": [(r"^net\.", "blocks/")], "given_stacked": {"^blocks": axis}}
    made = apart(jax.random.key(7), given, **options)
    for one, other in zip(made["blocks"], drawn, strict=True):
        np.testing.assert_array_equal(one["w"], other["w"])
        np.testing.assert_allclose(one["g"] / u.mS, other["g"] / u.mS, rtol=1e-6)
    assert not apart.report.drawn
    first = {0: "net.w[1]", 1: "net.w[:, 1]", -1: "net.w[:, :, 1]"}[axis]
    assert apart.report.taken["blocks/1/w"] == first
    model = {"blocks": [layer() for _ in range(3)]}
    again = init.initialize(model, LAYERS, jax.random.key(7), given, **options)
    jax.tree.map(np.testing.assert_array_equal, again, made)
    # Between models that have the layers along axes of their own.
    stacked = init.plan({"blocks": layer(3)}, LAYERS, stacked={"^blocks": 0})
    other = stacked(jax.random.key(7), given, **options)
    np.testing.assert_array_equal(other["blocks"]["w"][2], drawn[2]["w"])


def test_layers_of_modules_and_of_variables_for_leaves_that_are_apart(key):
    class Network(nnx.Module):
        def __init__(self, rngs):
            self.blocks = nnx.List([nnx.Linear(4, 4, rngs=rngs) for _ in range(3)])
            self.head = nnx.Linear(4, 2, rngs=rngs)

    plan = init.plan(nnx.eval_shape(lambda: Network(nnx.Rngs(0))), [("", init.Normal())])

    @nnx.vmap
    def build(key):
        return nnx.Linear(4, 4, rngs=nnx.Rngs(key))

    blocks = nnx.state(build(jax.random.split(key, 3)))
    values = {name: {"value": blocks[name].get_value()} for name in blocks}
    for given in ({"blocks": blocks}, {"blocks": values}):
        made = plan(jax.random.key(7), given, given_stacked={"blocks": 0})
        kernel = made.blocks[2].kernel.get_value()
        np.testing.assert_array_equal(kernel, blocks["kernel"].get_value()[2])
        assert plan.report.drawn == ("head/bias", "head/kernel")


def test_layers_that_are_split_over_devices_for_leaves_that_are_apart(key):
    mesh = jax.make_mesh((2,), ("a",), axis_types=(AxisType.Explicit,))
    w = jax.device_put(jnp.arange(24.0).reshape(4, 6), NamedSharding(mesh, PartitionSpec("a")))
    model = {"blocks": [{"w": S((6,), jnp.float32)} for _ in range(4)]}
    plan = init.plan(model, [("", init.Normal())], shardings=PartitionSpec("a"), mesh=mesh)
    its = lambda key, w: plan(key, {"blocks": {"w": w}}, given_stacked={"^blocks": 0})  # noqa: E731
    for made in (its(key, w), jax.jit(its)(jax.random.clone(key), w)):
        assert made["blocks"][2]["w"].tolist() == [*range(12, 18)]
    assert its(jax.random.clone(key), w)["blocks"][2]["w"].sharding.spec == PartitionSpec("a")


def test_layers_along_an_axis_that_do_not_fit(key):
    plan = init.plan({"blocks": [layer() for _ in range(3)], "w": S((2,), jnp.float32)}, LAYERS)
    g, along = jnp.ones((3, 2)) * u.mS, {"given_stacked": {"^blocks": 0}}

    def refused(text, w, **options):
        with pytest.raises(init.PlanError, match=text):
            plan(key, {"blocks": {"w": w, "g": g}}, **options)

    w = np.ones((3, 4, 2), np.float32)
    refused("it has 2 layers.*; those of the model are 0, 1, 2: blocks/w", w[:2], **along)
    refused("it has 6 layers", np.ones((6, 4, 2), np.float32), left_over="ignore", **along)
    refused(r"the shape is \(4, 3\).*: blocks/0/w, blocks/1/w", np.ones((3, 4, 3), "f4"), **along)
    refused("the dtype is float64, the leaf's float32", w.astype(float), **along)
    refused("only a shape: blocks/0/w", S((3, 4, 2), jnp.float32), **along)
    refused(
        "given_stacked: there is no axis 3: blocks/g, blocks/w", w, given_stacked={"^blocks": 3}
    )
    refused("given_stacked: '\\^x' matches no path", w, given_stacked={"^blocks": 0, "^x": 0})
    refused("say so by given_stacked={'\\^blocks': 0}: blocks/", w)
    both = {"blocks/w": w, "blocks/g": g, "blocks/0/w": 2 * w[0]}
    with pytest.raises(init.PlanError, match=r"blocks/0/w and blocks/w\[0\] are both for"):
        plan(key, both, **along)
    with pytest.raises(init.PlanError, match=r"has no leaf for these.*: blocks/v"):
        plan(key, {"blocks": {"v": w}}, **along)
    with pytest.raises(init.PlanError, match="the unit is mV, the leaf's mS: blocks/0/g"):
        plan(key, {"blocks": {"g": jnp.ones((3, 2)) * u.mV}}, **along)
    with pytest.raises(TypeError, match="`given_stacked` must map patterns to axes"):
        plan(key, {}, given_stacked="^blocks")
    sequential = init.plan({"blocks": {"0": layer(), "2": layer()}}, LAYERS)
    with pytest.raises(init.PlanError, match="2 layers.*are 0, 2: blocks/w"):
        sequential(key, {"blocks": {"w": w[:2]}}, **along)


def test_units_of_what_is_given(key):
    model = {"g": u.Quantity(S((2,), jnp.float32), unit=u.mS)}
    plan = init.plan(model, [("", init.Normal(1 * u.mS, 1 * u.mS))])
    made = plan(key, given={"g": jnp.array([1e6, 2e6]) * u.nS})
    np.testing.assert_allclose(made["g"].to_decimal(u.mS), [1, 2], rtol=1e-6)
    for value in (jnp.ones(2), jnp.ones(2) * u.mV):
        with pytest.raises(init.PlanError, match="the unit is .*, the leaf's mS: g"):
            plan(key, given={"g": value})


def test_numbers_with_units_are_given(key):
    model = {"v": 0.5 * u.mV, "n": 3 * u.mV}
    plan = init.plan(model, [("v", init.Normal(1 * u.mV, 1 * u.mV)), ("n", init.KEEP)])
    made = plan(key, given={"v": 0.1 * u.mV, "n": 4 * u.mV})
    assert made["v"].mantissa == np.float32(0.1)
    assert (made["v"].dtype, made["n"].dtype) == (jnp.float32, jnp.int32)
    in_volts = plan(key, given={"v": 0.25 * u.volt})["v"]
    assert isinstance(in_volts.mantissa, jax.Array)
    assert in_volts.mantissa == 250
    for given, text in (
        ({"v": 0.5}, "the unit is None, the leaf's mV: v"),
        ({"n": 4.5 * u.mV}, "the dtype is float64, the leaf's int32; cast it before: n"),
        ({"n": 4 * u.uvolt}, "the integers are in uV, the leaf's in mV; convert them: n"),
    ):
        with pytest.raises(init.PlanError, match=text):
            plan(key, given=given)


def test_pure_numbers_of_a_unit_are_what_they_stand_for(key):
    plan = init.plan({"w": S((2,), jnp.float32)}, [("", init.Normal())])
    percent = u.Quantity(jnp.array([1.0, 2.0]), unit=u.mV / u.volt)
    np.testing.assert_allclose(plan(key, given={"w": percent})["w"], [1e-3, 2e-3], rtol=1e-6)
    apart = {"blocks/0/w": percent, "blocks/1/w": jnp.ones(2)}
    stacked = init.plan({"blocks": {"w": S((2, 2), jnp.float32)}}, [("", 0)], stacked={"blocks": 0})
    np.testing.assert_allclose(stacked(key, given=apart)["blocks"]["w"][0], [1e-3, 2e-3], rtol=1e-6)


def test_two_names_of_a_tied_weight_in_two_units(key):
    class Tied(nnx.Module):
        def __init__(self):
            self.a = nnx.Param(jnp.zeros(2) * u.mS)
            self.b = self.a

    plan = init.plan(Tied(), [("", init.KEEP)])
    made = plan(key, given={"a": jnp.ones(2) * u.mS, "b": jnp.full(2, 1e6) * u.nS})
    assert made.b.get_value().mantissa.tolist() == [1, 1]
    with pytest.raises(init.PlanError, match="a and b are both for: "):
        plan(key, given={"a": jnp.ones(2) * u.mS, "b": jnp.ones(2) * u.nS})


def test_only_some_are_drawn(plan, key):
    first = plan(key)
    other = plan.only("^head")(jax.random.key(1), given=first)
    np.testing.assert_array_equal(other["net"]["w"], first["net"]["w"])
    np.testing.assert_array_equal(other["head"], plan.leaf(jax.random.key(1), "head"))
    assert not np.array_equal(other["head"], first["head"])
    with pytest.raises(init.PlanError, match="nothing draws these leaves, and none is given: net/"):
        plan.only("head")(key)
    with pytest.raises(ValueError, match="'hat' matches no leaf"):
        plan.only("hat")
    concrete = init.plan(first, [("", init.Normal())]).only("head")(key)
    assert concrete["net"]["w"] is first["net"]["w"]


def test_what_is_kept_is_taken_where_it_is_given(key):
    plan = init.plan({"step": jnp.zeros((), jnp.int32), "w": jnp.ones(2)}, [("", init.KEEP)])
    made = plan(key, given={"step": np.asarray(7, np.int32)})
    assert int(made["step"]) == 7
    assert plan.report.kept == ("w",)


def test_a_given_model_of_nnx_and_a_place(key):
    model = nnx.eval_shape(lambda: nnx.Linear(4, 8, rngs=nnx.Rngs(0)))
    mesh = jax.make_mesh((2,), ("a",))
    plan = init.plan(
        model,
        [("", init.Normal())],
        shardings=[("kernel", PartitionSpec("a")), ("", PartitionSpec())],
        mesh=mesh,
    )
    trained = nnx.Linear(4, 8, rngs=nnx.Rngs(1))
    made = plan(key, given=trained)
    np.testing.assert_array_equal(made.kernel.get_value(), trained.kernel.get_value())
    assert made.kernel.get_value().sharding.spec == PartitionSpec("a")
    state = plan(key, given={"kernel": trained.kernel.get_value()})
    np.testing.assert_array_equal(state.kernel.get_value(), trained.kernel.get_value())


def test_a_checkpoint_of_orbax(tmp_path, key):
    orbax = pytest.importorskip("orbax.checkpoint")
    model = {"blocks": [S((2, 2), jnp.float32)] * 2, "head": S((2,), jnp.float32)}
    plan = init.plan(model, [("", init.Normal())])
    saved = plan(key)
    with orbax.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "saved", {"blocks": dict(enumerate(saved["blocks"]))})
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "saved")
    made = plan(jax.random.key(3), given=restored)  # whose indices are text
    np.testing.assert_array_equal(made["blocks"][1], saved["blocks"][1])
    assert plan.report.drawn == ("head",)


def test_a_bar_is_shown_for_what_takes_long(monkeypatch, key):
    shown = []

    def tqdm(rest, name, total, initial):
        shown.append((name, total, initial))
        return rest

    monkeypatch.setitem(sys.modules, "rich.progress", None)  # not installed
    monkeypatch.setitem(sys.modules, "tqdm.auto", types.SimpleNamespace(tqdm=tqdm))
    plan = init.plan({f"{i}": S((2,), jnp.float32) for i in range(5)}, [("", init.Normal())])
    plan(key, progress=True)
    assert shown == [("initializing", 5, 1)]
    plan(jax.random.clone(key), progress=False)
    assert len(shown) == 1
