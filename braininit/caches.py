"""What is kept from draw to draw, and how to be rid of it."""

from __future__ import annotations

import sys

__all__ = ["clear_caches"]


def clear_caches() -> None:
    """Forget what is kept from draw to draw: compiled samplers above all.

    A sampler is compiled for each kind of draw, shape and dtype, and takes some 3 MB. The last
    256 are kept, and as many of initializers that are made of others. A program that draws in
    ever new shapes, or is done with drawing, makes room here for what comes next. Later draws
    are the same, and compiled again.

    Notes
    -----
    What JAX keeps for programs of one's own, `jax.clear_caches` drops.

    Examples
    --------
    >>> import braininit as init
    >>> before = init.Normal(0.0, 1.0)(3, rng=0)
    >>> init.clear_caches()
    >>> bool((init.Normal(0.0, 1.0)(3, rng=0) == before).all())
    True
    """
    for name, module in sys.modules.copy().items():
        if name.startswith("braininit."):
            for value in vars(module).copy().values():
                if str(getattr(value, "__module__", "")).startswith("braininit."):
                    clear = getattr(value, "cache_clear", None)
                    if clear is not None and not isinstance(value, type):
                        clear()
