"""All tuning to a processor, to habits of XLA and LLVM, or to a jaxlib version.

No tuning changes a number. The environment variable ``BRAININIT_TUNED=0``, read when braininit is
imported, turns all of it off; the suite passes without it, as CI checks. `layout.unfused` stays on:
it is no tuning, equal bits on several devices need it. Speedups were measured on x86 with AVX-512,
4e6 float32 draws, CPU time of all cores:

============  ==============================  =============================  ======================
part          speedup                         relies on                      sign of failure
============  ==============================  =============================  ======================
`options`     1.6 to 2.1 times over all       ``compiler_options=`` of       eager draws are as fast
              distributions: eager draws use  `jax.jit` and XLA's option     with
              full AVX-512 vectors            of the vector width            ``BRAININIT_TUNED=0``
`layout`      6 times where the last axis     ``inlineable`` metadata of     (n, 10) takes twice as
              is short, as (n, 2), and        `xla_metadata`                 long as (10 n,), and
              where n is odd, on 2 cores                                     (n + 1,) 12 times
`bfloat16`    2 times over bfloat16 draws     XLA's conversion keeps loops   bfloat16 takes as long
              in large vectors                at 256 bits                    as float32
`erf_inv`     2.0 (normal) to 3.2 (Xavier)    XLA's own log1p of jaxlib      a test compares all
              times over eager normals,       0.10, operation by operation   2^23 arguments
              1.3 to 1.7 in a jit
============  ==============================  =============================  ======================

`erf_inv` is for jaxlib 0.10 only; later versions have a faster function of their own.
Tried and left out, for less than 1.25 times over the table: draws in pairs (1.20 with jaxlib 0.10,
1.08 with 0.12, and first calls take half as long again), a row for each core (1.06), one power of
2 where two are not needed (1.07).
"""
