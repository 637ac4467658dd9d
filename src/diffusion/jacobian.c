#include "diffusion/jacobian.h"

#include <stdlib.h>
#include <string.h>

#include "ops/autodiff.h"
#include "ops/ops.h"
#include "tensor/plan.h"

enum { MOST_IMAGES = 8, PASSES = 3 };

struct eq_jacobian {
    eq_context *ctx;
    eq_program *program;
    eq_unet unet;
    eq_value dprediction, dx; /* [micro_batch, height, width, in_channels] f32: an input, an output */
    const int32_t *class_labels;
    int64_t count, micro_batch, image; /* image: numbers of one */
    double passes;
};

/* The gradient at x of sum(prediction * dprediction), dprediction held fixed. NULL when memory is out. */
static eq_graph *make_graph(eq_jacobian *j, const eq_unet_config *config, eq_params *params,
                            const eq_denoiser_options *options)
{
    int64_t n = j->micro_batch, channels = config->in_channels;
    eq_graph *g = eq_graph_new(j->ctx, options->dtype);
    if (!g)
        return NULL;
    params->trainable = false;
    eq_unet_build(&(eq_builder){g, params}, config, n, options->height, options->width, &j->unet);
    eq_value output = j->unet.prediction;
    if (config->out_channels > channels)
        output = eq_slice(g, output, 3, 0, channels);
    j->dprediction =
        eq_graph_input(g, "dprediction", EQ_F32, eq_shape_of(n, options->height, options->width, channels));
    eq_value sum = eq_sum_to(g, eq_multiply(g, output, j->dprediction), eq_shape_of(1, 1, 1, 1));
    eq_graph_backward(g, eq_reshape(g, sum, eq_shape_of(1)), 1, &j->unet.sample, &j->dx);
    j->dx = eq_cast(g, j->dx, EQ_F32);
    eq_graph_output(g, j->dx, "dx");
    return g;
}

/* What it will take at least, before anything of it is taken: kernels may want more for scratch. */
static eq_status foresee_bytes(eq_jacobian *j, const eq_unet_config *config, eq_params *params,
                               const eq_denoiser_options *options, size_t *bytes)
{
    EQ_TRY(eq_graph_foresee_bytes(j->ctx, make_graph(j, config, params, options), bytes));
    *bytes += (size_t)params->total * eq_dtype_size(options->dtype);
    return EQ_OK;
}

static eq_status compile(eq_jacobian *j, const eq_unet_config *config, eq_params *params,
                         const eq_denoiser_options *options)
{
    eq_graph *graph = make_graph(j, config, params, options);
    if (!graph)
        return eq_fail_memory(j->ctx, "a graph");
    return eq_program_compile(graph,
                              &(eq_program_options){.frozen_params = true,
                                                    .backend = options->backend,
                                                    .packed = options->packed,
                                                    .packed_user = options->packed_user},
                              &j->program);
}

/* As much again as it takes is left to the denoiser. */
static bool is_bounded(const eq_denoiser_options *options, size_t bytes)
{
    return options->total_bytes == 0 || options->held_bytes + 2 * bytes <= options->total_bytes;
}

/* Compiles for fewer images at a time until the bound is kept; for one, whatever it takes. */
static eq_status compile_within(eq_jacobian *j, const eq_unet_config *config, eq_params *params,
                                const eq_denoiser_options *options)
{
    int64_t limit = options->micro_batch > 0 ? options->micro_batch : MOST_IMAGES;
    for (j->micro_batch = limit < j->count ? limit : j->count;; j->micro_batch /= 2) {
        bool last = j->micro_batch == 1 || options->micro_batch > 0;
        size_t bytes = 0;
        if (options->total_bytes > 0 && !last)
            EQ_TRY(foresee_bytes(j, config, params, options, &bytes));
        if (!last && !is_bounded(options, bytes))
            continue;
        EQ_TRY(compile(j, config, params, options));
        if (last || is_bounded(options, eq_jacobian_bytes(j)))
            return EQ_OK;
        eq_program_free(j->program);
        j->program = NULL;
    }
}

eq_status eq_jacobian_new(eq_context *ctx, const eq_unet_config *config, eq_params *params,
                          const eq_denoiser_options *options, eq_jacobian **out)
{
    *out = NULL;
    if (config->cross_attention_dim > 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "the network's Jacobian is there for networks without prompts only");
    eq_jacobian *j = calloc(1, sizeof *j);
    if (!j)
        return eq_fail_memory(ctx, "a Jacobian");
    j->ctx = ctx;
    j->count = options->count;
    j->image = (int64_t)options->height * options->width * config->in_channels;
    j->class_labels = options->condition ? options->condition->class_labels : NULL;
    eq_status status = compile_within(j, config, params, options);
    if (status != EQ_OK) {
        eq_jacobian_free(j);
        return status;
    }
    *out = j;
    return EQ_OK;
}

void eq_jacobian_free(eq_jacobian *j)
{
    if (!j)
        return;
    eq_program_free(j->program);
    free(j);
}

/* rows: [n, image] into an input, zeros after them */
static void fill(eq_jacobian *j, eq_value input, const float *rows, int64_t n)
{
    float *to = eq_program_data(j->program, input);
    memcpy(to, rows, (size_t)(n * j->image) * sizeof *to);
    memset(to + n * j->image, 0, (size_t)((j->micro_batch - n) * j->image) * sizeof *to);
}

eq_status eq_jacobian_pull(eq_jacobian *j, const float *x, float timestep, const float *dprediction, float *dx)
{
    for (int64_t first = 0; first < j->count; first += j->micro_batch) {
        int64_t n = j->count - first < j->micro_batch ? j->count - first : j->micro_batch;
        if (eq_cancelled(j->ctx))
            return eq_fail(j->ctx, EQ_CANCELLED, "cancelled");
        fill(j, j->unet.sample, x + first * j->image, n);
        fill(j, j->dprediction, dprediction + first * j->image, n);
        for (int64_t i = 0; i < j->micro_batch; i++) {
            ((float *)eq_program_data(j->program, j->unet.timestep))[i] = timestep;
            if (j->unet.class_label != EQ_NONE)
                ((int32_t *)eq_program_data(j->program, j->unet.class_label))[i] =
                    j->class_labels ? j->class_labels[first + (i < n ? i : 0)] : 0;
        }
        EQ_TRY(eq_program_run(j->program));
        memcpy(dx + first * j->image, eq_program_data(j->program, j->dx), (size_t)(n * j->image) * sizeof *dx);
        j->passes += PASSES * (double)n;
    }
    return EQ_OK;
}

double eq_jacobian_passes(const eq_jacobian *j)
{
    return j->passes;
}

int64_t eq_jacobian_micro_batch(const eq_jacobian *j)
{
    return j->micro_batch;
}

size_t eq_jacobian_bytes(const eq_jacobian *j)
{
    return eq_program_bytes(j->program);
}
