/* The decoder of Stable Diffusion's autoencoder with random weights: planned memory, seconds, and where they go.
 *
 *   bench_vae [--size PIXELS] [--limit MEGABYTES] [--dtype f32|bf16] [--cpu-time]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/rng.h"
#include "diffusion/latent.h"
#include "stable_diffusion.h"

typedef struct settings {
    int64_t size;
    size_t limit;
    eq_dtype dtype;
    clockid_t clock;
} settings;

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* No weight is zero, so that nothing is easier than in a trained network. */
static eq_status random_params(eq_context *ctx, eq_params *params)
{
    EQ_TRY(eq_vae_declare(params, &bench_sd15_vae));
    EQ_TRY(eq_params_allocate(params));
    for (int i = 0; i < params->count; i++)
        params->items[i].init = params->items[i].init == EQ_INIT_ONES ? EQ_INIT_ONES : EQ_INIT_UNIFORM;
    eq_params_initialise(params, 1);
    return EQ_OK;
}

/* Shares of time by the wall clock, as programs take it. */
static void print_program(const char *name, const eq_program *program)
{
    eq_program_timing rows[32];
    double seconds = 0;
    if (!program)
        return;
    eq_program_memory memory = eq_program_memory_use(program);
    printf("%s: %.0f MB activations (%.0f MB unshared), %.0f MB packed weights\n", name,
           (double)(memory.arena_bytes + memory.carry_bytes) * 1e-6, (double)memory.naive_bytes * 1e-6,
           (double)memory.packed_bytes * 1e-6);
    int count = eq_program_timings(program, rows, 32);
    for (int i = 0; i < count; i++)
        seconds += rows[i].seconds;
    for (int i = 0; i < count; i++)
        printf("  %-20s %-7s %5lld calls %5.1f%%\n", rows[i].op, rows[i].backend, (long long)rows[i].calls,
               100 * rows[i].seconds / seconds);
}

static double program_flops(const eq_program *program)
{
    eq_program_timing rows[32];
    double flops = 0;
    int count = program ? eq_program_timings(program, rows, 32) : 0;
    for (int i = 0; i < count; i++)
        flops += rows[i].flops;
    return flops;
}

static eq_status decode(eq_latent_codec *codec, const settings *s, float *latent, float *image)
{
    int64_t side = s->size / eq_vae_scale(&bench_sd15_vae);
    eq_program *coarse, *fine;
    EQ_TRY(eq_latent_decode(codec, latent, 1, side, side, image)); /* compiles, touches memory */
    eq_latent_codec_programs(codec, &coarse, &fine);
    eq_program_timing_reset(coarse);
    if (fine)
        eq_program_timing_reset(fine);
    double start = now(s->clock);
    EQ_TRY(eq_latent_decode(codec, latent, 1, side, side, image));
    double seconds = now(s->clock) - start, flops = program_flops(coarse) + program_flops(fine);
    eq_latent_use use = eq_latent_codec_use(codec);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%lldx%lld %s: %d tiles, %d sweeps, %.2f s, %.2f TFLOP, %.0f GFLOP/s; planned %.0f MB, packed weights "
           "%.0f MB, peak resident %.0f MB\n",
           (long long)s->size, (long long)s->size, eq_dtype_name(s->dtype), use.tiles, use.sweeps, seconds,
           flops * 1e-12, flops / seconds * 1e-9, (double)use.arena_bytes * 1e-6, (double)use.packed_bytes * 1e-6,
           (double)usage.ru_maxrss * 1024e-6);
    print_program(fine ? "coarse" : "whole", coarse);
    print_program("fine", fine);
    return EQ_OK;
}

static eq_status run(eq_context *ctx, const settings *s)
{
    int64_t side = s->size / eq_vae_scale(&bench_sd15_vae), count = side * side * bench_sd15_vae.latent_channels;
    eq_params *params = eq_params_new(ctx);
    float *latent = malloc((size_t)count * sizeof(float));
    float *image = malloc((size_t)(s->size * s->size * bench_sd15_vae.out_channels) * sizeof(float));
    eq_latent_codec *codec = NULL;
    eq_status status = params && latent && image ? EQ_OK : eq_fail_memory(ctx, "a picture");
    if (status == EQ_OK)
        status = random_params(ctx, params);
    if (status == EQ_OK) {
        eq_rng rng = eq_rng_make(1, 0, 0);
        eq_rng_normals(&rng, latent, (size_t)count);
        status = eq_latent_codec_new(ctx, &bench_sd15_vae, params,
                                     &(eq_latent_options){.dtype = s->dtype, .memory_bytes = s->limit}, &codec);
    }
    if (status == EQ_OK)
        status = decode(codec, s, latent, image);
    eq_latent_codec_free(codec);
    eq_params_free(params);
    free(latent);
    free(image);
    return status;
}

int main(int argc, char **argv)
{
    settings s = {.size = 512, .dtype = EQ_F32, .clock = CLOCK_MONOTONIC};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--size") == 0 && i + 1 < argc)
            s.size = atoll(argv[++i]) / 8 * 8;
        else if (strcmp(argv[i], "--limit") == 0 && i + 1 < argc)
            s.limit = (size_t)(atof(argv[++i]) * 1e6);
        else if (strcmp(argv[i], "--dtype") == 0 && i + 1 < argc)
            s.dtype = strcmp(argv[++i], "bf16") == 0 ? EQ_BF16 : EQ_F32;
        else if (strcmp(argv[i], "--cpu-time") == 0)
            s.clock = CLOCK_PROCESS_CPUTIME_ID;
    }
    eq_context *ctx = eq_context_new();
    eq_status status = ctx && s.size >= 8 ? run(ctx, &s) : EQ_BAD_USAGE;
    if (status != EQ_OK)
        fprintf(stderr, "bench_vae: %s\n", ctx ? eq_last_error(ctx) : "out of memory");
    eq_context_free(ctx);
    return status != EQ_OK;
}
