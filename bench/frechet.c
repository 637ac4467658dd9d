/* The Frechet distance at the size of Inception's features: seconds of its parts, and the memory that the process took.
 *
 *   bench_frechet [--images N] [--features D] [--cpu-time]
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/memory.h"
#include "base/rng.h"
#include "eval/frechet.h"

typedef struct settings {
    int images, features;
    clockid_t clock;
} settings;

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Neighbouring features go together, so that eigenvalues spread as those of real features do. x: [n, d] */
static void fill(float *x, const settings *s, uint64_t seed)
{
#pragma omp parallel for schedule(static)
    for (int i = 0; i < s->images; i++) {
        eq_rng rng = eq_rng_make(seed, (uint64_t)i, 0);
        float *row = x + (size_t)i * (size_t)s->features, before = 0;
        for (int j = 0; j < s->features; j++)
            row[j] = before = 0.9f * before + 0.4f * eq_rng_normal(&rng) + 0.01f * (float)seed;
    }
}

static eq_status measure(eq_context *ctx, const settings *s, float *x, eq_moments *a, eq_moments *b)
{
    double start = now(s->clock), distance;
    EQ_TRY(eq_moments_new(ctx, s->features, a));
    EQ_TRY(eq_moments_new(ctx, s->features, b));
    fill(x, s, 1);
    double filled = now(s->clock);
    EQ_TRY(eq_moments_add(ctx, a, x, s->images));
    double half = now(s->clock);
    fill(x, s, 2);
    double again = now(s->clock);
    EQ_TRY(eq_moments_add(ctx, b, x, s->images));
    double moments = now(s->clock);
    EQ_TRY(eq_frechet_distance(ctx, a, b, &distance));
    double end = now(s->clock);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%d x %d: distance %.6g\n", s->images, s->features, distance);
    printf("  random features    %8.2f s, not counted\n", filled - start + again - half);
    printf("  two covariances    %8.2f s\n", half - filled + moments - again);
    printf("  distance           %8.2f s\n", end - moments);
    printf("  together           %8.2f s, %.0f MB resident at most\n", half - filled + end - again,
           (double)usage.ru_maxrss / 1024);
    return EQ_OK;
}

static int usage(const char *program)
{
    fprintf(stderr, "usage: %s [--images N] [--features D] [--cpu-time]\n", program);
    return 2;
}

int main(int argc, char **argv)
{
    settings s = {.images = 10000, .features = 2048, .clock = CLOCK_MONOTONIC};
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "--cpu-time") == 0)
            s.clock = CLOCK_PROCESS_CPUTIME_ID;
        else if (strcmp(argv[i], "--images") == 0 && more)
            s.images = atoi(argv[++i]);
        else if (strcmp(argv[i], "--features") == 0 && more)
            s.features = atoi(argv[++i]);
        else
            return usage(argv[0]);
    }
    if (s.images < 2 || s.images > 10000000 || s.features < 1 || s.features > EQ_FEATURES_MAX)
        return usage(argv[0]);
    eq_context *ctx = eq_context_new();
    float *x = eq_buffer_new((size_t)s.images * (size_t)s.features * sizeof *x);
    eq_moments a = {0}, b = {0};
    eq_status status = x && ctx ? measure(ctx, &s, x, &a, &b) : EQ_NO_MEMORY;
    if (status != EQ_OK)
        fprintf(stderr, "%s: %s\n", argv[0], ctx ? eq_last_error(ctx) : "out of memory");
    eq_moments_free(&a);
    eq_moments_free(&b);
    eq_buffer_free(x);
    eq_context_free(ctx);
    return status != EQ_OK;
}
