/* What the kernels of this folder share: loops that the compiler vectorises, built once per instruction set, over float
 * or bfloat16 storage, and elementary functions without branches or calls.
 *
 * The pattern is a pair of functions: a body that is always inlined and takes the dtype as an argument, and an
 * EQ_CLONES function that calls it with each constant dtype, so that the test vanishes from the loop. */
#ifndef EQ_KERNELS_CPU_SIMD_H
#define EQ_KERNELS_CPU_SIMD_H

#include "kernels/kernel.h"

/* Levels are tested by features (unlike names of processors, which are tested by vendor). The resolvers run before
 * the sanitizers are ready. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 && defined(__x86_64__) && defined(__gnu_linux__) &&     \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define EQ_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EQ_CLONES
#endif

#if defined(__GNUC__)
#define EQ_INLINE static inline __attribute__((always_inline))
#else
#define EQ_INLINE static inline
#endif

/* Expands `call` once with a constant `dtype`, for dtype of EQ_F32 or EQ_BF16. */
#define EQ_FOR_DTYPE(type, call)                                                                                       \
    do {                                                                                                               \
        if ((type) == EQ_BF16) {                                                                                       \
            enum { dtype = EQ_BF16 };                                                                                  \
            call;                                                                                                      \
        } else {                                                                                                       \
            enum { dtype = EQ_F32 };                                                                                   \
            call;                                                                                                      \
        }                                                                                                              \
    } while (0)

EQ_INLINE float eq_load(const void *data, int64_t index, int dtype)
{
    return dtype == EQ_BF16 ? eq_bf16_to_f32(((const uint16_t *)data)[index]) : ((const float *)data)[index];
}

/* eq_f32_to_bf16 for results of arithmetic, whose NaNs are quiet: in fewer steps. */
EQ_INLINE uint16_t eq_round_to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t half = bits & 0x10000u ? 0x8000u : 0x7fffu; /* ties to even */
    half = value == value ? half : 0;
    return (uint16_t)((bits + half) >> 16);
}

EQ_INLINE void eq_store(void *data, int64_t index, int dtype, float value)
{
    if (dtype == EQ_BF16)
        ((uint16_t *)data)[index] = eq_round_to_bf16(value);
    else
        ((float *)data)[index] = value;
}

/* The element `index` of float or bfloat16 data. */
static inline const void *eq_at(const void *data, int64_t index, eq_dtype dtype)
{
    return (const unsigned char *)data + index * (int64_t)eq_dtype_size(dtype);
}

static inline void *eq_at_mutable(void *data, int64_t index, eq_dtype dtype)
{
    return (unsigned char *)data + index * (int64_t)eq_dtype_size(dtype);
}

static inline bool eq_is_f32_or_bf16(const eq_graph *graph, eq_value value)
{
    eq_dtype dtype = eq_info(graph, value)->dtype;
    return dtype == EQ_F32 || dtype == EQ_BF16;
}

static inline int64_t eq_min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* x kept to -87.33654 <= x <= 88.37. As integers, floats of a sign are ordered by magnitude: two integer minima do what
 * comparisons that mind NaN do in more. */
EQ_INLINE float eq_clamp_exponent(float x)
{
    const int32_t high = 0x42b0bd71; /* 88.37f */
    const uint32_t low = 0xc2aeac4f; /* -87.33654f */
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (int32_t)bits < high ? bits : (uint32_t)high;
    bits = bits < low ? bits : low;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* e^x within 2 ulp for -87.33 <= x <= 88.37; beyond, the value at that bound, never 0 or infinity. NaN counts as
 * beyond: where it must go on, the caller sees to it. */
EQ_INLINE float eq_exp(float x)
{
    const float log2_e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer, in the low bits */
    x = eq_clamp_exponent(x);
    float shifted = x * log2_e + magic;
    float n = shifted - magic;
    float r = (x - n * ln2_high) - n * ln2_low;
    /* (e^r - 1 - r) / r^2 interpolated on |r| <= ln(2) / 2 */
    float p = 1.39262508e-3f;
    p = p * r + 8.36323288e-3f;
    p = p * r + 4.16665542e-2f;
    p = p * r + 1.66665767e-1f;
    p = p * r + 0.5f;
    p = p * (r * r) + r + 1.0f;
    uint32_t bits;
    float power;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3f800000u; /* 2^n: what `magic` left above is shifted out */
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

EQ_INLINE float eq_sigmoid(float x)
{
    return 1.0f / (1.0f + eq_exp(-x));
}

/* The standard normal distribution function. */
EQ_INLINE float eq_normal_cdf(float x)
{
    /* erfc(z) e^(z^2) / t as a polynomial in t = 1 / (1 + 0.3 z), interpolated on 0 <= z <= 10 */
    float z = (x < 0 ? -x : x) * 0.70710678f;
    float t = 1.0f / (1.0f + 0.3f * z);
    float p = -0.130770877f;
    p = p * t + 0.491934271f;
    p = p * t + -0.526151663f;
    p = p * t + 0.564514242f;
    p = p * t + -0.106983363f;
    p = p * t + 0.220539169f;
    p = p * t + 0.146796022f;
    p = p * t + 0.17094912f;
    p = p * t + 0.169173058f;
    float tail = 0.5f * p * t * eq_exp(-z * z);
    return x < 0 ? tail : 1.0f - tail;
}

EQ_INLINE float eq_activate_value(eq_activation activation, float x)
{
    switch (activation) {
    case EQ_ACT_SILU: return x * eq_sigmoid(x);
    case EQ_ACT_GELU: return x * eq_normal_cdf(x);
    case EQ_ACT_QUICK_GELU: return x * eq_sigmoid(1.702f * x);
    case EQ_ACT_RELU: return x > 0 ? x : 0;
    case EQ_ACT_NONE: break;
    }
    return x;
}

EQ_INLINE float eq_activate_slope(eq_activation activation, float x)
{
    float s;
    switch (activation) {
    case EQ_ACT_SILU: s = eq_sigmoid(x); return s * (1.0f + x * (1.0f - s));
    case EQ_ACT_GELU: return eq_normal_cdf(x) + x * 0.39894228f * eq_exp(-0.5f * x * x);
    case EQ_ACT_QUICK_GELU: s = eq_sigmoid(1.702f * x); return s * (1.0f + 1.702f * x * (1.0f - s));
    case EQ_ACT_RELU: return x > 0 ? 1.0f : 0.0f;
    case EQ_ACT_NONE: break;
    }
    return 1.0f;
}

#endif
