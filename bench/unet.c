/* A U-Net with random weights: seconds of a whole denoising step or training step, where they go, how fast the kernels
 * are beside the machine's own matmul and copy in the same run, and how much memory was planned and taken.
 *
 *   bench_unet [--model FOLDER | --config p2|sd15] [--batch N] [--dtype f32|bf16] [--train] [--seconds S]
 *              [--cpu-time] [--json]
 *
 * FOLDER is a diffusers folder, of which only unet/config.json is read. p2: the CelebA-HQ 256x256 network of
 * P2-weighting (Choi et al. 2022); sd15: Stable Diffusion 1.5's on 64x64 latents. --batch counts rows: a step of
 * Stable Diffusion with classifier-free guidance takes two an image. --train: forward, backward and AdamW with its
 * moving average. --seconds: steps are repeated for so long, at least twice after one for warming up,
 * and the fastest counts. */
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/process.h"
#include "diffusion/denoiser.h"
#include "models/diffusers_unet.h"
#include "stable_diffusion.h"
#include "train/diffusion_trainer.h"
#include "yardstick.h"

enum { MIN_RUNS = 2, MAX_ROWS = 64 };

typedef struct settings {
    const char *name; /* for the report */
    eq_unet_config unet;
    int batch;
    eq_dtype dtype;
    bool train, json;
    double seconds;
    clockid_t clock;
} settings;

/* The fastest step. */
typedef struct measurement {
    double seconds;
    eq_program_timing rows[MAX_ROWS];
    int count;
    double process_bytes; /* resident before the first step, beside what was planned: libraries, generated code */
    double weight_bytes;  /* as they are stored, with all that training keeps of the same size */
    eq_program_memory memory;
    double resident_bytes; /* most there was of them */
} measurement;

static const eq_unet_config p2 = {.sample_size = 256,
                                  .in_channels = 3,
                                  .out_channels = 6,
                                  .levels = 6,
                                  .block_out_channels = {128, 128, 256, 256, 512, 512},
                                  .down_attention = {[4] = true},
                                  .up_attention = {[1] = true},
                                  .mid_attention = true,
                                  .layers_per_block = 1,
                                  .heads = {2, 2, 4, 4, 8, 8},
                                  .norm_num_groups = 32,
                                  .norm_eps = 1e-5f,
                                  .flip_sin_to_cos = true,
                                  .downsample_padding = 1,
                                  .mid_block_scale_factor = 1.0f,
                                  .scale_shift_norm = true,
                                  .resample_blocks = true};

static double planned_bytes(const measurement *m)
{
    return m->process_bytes + m->weight_bytes +
           (double)(m->memory.packed_bytes + m->memory.arena_bytes + m->memory.carry_bytes);
}

/* Repeats `step` and keeps the fastest with its timings. */
static eq_status measure(const settings *s, eq_program *program, eq_status (*step)(void *), void *argument,
                         measurement *m)
{
    m->memory = eq_program_memory_use(program);
    m->process_bytes = fmax((double)eq_process_resident() - planned_bytes(m), 0);
    EQ_TRY(step(argument)); /* touches memory */
    m->seconds = INFINITY;
    double end = bench_now(CLOCK_MONOTONIC) + s->seconds;
    for (int run = 0; run < MIN_RUNS || bench_now(CLOCK_MONOTONIC) < end; run++) {
        eq_program_timing_reset(program);
        double start = bench_now(s->clock), wall_start = bench_now(CLOCK_MONOTONIC);
        EQ_TRY(step(argument));
        double seconds = bench_now(s->clock) - start, wall_seconds = bench_now(CLOCK_MONOTONIC) - wall_start;
        if (seconds >= m->seconds)
            continue;
        m->seconds = seconds;
        m->count = eq_program_timings(program, m->rows, MAX_ROWS);
        for (int i = 0; i < m->count; i++) /* programs know the wall's clock only */
            m->rows[i].seconds *= seconds / wall_seconds;
    }
    m->resident_bytes = (double)eq_process_peak();
    return EQ_OK;
}

/* --- a denoising step --- */

/* Weights as a file of the run's dtype holds them; none is zero, so that nothing is easier than in a trained network.
 * Returns their memory. */
static void *random_weights(eq_params *params, eq_dtype dtype)
{
    unsigned char *storage = eq_buffer_new((size_t)params->total * eq_dtype_size(dtype)), *next = storage;
    uint32_t state = 1;
    for (int i = 0; storage && i < params->count; i++) {
        eq_param *param = &params->items[i];
        int64_t count = eq_shape_count(&param->tensor.shape);
        float bound = param->init == EQ_INIT_ONES ? 0.0f : 1.0f / sqrtf((float)(param->fan_in > 1 ? param->fan_in : 9));
        for (int64_t k = 0; k < count; k++) {
            state = state * 1664525u + 1013904223u;
            float value = bound == 0.0f ? 1.0f : bound * (float)(int32_t)state / 2147483648.0f;
            if (dtype == EQ_BF16)
                ((uint16_t *)(void *)next)[k] = eq_f32_to_bf16(value);
            else
                ((float *)(void *)next)[k] = value;
        }
        param->tensor.dtype = dtype;
        param->tensor.data = next;
        next += (size_t)count * eq_dtype_size(dtype);
    }
    return storage;
}

typedef struct denoising {
    eq_denoiser *denoiser;
    float *x, *prediction, *context; /* [batch, ...] */
    int *prompt_of;                  /* [batch] each row its own */
} denoising;

static eq_status denoise(void *argument)
{
    const denoising *d = argument;
    return eq_denoiser_run(d->denoiser, d->x, 500, d->prediction);
}

/* count floats of the bench's random numbers */
static float *random_floats(size_t count)
{
    float *data = eq_buffer_new(count * sizeof *data);
    if (data)
        bench_fill(data, EQ_F32, (int64_t)count);
    return data;
}

static eq_status open_denoising(eq_context *ctx, const settings *s, eq_params *params, eq_condition *condition,
                                denoising *d)
{
    const eq_unet_config *unet = &s->unet;
    size_t n = (size_t)s->batch, pixels = n * (size_t)unet->sample_size * (size_t)unet->sample_size;
    d->x = random_floats(pixels * (size_t)unet->in_channels);
    d->prediction = random_floats(pixels * (size_t)unet->out_channels);
    d->context = random_floats(n * (size_t)unet->context_length * (size_t)unet->cross_attention_dim);
    d->prompt_of = calloc(n, sizeof *d->prompt_of);
    if (!d->x || !d->prediction || !d->context || !d->prompt_of)
        return eq_fail_memory(ctx, "a batch");
    for (int i = 0; i < s->batch; i++)
        d->prompt_of[i] = i;
    *condition = (eq_condition){.context = d->context, .prompt_of = d->prompt_of};
    return eq_denoiser_new(ctx, unet, params,
                           &(eq_denoiser_options){.count = s->batch,
                                                  .micro_batch = s->batch,
                                                  .height = unet->sample_size,
                                                  .width = unet->sample_size,
                                                  .dtype = s->dtype,
                                                  .condition = condition},
                           &d->denoiser);
}

static eq_status bench_denoising(eq_context *ctx, const settings *s, measurement *m)
{
    eq_params *params = eq_params_new(ctx);
    void *weights = NULL;
    eq_condition condition;
    denoising d = {0};
    eq_status status = params ? eq_unet_declare(params, &s->unet) : eq_fail_memory(ctx, "parameters");
    if (status == EQ_OK && !(weights = random_weights(params, s->dtype)))
        status = eq_fail_memory(ctx, "weights");
    if (status == EQ_OK)
        status = open_denoising(ctx, s, params, &condition, &d);
    if (status == EQ_OK) {
        m->weight_bytes = (double)params->total * (double)eq_dtype_size(s->dtype);
        status = measure(s, eq_denoiser_program(d.denoiser), denoise, &d, m);
    }
    eq_denoiser_free(d.denoiser);
    eq_buffer_free(d.x);
    eq_buffer_free(d.prediction);
    eq_buffer_free(d.context);
    free(d.prompt_of);
    eq_params_free(params);
    eq_buffer_free(weights);
    return status;
}

/* --- a training step --- */

static eq_status train(void *trainer)
{
    double loss, norm;
    return eq_diffusion_trainer_step(trainer, &loss, &norm);
}

static eq_status bench_training(eq_context *ctx, const settings *s, measurement *m)
{
    size_t bytes = (size_t)s->batch * (size_t)s->unet.sample_size * (size_t)s->unet.sample_size * 3;
    eq_dataset data = {.count = s->batch, .size = s->unet.sample_size, .pixels = malloc(bytes)};
    eq_diffusion_training training = {.unet = s->unet,
                                      .timestep_power = 1,
                                      .optimiser = eq_optimiser_defaults(),
                                      .batch = s->batch,
                                      .dtype = s->dtype};
    eq_schedule_config config = eq_schedule_config_default();
    eq_schedule schedule = {0};
    eq_diffusion_trainer trainer = {0};
    eq_status status =
        data.pixels ? eq_schedule_new(ctx, &config, NULL, &schedule) : eq_fail_memory(ctx, "images to train on");
    for (size_t i = 0; status == EQ_OK && i < bytes; i++)
        data.pixels[i] = (uint8_t)(i * 2654435761u >> 24);
    if (status == EQ_OK)
        status = eq_diffusion_trainer_open(ctx, &training, &schedule, (eq_diffusion_data){.images = &data}, &trainer);
    if (status == EQ_OK) {
        /* Parameters, gradients, two moments, average. */
        m->weight_bytes = 5 * (double)trainer.params->total * sizeof(float);
        status = measure(s, trainer.core.program, train, &trainer, m);
    }
    eq_diffusion_trainer_close(&trainer);
    eq_schedule_free(&schedule);
    free(data.pixels);
    return status;
}

/* --- the report --- */

static bool is_arithmetic(const eq_program_timing *row)
{
    return row->flops > 0;
}

/* The sum over the rows that are arithmetic, or over the others. */
static eq_program_timing sum(const measurement *m, bool arithmetic)
{
    eq_program_timing total = {0};
    for (int i = 0; i < m->count; i++) {
        const eq_program_timing *row = &m->rows[i];
        if (is_arithmetic(row) != arithmetic)
            continue;
        total.seconds += row->seconds;
        total.flops += row->flops;
        total.bytes += row->bytes;
        total.calls += row->calls;
    }
    return total;
}

static int slower_first(const void *a, const void *b)
{
    const eq_program_timing *left = a, *right = b;
    return (left->seconds < right->seconds) - (left->seconds > right->seconds);
}

static void print_row(const settings *s, const measurement *m, const eq_yardstick *peak, const eq_program_timing *row)
{
    printf("  %-20s %-7s %5lld calls %9.2f ms %5.1f%%  ", row->op, row->backend, (long long)row->calls,
           row->seconds * 1e3, 100 * row->seconds / m->seconds);
    if (is_arithmetic(row))
        printf("%6.1f GFLOP/s %4.0f%% of matmul\n", row->flops / row->seconds * 1e-9,
               100 * row->flops / row->seconds / peak->flops[s->dtype == EQ_BF16]);
    else
        printf("%6.1f GB/s    %4.0f%% of copy\n", row->bytes / row->seconds * 1e-9,
               100 * row->bytes / row->seconds / peak->bytes);
}

static void print_report(const settings *s, measurement *m, const eq_yardstick *peak)
{
    eq_program_timing all[2] = {sum(m, true), sum(m, false)};
    all[0].op = "all arithmetic";
    all[1].op = "all the rest";
    all[0].backend = all[1].backend = "";
    printf("%s, %dx%d, batch %d, %s, %s step, %d threads\n", s->name, s->unet.sample_size, s->unet.sample_size,
           s->batch, eq_dtype_name(s->dtype), s->train ? "training" : "denoising", omp_get_max_threads());
    eq_yardstick_print(peak);
    printf("%.3f s, %.4f s an image, %.3f TFLOP, %.1f GFLOP/s overall\n", m->seconds, m->seconds / s->batch,
           all[0].flops * 1e-12, all[0].flops / m->seconds * 1e-9);
    qsort(m->rows, (size_t)m->count, sizeof m->rows[0], slower_first);
    for (int i = 0; i < m->count; i++)
        print_row(s, m, peak, &m->rows[i]);
    for (int i = 0; i < 2; i++)
        print_row(s, m, peak, &all[i]);
    printf(
        "memory: process %.0f MB, weights %.0f MB%s, packed %.0f MB, activations %.0f MB (%.0f MB unshared): %.0f MB; peak resident "
        "%.0f MB, %+.0f%%\n",
        m->process_bytes * 1e-6, m->weight_bytes * 1e-6, s->train ? " with gradients, moments and average" : "",
        (double)m->memory.packed_bytes * 1e-6, (double)(m->memory.arena_bytes + m->memory.carry_bytes) * 1e-6,
        (double)m->memory.naive_bytes * 1e-6, planned_bytes(m) * 1e-6, m->resident_bytes * 1e-6,
        100 * (m->resident_bytes / planned_bytes(m) - 1));
}

static void print_json(const settings *s, const measurement *m, const eq_yardstick *peak)
{
    printf(
        "{\"network\": \"%s\", \"batch\": %d, \"dtype\": \"%s\", \"train\": %s, \"threads\": %d, \"seconds\": %.6f, "
        "\"matmul_flops_per_second\": %.0f, \"copy_bytes_per_second\": %.0f, \"process_bytes\": %.0f, \"weight_bytes\": %.0f, "
        "\"packed_bytes\": %zu, \"activation_bytes\": %zu, \"resident_bytes\": %.0f, \"kernels\": [",
        s->name, s->batch, eq_dtype_name(s->dtype), s->train ? "true" : "false", omp_get_max_threads(), m->seconds,
        peak->flops[s->dtype == EQ_BF16], peak->bytes, m->process_bytes, m->weight_bytes, m->memory.packed_bytes,
        m->memory.arena_bytes + m->memory.carry_bytes, m->resident_bytes);
    for (int i = 0; i < m->count; i++) {
        const eq_program_timing *row = &m->rows[i];
        printf("%s{\"op\": \"%s\", \"backend\": \"%s\", \"calls\": %lld, \"seconds\": %.6f, \"flops\": %.0f, "
               "\"bytes\": %.0f}",
               i ? ", " : "", row->op, row->backend, (long long)row->calls, row->seconds, row->flops, row->bytes);
    }
    printf("]}\n");
}

/* --- the command line --- */

static const char usage[] = "bench_unet [--model FOLDER | --config p2|sd15] [--batch N] [--dtype f32|bf16] [--train] "
                            "[--seconds S] [--cpu-time] [--json]";

static eq_status read_folder(eq_context *ctx, const char *folder, settings *s)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/unet/config.json", folder);
    s->name = folder;
    EQ_TRY(eq_unet_config_read(ctx, path, &s->unet));
    if (s->unet.addition_time_dim > 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "%s: networks with added conditions are not among the benchmarks", path);
    if (s->unet.cross_attention_dim > 0 && s->unet.context_length == 0)
        s->unet.context_length = bench_sd15.context_length;
    return EQ_OK;
}

static eq_status choose_config(eq_context *ctx, const char *name, settings *s)
{
    s->name = name;
    s->unet = strcmp(name, "p2") == 0 ? p2 : bench_sd15;
    if (strcmp(name, "p2") != 0 && strcmp(name, "sd15") != 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "--config %s: known are p2 and sd15", name);
    return EQ_OK;
}

static eq_status read_option(eq_context *ctx, const char *option, const char *value, settings *s)
{
    if (strcmp(option, "--model") == 0)
        return read_folder(ctx, value, s);
    if (strcmp(option, "--config") == 0)
        return choose_config(ctx, value, s);
    if (strcmp(option, "--batch") == 0)
        s->batch = atoi(value);
    else if (strcmp(option, "--seconds") == 0)
        s->seconds = atof(value);
    else if (strcmp(option, "--dtype") == 0 && strcmp(value, "f32") == 0)
        s->dtype = EQ_F32;
    else if (strcmp(option, "--dtype") == 0 && strcmp(value, "bf16") == 0)
        s->dtype = EQ_BF16;
    else
        return eq_fail(ctx, EQ_BAD_USAGE, "%s %s? %s", option, value, usage);
    return s->batch > 0 ? EQ_OK : eq_fail(ctx, EQ_BAD_USAGE, "--batch %s: give 1 or more", value);
}

static eq_status read_options(eq_context *ctx, int argc, char **argv, settings *s)
{
    *s = (settings){.batch = 1, .dtype = EQ_F32, .seconds = 3, .clock = CLOCK_MONOTONIC};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--train") == 0)
            s->train = true;
        else if (strcmp(argv[i], "--json") == 0)
            s->json = true;
        else if (strcmp(argv[i], "--cpu-time") == 0)
            s->clock = CLOCK_PROCESS_CPUTIME_ID;
        else if (i + 1 == argc)
            return eq_fail(ctx, EQ_BAD_USAGE, "%s? %s", argv[i], usage);
        else {
            EQ_TRY(read_option(ctx, argv[i], argv[i + 1], s));
            i++;
        }
    }
    return s->name ? EQ_OK : eq_fail(ctx, EQ_BAD_USAGE, "which network? %s", usage);
}

static eq_status run(eq_context *ctx, const settings *s)
{
    measurement m = {0};
    eq_yardstick peak;
    EQ_TRY(s->train ? bench_training(ctx, s, &m) : bench_denoising(ctx, s, &m));
    EQ_TRY(eq_yardstick_measure(ctx, s->clock, &peak)); /* after: its matrices are no memory of the network's */
    if (s->json)
        print_json(s, &m, &peak);
    else
        print_report(s, &m, &peak);
    return EQ_OK;
}

int main(int argc, char **argv)
{
    eq_context *ctx = eq_context_new();
    settings s;
    eq_status status = ctx ? read_options(ctx, argc, argv, &s) : EQ_NO_MEMORY;
    if (status == EQ_OK)
        status = run(ctx, &s);
    if (status != EQ_OK)
        fprintf(stderr, "bench_unet: %s\n", ctx ? eq_last_error(ctx) : "out of memory");
    eq_context_free(ctx);
    return status != EQ_OK;
}
