"""The notebooks run in order, without warnings, and agree with the tutorials' printed figures.

``python tests/test_notebooks.py [name ...]`` executes them in place and saves their outputs.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from PIL import Image
from scipy import stats

ROOT, NAME = Path(__file__).resolve().parents[1], Path(__file__).name
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
STATISTICS = "application/vnd.braininit.statistics+json"
FORGET = """
import braininit, jax
braininit.clear_caches()
jax.clear_caches()
%reset -f
"""

# ---------------------------------------------------------------- running


class ThisPython(AsyncKernelManager):
    """A kernel of the running interpreter, whatever kernels are installed."""

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(
            argv=[*argv, "--HistoryManager.enabled=False", "--log-level=ERROR"],
            display_name="Python 3",
            language="python",
        )


def execute(notebooks: Sequence[Any], folder: Path) -> None:
    """Run the notebooks one after the other, in one fresh kernel that works in `folder`.

    The kernel drops all names and programs between notebooks, or they would take 2 GB. A kernel
    per notebook would cost 3 s more of imports each.
    """
    # XLA_FLAGS may change the numbers; MPLBACKEND may discard figures.
    paths = (str(ROOT), os.environ.get("PYTHONPATH"))
    env = {k: v for k, v in os.environ.items() if not k.startswith(("XLA_", "MPL"))}
    env |= {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "IPYTHONDIR": str(folder / ".ipython"),  # without the user's start-up files
        "JUPYTER_RUNTIME_DIR": str(folder / ".runtime"),
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "8",  # JAX fixes their number at its first use
        "OPENBLAS_NUM_THREADS": "1",  # waiting threads would spin
        "PYTHONWARNINGS": "ignore:Creating legend with loc",  # shown on busy machines, after 1 s
    }
    everything = nbformat.v4.new_notebook()
    for notebook in notebooks:
        for cell in notebook.cells:
            cell.pop("outputs", None)
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        everything.cells += [*notebook.cells, nbformat.v4.new_code_cell(FORGET)]
    NotebookClient(
        everything,
        timeout=300,
        kernel_name="python3",
        kernel_manager_class=ThisPython,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    ).execute(env=env)


def save(path: Path) -> None:
    """Run a notebook in place; save nothing about machine and time."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        execute([notebook], Path(folder))
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "file_extension": ".py"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
    for output in outputs(notebook):
        if "image/png" in output.get("data", {}):
            output.data["image/png"] = compressed(output.data["image/png"])
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def compressed(png: str) -> str:
    """Reduce a figure to 256 colours, a third of its size; charts have few."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    stream = io.BytesIO()
    # By coverage, not by count: the ends of a colour bar keep their colours, few as they are.
    reduced = image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    reduced.save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def outputs(notebook: Any) -> Iterator[Any]:
    for cell in notebook.cells:
        yield from cell.get("outputs", ())


def statistics_of(notebook: Any) -> dict[str, Any]:
    """Return the statistics that a notebook's last cell displays as data, or {}."""
    statistics = [o.data[STATISTICS] for o in outputs(notebook) if STATISTICS in o.get("data", {})]
    return statistics[-1] if statistics else {}


def printed(notebook: Any) -> dict[str, str]:
    """Return the printed text of each cell, by id."""
    return {
        cell.id: "".join(o.text for o in cell.get("outputs", ()) if o.get("name") == "stdout")
        for cell in notebook.cells
    }


NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:e[-+]\d+)?")


def alike(old: str, new: str) -> bool:
    """True if two texts differ only in numbers, and by no more than processors differ."""
    if " ".join(NUMBER.sub("#", old).split()) != " ".join(NUMBER.sub("#", new).split()):
        return False
    before, after = (np.array(NUMBER.findall(text), float) for text in (old, new))
    return np.allclose(before, after, rtol=1e-2, atol=1e-3)


# ---------------------------------------------------------------- figures of the first tutorial


@dataclasses.dataclass(frozen=True)
class Sample:
    """One of the tutorial's samples: size, law, and statistics as printed."""

    n: int
    law: Any
    printed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unit: str = "nS"


def lognorm(mean: float, std: float) -> Any:
    variance = np.log1p((std / mean) ** 2)
    return stats.lognorm(np.sqrt(variance), scale=mean * np.exp(-variance / 2))


def truncnorm(mean: float, std: float, low: float, high: float) -> Any:
    return stats.truncnorm((low - mean) / std, (high - mean) / std, mean, std)


def figures(*values: str) -> dict[str, str]:
    return dict(zip(("mean", "std", "min", "max"), values, strict=False))


norm, uniform, expon = stats.norm, stats.uniform, stats.expon
gamma, weibull, beta = stats.gamma, stats.weibull_min, stats.beta

TUTORIAL_1 = {
    "uniform": Sample(1000, uniform(0.1, 0.9), figures("0.547", "0.262", "0.101", "0.999")),
    "normal": Sample(1000, norm(0.5, 0.15), figures("0.488", "0.152", "0.043", "0.937")),
    "basic_uniform": Sample(
        5000, uniform(0.1, 0.8), figures("0.49354032", "0.22933985", "0.10", "0.90")
    ),
    "basic_normal": Sample(
        5000, norm(0.5, 0.15), figures("0.49672538", "0.15104583", "-0.03", "1.12")
    ),
    "lognormal": Sample(
        2000,
        lognorm(0.5, 0.2),
        figures("0.511", "0.202") | {"median": "0.473", "skewness": "1.106"},
    ),
    "normal_beside_it": Sample(2000, norm(0.5, 0.2)),
    "gamma_2": Sample(2000, gamma(2, scale=0.25), figures("0.507", "0.350")),
    "gamma_5": Sample(2000, gamma(5, scale=0.1), figures("0.498", "0.224")),
    "gamma_10": Sample(2000, gamma(10, scale=0.05), figures("0.499", "0.159")),
    "exponential": Sample(2000, expon(scale=0.3), figures("0.295", "0.294")),
    "weibull_0.5": Sample(2000, weibull(0.5, scale=0.5)),
    "weibull_1.5": Sample(2000, weibull(1.5, scale=0.5)),
    "weibull_3.0": Sample(2000, weibull(3, scale=0.5)),
    "beta_0.5_0.5": Sample(2000, beta(0.5, 0.5)),
    "beta_2_5": Sample(2000, beta(2, 5)),
    "beta_5_2": Sample(2000, beta(5, 2)),
    "beta_5_5": Sample(2000, beta(5, 5)),
    "truncated": Sample(
        2000, truncnorm(0.5, 0.2, 0, 1), figures("0.505", "0.196", "0.014", "0.997")
    ),
    "not_truncated": Sample(
        2000,
        norm(0.5, 0.2),
        figures("0.503", "0.199", "-0.278", "1.139") | {"outside": "0.0150"},  # 30 of 2000
    ),
    "tight": Sample(2000, truncnorm(0.5, 0.2, 0.3, 0.7), figures("0.503", "0.105")),
    "medium": Sample(2000, truncnorm(0.5, 0.2, 0.1, 0.9), figures("0.498", "0.175")),
    "wide": Sample(2000, truncnorm(0.5, 0.2, -0.1, 1.1), figures("0.497", "0.196")),
    "excitatory": Sample(
        800, truncnorm(1.5, 0.5, 0.5, 3), figures("1.539", "0.470", "0.50", "2.87")
    ),
    "inhibitory": Sample(200, lognorm(5, 2), figures("5.132", "2.015", "1.86", "13.26")),
    "rates": Sample(
        500,
        gamma(3, scale=5),
        figures("14.31", "8.10", "1.5", "55.0")
        | {"median": "12.78", "low": "0.320", "medium": "0.478", "high": "0.202"},
        "Hz",
    ),
    "delays": Sample(
        1000,
        expon(0.5, 2),
        figures("2.42", "1.98", "0.50", "14.30") | {"median": "1.77", "below 5 ms": "0.913"},
        "ms",
    ),
    "Uniform": Sample(
        5000, uniform(0.2, 0.6), figures("0.49923182", "0.17418686", "0.20008174", "0.7998049")
    ),
    "Normal": Sample(
        5000, norm(0.5, 0.15), figures("0.49755648", "0.15192363", "-0.07359193", "1.0501068")
    ),
    "LogNormal": Sample(
        5000, lognorm(0.5, 0.15), figures("0.49728495", "0.15124309", "0.18522009", "1.3853562")
    ),
    "Gamma": Sample(
        5000, gamma(5, scale=0.1), figures("0.5038246", "0.22819698", "0.05075649", "1.723785")
    ),
    "Exponential": Sample(
        5000, expon(scale=0.5), figures("0.4939349", "0.49528977", "0.00043239", "3.8305352")
    ),
    "Weibull": Sample(
        5000, weibull(2, scale=0.5), figures("0.43997285", "0.23112014", "0.01325554", "1.7611426")
    ),
    "Beta": Sample(
        5000, beta(2, 5), figures("0.28455865", "0.16196229", "0.00314028", "0.86373866")
    ),
    "TruncatedNormal": Sample(
        5000,
        truncnorm(0.5, 0.15, 0.2, 0.8),
        figures("0.5008155", "0.13212495", "0.20029485", "0.7995234"),
    ),
}
CONSTANT = {"constant": 100, "basic_constant": 5000, "Constant": 5000}
ORDER = {"min": 0.0, "25%": 0.25, "median": 0.5, "75%": 0.75, "max": 1.0}
SHARES = {  # the interval whose share of the draws is printed
    "outside": (0.0, 1.0),  # the share outside of it
    "low": (0.0, 10.0),
    "medium": (10.0, 20.0),
    "high": (20.0, np.inf),
    "below 5 ms": (-np.inf, 5.0),
}

# ---------------------------------------------------------------- comparing

SIGMAS = 5.0  # a false-alarm rate of 5.7e-7, one in 1.7 million comparisons
RARE = 1e-6


def half_digit(printed: str) -> float:
    """Return the largest rounding error of a printed figure."""
    return 0.5 * 10.0 ** -len(printed.partition(".")[2])


def allowance(sample: Sample, statistic: str) -> float:
    """Return the allowed distance of two independent samples' statistics: SIGMAS of it.

    Standard errors come from the law, through influence functions: the one of log(std) is
    (z^2 - 1) / 2, so its variance is (kurtosis - 1) / 4n. Standard deviations are compared
    by their logarithms, whose difference is nearly normal while the std's is not. By
    simulation (2e7 pairs) the false-alarm rate at SIGMAS is about 6e-7 for mean and std alike,
    at worst 4e-6 for the std of 200 log-normals. Skewness converges too slowly for this:
    samples of 2000 log-normals differ by a factor of 4 about once in 1e6. For 2000 normal
    draws the allowance is 0.16 std in the mean and 11 % in the std; differences of twice
    the allowance are found almost surely.
    """
    law, n = sample.law, sample.n
    if statistic == "mean":
        error = law.std() / np.sqrt(n)
    elif statistic == "std":
        error = np.sqrt((law.stats("k") + 2) / (4 * n))
    elif statistic == "median":
        error = 0.5 / law.pdf(law.median()) / np.sqrt(n)
    elif statistic == "skewness":
        return np.log(4)
    else:
        low, high = SHARES[statistic]
        share = law.cdf(high) - law.cdf(low)
        error = np.sqrt(share * (1 - share) / n)
    return float(SIGMAS * np.sqrt(2) * error)


def differs(sample: Sample, statistic: str, ours: float, printed: str) -> str | None:
    """Compare a statistic of two independent samples; return a message if they differ."""
    theirs, slack, allowed = float(printed), half_digit(printed), allowance(sample, statistic)
    if statistic in ("std", "skewness"):
        slack, apart = slack / theirs, abs(np.log(ours / theirs)) if ours > 0 else np.inf
    else:
        apart = abs(ours - theirs)
    if apart <= allowed + slack:
        return None
    return f"{statistic} {ours:.4f}, the tutorial has {printed}: {apart:.3g} > {allowed:.3g} apart"


def misplaced(sample: Sample, share: float, value: float, slack: float = 0.0) -> str | None:
    """Compare an order statistic with its exact law; return a message if it is too far out.

    The k-th smallest of n uniform draws is Beta(k, n + 1 - k), for any n.
    """
    k = max(1, int(np.ceil(share * sample.n)))
    place = stats.beta(k, sample.n + 1 - k)
    low, high = sample.law.ppf(place.ppf(RARE / 2)), sample.law.ppf(place.isf(RARE / 2))
    if low - slack - 1e-6 <= value <= high + slack + 1e-6:  # 1e-6: float32
        return None
    return f"quantile {share}: {value:.4f} is outside [{low:.4f}, {high:.4f}]"


def complaints(statistics: Mapping[str, Any]) -> Iterator[str]:
    """Yield messages about a notebook's wrong statistics."""
    for name, sample in TUTORIAL_1.items():
        ours = statistics[name]
        if (ours["n"], ours["unit"]) != (sample.n, sample.unit):
            yield f"{name}: {ours['n']} {ours['unit']}, not {sample.n} {sample.unit}"
        wrong = [
            differs(sample, statistic, ours[statistic], printed)
            for statistic, printed in sample.printed.items()
            if statistic not in ("min", "max")
        ]
        wrong += [misplaced(sample, share, ours[which]) for which, share in ORDER.items()]
        yield from (f"{name}: {text}" for text in wrong if text)
    for name, n in CONSTANT.items():
        expected = dict.fromkeys(("mean", *ORDER), 0.5)
        if statistics[name] != expected | {"n": n, "unit": "nS", "std": 0.0}:
            yield f"{name}: {statistics[name]}"
    if missing := statistics.keys() - TUTORIAL_1.keys() - CONSTANT.keys():
        yield f"not compared with anything: {sorted(missing)}"


COMPLAINTS = {"01_distributions": complaints}

# ---------------------------------------------------------------- the tests


@pytest.mark.heavy
def test_notebooks(tmp_path: Path) -> None:
    notebooks = {path.stem: nbformat.read(path, as_version=4) for path in NOTEBOOKS}
    saved = {name: printed(notebook) for name, notebook in notebooks.items()}
    execute(list(notebooks.values()), tmp_path)
    wrong = []
    for name, notebook in notebooks.items():
        wrong += [o.text for o in outputs(notebook) if o.get("name") == "stderr"]
        wrong += [
            f"{name}, {cell}: saved\n{saved[name][cell]}\nnow\n{text}\nrun `python tests/{NAME}`"
            for cell, text in printed(notebook).items()
            if not alike(saved[name][cell], text)
        ]
        if check := COMPLAINTS.get(name):
            wrong += check(statistics_of(notebook))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_saved_outputs(path: Path) -> None:
    """Committed notebooks are complete, small, and free of the machine's paths."""
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not any(o.output_type == "error" or o.get("name") == "stderr" for o in outputs(notebook))
    assert not any(cell.metadata for cell in notebook.cells)
    assert path.stat().st_size < 1_200_000
    text = path.read_text(encoding="utf-8")
    assert not [p for p in (str(ROOT), str(Path.home()), sys.prefix) if p + os.sep in text]


def test_laws_of_the_table_pass_the_tutorials_figures() -> None:
    """The tutorial's own samples pass the tests above."""
    wrong = [
        f"{name}: {text}"
        for name, sample in TUTORIAL_1.items()
        for which, share in (("min", 0.0), ("median", 0.5), ("max", 1.0))
        if which in sample.printed
        and (
            text := misplaced(
                sample, share, float(sample.printed[which]), half_digit(sample.printed[which])
            )
        )
    ]
    wrong += [
        f"{name}: {text}"
        for name, sample in TUTORIAL_1.items()
        for which in ("mean", "std")
        if which in sample.printed
        and (text := differs(sample, which, getattr(sample.law, which)(), sample.printed[which]))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("uniform", uniform(0.1, 0.75)),
        ("normal", norm(0.5, 0.2)),
        ("lognormal", lognorm(0.5, 0.3)),
        ("gamma_5", gamma(5, scale=0.13)),
        ("exponential", expon(scale=0.4)),
        ("truncated", norm(0.5, 0.2)),
        ("inhibitory", lognorm(5, 5)),
        ("rates", gamma(3, scale=8)),
        ("Weibull", weibull(1, scale=0.5)),
        ("Beta", beta(2, 4)),
    ],
)
def test_a_wrong_law_is_found(name: str, wrong: Any) -> None:
    sample = TUTORIAL_1[name]
    x = wrong.rvs(sample.n, random_state=np.random.default_rng(0))
    ours = {"mean": x.mean(), "std": x.std()}
    assert any(differs(sample, which, ours[which], sample.printed[which]) for which in ours) or any(
        misplaced(sample, share, np.quantile(x, share, method="inverted_cdf"))
        for share in ORDER.values()
    )


if __name__ == "__main__":
    for path in NOTEBOOKS:
        if path.stem in sys.argv[1:] or not sys.argv[1:]:
            save(path)
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1024:.0f} KiB")
