#include "base/rng.h"

#include <math.h>

void eq_philox4x32(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
    uint32_t k0 = key[0], k1 = key[1];
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        uint32_t n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

eq_rng eq_rng_make(uint64_t seed, uint64_t stream, uint32_t substream)
{
    return (eq_rng){.seed = seed, .stream = stream, .substream = substream, .used = 4};
}

uint32_t eq_rng_u32(eq_rng *rng)
{
    if (rng->used == 4) {
        uint32_t key[2] = {(uint32_t)rng->seed, (uint32_t)(rng->seed >> 32)};
        uint32_t counter[4] = {rng->block++, rng->substream, (uint32_t)rng->stream, (uint32_t)(rng->stream >> 32)};
        eq_philox4x32(key, counter, rng->buffer);
        rng->used = 0;
    }
    return rng->buffer[rng->used++];
}

float eq_rng_uniform(eq_rng *rng)
{
    return (float)(eq_rng_u32(rng) >> 8) * 0x1p-24f;
}

uint32_t eq_rng_below(eq_rng *rng, uint32_t n)
{
    /* Numbers below 2^32 mod n would favour the small residues: draw again. */
    uint32_t threshold = (uint32_t)(-n) % n;
    for (;;) {
        uint32_t r = eq_rng_u32(rng);
        if (r >= threshold)
            return r % n;
    }
}

static void normal_pair(eq_rng *rng, float *a, float *b)
{
    /* In (0, 1], so that the logarithm is finite. */
    double u = ((double)eq_rng_u32(rng) + 1.0) * 0x1p-32;
    double v = (double)eq_rng_u32(rng) * 0x1p-32;
    double radius = sqrt(-2.0 * log(u));
    double angle = 6.283185307179586476925 * v;
    *a = (float)(radius * cos(angle));
    *b = (float)(radius * sin(angle));
}

float eq_rng_normal(eq_rng *rng)
{
    float a, b;
    normal_pair(rng, &a, &b);
    return a;
}

void eq_rng_normals(eq_rng *rng, float *out, size_t count)
{
    float unused;
    for (size_t i = 0; i < count; i += 2)
        normal_pair(rng, &out[i], i + 1 < count ? &out[i + 1] : &unused);
}

void eq_rng_permutation(eq_rng *rng, uint32_t *order, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t j = eq_rng_below(rng, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
}
