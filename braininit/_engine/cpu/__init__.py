"""All that is tuned to a processor, to habits of XLA and LLVM, or to a jaxlib version.

Nothing here changes a number. One switch takes it all out: with the environment variable
``BRAININIT_TUNED=0``, read when braininit is imported, the suite passes, as CI checks. What each
part buys was measured on x86 with AVX-512, 4e6 float32 draws, CPU time of all cores:

============  ==============================  =============================  ======================
part          what it buys                    what it leans on               how to see it failed
============  ==============================  =============================  ======================
`options`     eager draws use full AVX-512    ``compiler_options=`` of       ``BRAININIT_TUNED=0``
              vectors: 1.6 to 2.1 times       `jax.jit` and XLA's option     costs an eager draw
              over all distributions          of the vector width            nothing
`layout`      6 times where the last axis     ``inlineable`` metadata of     (n, 10) costs twice
              is short, as (n, 2), and        `xla_metadata`                 what (10 n,) does,
              where n is odd, on 2 cores                                     (n + 1,) 12 times
`bfloat16`    2 times over bfloat16 draws     XLA's conversion keeps loops   bfloat16 costs what
              in large vectors                at 256 bits                    float32 does
`erf_inv`     2.0 (normal) to 3.2 (Xavier)    XLA's own log1p of jaxlib      a test compares all
              times over eager normals,       0.10, operation by operation   2^23 arguments
              1.3 to 1.7 in a jit
============  ==============================  =============================  ======================

`erf_inv` is for jaxlib 0.10 alone; later ones have a faster function of their own.
Tried and left out, as they earn less than 1.25 times over the table: draws in pairs (1.20 with
jaxlib 0.10, 1.08 with 0.12, and first calls take half as long again), a row for each core (1.06),
one power of 2 where two are not needed (1.07).
"""
