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
from jax.sharding import PartitionSpec

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


def test_units_of_what_is_given(key):
    model = {"g": u.Quantity(S((2,), jnp.float32), unit=u.mS)}
    plan = init.plan(model, [("", init.Normal(1 * u.mS, 1 * u.mS))])
    made = plan(key, given={"g": jnp.array([1e6, 2e6]) * u.nS})
    np.testing.assert_allclose(made["g"].to_decimal(u.mS), [1, 2], rtol=1e-6)
    for value in (jnp.ones(2), jnp.ones(2) * u.mV):
        with pytest.raises(init.PlanError, match="the unit is .*, the leaf's mS: g"):
            plan(key, given={"g": value})


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
