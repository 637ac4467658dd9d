/* Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011). A number depends only on its key and
 * position, never on threads, batch size, ranks or the order of calls. */
#ifndef EQ_BASE_RNG_H
#define EQ_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* A position in a stream keyed by (seed, stream, substream): for sampling noise, (seed, image index, step). */
typedef struct eq_rng {
    uint64_t seed;
    uint64_t stream;
    uint32_t substream;
    uint32_t block; /* counter of 4-number blocks drawn */
    uint32_t buffer[4];
    int used; /* numbers of `buffer` already given out */
} eq_rng;

/* One Philox4x32-10 block. */
void eq_philox4x32(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

eq_rng eq_rng_make(uint64_t seed, uint64_t stream, uint32_t substream);

uint32_t eq_rng_u32(eq_rng *rng);
/* Uniform in [0, 1), 24 bits. */
float eq_rng_uniform(eq_rng *rng);
/* Uniform integer in [0, n), unbiased; n >= 1. */
uint32_t eq_rng_below(eq_rng *rng, uint32_t n);
/* Standard normal (Box-Muller). */
float eq_rng_normal(eq_rng *rng);
/* Fills out[count] with standard normals. */
void eq_rng_normals(eq_rng *rng, float *out, size_t count);
/* Fisher-Yates: fills order[n] with a permutation of 0..n-1. */
void eq_rng_permutation(eq_rng *rng, uint32_t *order, uint32_t n);

#endif
