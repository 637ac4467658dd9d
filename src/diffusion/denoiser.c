#include "diffusion/denoiser.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/process.h"
#include "tensor/plan.h"

enum { MOST_AT_A_TIME = 32 }; /* images, where the caller does not say */

struct eq_denoiser {
    eq_context *ctx;
    eq_program *program;
    eq_unet unet;
    int64_t count, micro_batch, batches;
    int64_t kept; /* the first `kept` micro-batches have a carry buffer of their own */
    unsigned char *carries;
    bool *told;       /* [kept] whether the carry buffer has what the network makes of the batch's context */
    int64_t own_told; /* the micro-batch whose context the program's own carry buffer has; -1: none */
    size_t carry_bytes;
    int64_t in_count, out_count, h_count; /* numbers an image */
    int64_t context_count, text_count;    /* numbers a prompt; 0 where the network takes none */
    int height, width;
    eq_dtype dtype;
    const eq_condition *condition;
    double passes;
};

/* Equal cuts: 100 images at most 32 at a time go as 4 x 25. */
static int64_t even_micro_batch(int64_t count, int64_t limit)
{
    int64_t batches = (count + limit - 1) / limit;
    return (count + batches - 1) / batches;
}

static eq_status make_graph(eq_denoiser *d, const eq_unet_config *config, eq_params *params,
                            const eq_denoiser_options *options, eq_graph **out)
{
    eq_graph *graph = eq_graph_new(d->ctx, options->dtype);
    if (!graph)
        return eq_fail_memory(d->ctx, "a graph");
    params->trainable = false;
    eq_status status =
        eq_unet_build(&(eq_builder){graph, params}, config, d->micro_batch, options->height, options->width, &d->unet);
    if (status != EQ_OK) {
        eq_graph_free(graph);
        return status;
    }
    *out = graph;
    return EQ_OK;
}

static eq_status compile(eq_denoiser *d, const eq_unet_config *config, eq_params *params,
                         const eq_denoiser_options *options)
{
    eq_graph *graph = NULL;
    EQ_TRY(make_graph(d, config, params, options, &graph));
    d->in_count = eq_shape_count(eq_shape_at(graph, d->unet.sample)) / d->micro_batch;
    d->out_count = eq_shape_count(eq_shape_at(graph, d->unet.prediction)) / d->micro_batch;
    d->h_count = eq_shape_count(eq_shape_at(graph, d->unet.h)) / d->micro_batch;
    if (d->unet.context != EQ_NONE)
        d->context_count = eq_shape_count(eq_shape_at(graph, d->unet.context)) / d->micro_batch;
    if (d->unet.text != EQ_NONE)
        d->text_count = eq_shape_count(eq_shape_at(graph, d->unet.text)) / d->micro_batch;
    return eq_program_compile(graph,
                              &(eq_program_options){.frozen_params = true,
                                                    .backend = options->backend,
                                                    .packed = options->packed,
                                                    .packed_user = options->packed_user},
                              &d->program);
}

/* What the run will take at least, before anything of it is taken: kernels may want more for scratch. */
static eq_status foresee_bytes(eq_denoiser *d, const eq_unet_config *config, eq_params *params,
                               const eq_denoiser_options *options, size_t *bytes)
{
    eq_graph *graph = NULL;
    EQ_TRY(make_graph(d, config, params, options, &graph));
    EQ_TRY(eq_graph_foresee_bytes(d->ctx, graph, bytes));
    *bytes += options->held_bytes + (size_t)params->total * eq_dtype_size(options->dtype);
    return EQ_OK;
}

/* What the run takes with the program as it is, without carry buffers. */
static size_t least_bytes(const eq_denoiser *d, const eq_denoiser_options *options)
{
    return options->held_bytes + eq_program_bytes(d->program);
}

static eq_status too_little_memory(const eq_denoiser *d, const eq_denoiser_options *options)
{
    static const double MB = 1 << 20;
    double need = (double)least_bytes(d, options) / MB, held = (double)options->held_bytes / MB;
    return eq_fail(
        d->ctx, EQ_BAD_USAGE,
        "%.0f MB of memory are too few: the process and %lld images in lock-step hold %.0f MB, and the network takes "
        "%.0f MB for %lld at a time; give it %.0f MB, or let fewer images share one mean (--coupled)",
        floor((double)options->total_bytes / MB), (long long)d->count, ceil(held), ceil(need - held),
        (long long)d->micro_batch, ceil(need));
}

static int64_t first_limit(const eq_denoiser_options *options)
{
    return options->micro_batch > 0 ? options->micro_batch : MOST_AT_A_TIME;
}

/* Compiles for fewer images at a time until the bound is kept. */
static eq_status compile_within(eq_denoiser *d, const eq_unet_config *config, eq_params *params,
                                const eq_denoiser_options *options)
{
    for (int64_t limit = first_limit(options);; limit = d->micro_batch / 2) {
        d->micro_batch = even_micro_batch(options->count, limit);
        bool last = d->micro_batch == 1 || options->micro_batch > 0;
        size_t bytes = 0;
        if (options->total_bytes > 0 && !last)
            EQ_TRY(foresee_bytes(d, config, params, options, &bytes));
        if (bytes > options->total_bytes)
            continue;
        EQ_TRY(compile(d, config, params, options));
        if (options->total_bytes == 0 || least_bytes(d, options) <= options->total_bytes)
            return EQ_OK;
        if (last)
            return too_little_memory(d, options);
        eq_program_free(d->program);
        d->program = NULL;
    }
}

static size_t carry_budget(const eq_denoiser *d, const eq_denoiser_options *options)
{
    if (options->total_bytes > 0)
        return options->total_bytes - least_bytes(d, options);
    return options->memory_bytes ? options->memory_bytes : eq_machine_memory() / 4;
}

static eq_status allocate_carries(eq_denoiser *d, size_t budget)
{
    eq_buffer_free(d->carries);
    free(d->told);
    d->carries = NULL;
    d->told = NULL;
    d->own_told = -1;
    d->carry_bytes = eq_program_memory_use(d->program).carry_bytes;
    int64_t fit = d->carry_bytes ? (int64_t)(budget / d->carry_bytes) : d->batches;
    d->kept = fit < d->batches ? fit : d->batches;
    if (d->kept <= 1) { /* the program's own buffer serves the last micro-batch encoded */
        d->kept = 0;
        return EQ_OK;
    }
    d->carries = eq_buffer_new((size_t)d->kept * d->carry_bytes);
    d->told = calloc((size_t)d->kept, sizeof *d->told);
    return d->carries && d->told ? EQ_OK : eq_fail_memory(d->ctx, "the encoder's results");
}

static eq_status check(eq_context *ctx, const eq_unet_config *config, const eq_denoiser_options *options)
{
    int multiple = eq_unet_size_multiple(config);
    if (options->count < 1)
        return eq_fail(ctx, EQ_BAD_USAGE, "count must be 1 or more, not %lld", (long long)options->count);
    if (options->height < multiple || options->width < multiple || options->height % multiple ||
        options->width % multiple)
        return eq_fail(ctx, EQ_BAD_USAGE, "the image size must be a multiple of %d for this network, not %d x %d",
                       multiple, options->width, options->height);
    const eq_condition *condition = options->condition;
    if (config->cross_attention_dim > 0 && (!condition || !condition->context))
        return eq_fail(ctx, EQ_BAD_USAGE, "this network is told what to show by a prompt; give one");
    if (config->addition_time_dim > 0 && !condition->text)
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "this network takes the pooled state of a second text encoder; there is none");
    for (int64_t i = 0; condition && condition->class_labels && i < options->count; i++)
        if (condition->class_labels[i] < 0 || condition->class_labels[i] >= config->num_class_embeds)
            return eq_fail(ctx, EQ_BAD_USAGE,
                           "this network knows %d classes of images, numbered from 0; there is no %d",
                           config->num_class_embeds, condition->class_labels[i]);
    return EQ_OK;
}

bool eq_denoiser_fits(const eq_denoiser *d, const eq_denoiser_options *options)
{
    if (options->height != d->height || options->width != d->width || options->dtype != d->dtype)
        return false;
    for (int64_t limit = first_limit(options), n; limit > 0; limit = n / 2) {
        n = even_micro_batch(options->count, limit);
        if (n <= d->micro_batch || options->total_bytes == 0 || options->micro_batch > 0)
            return n == d->micro_batch &&
                   (options->total_bytes == 0 || least_bytes(d, options) <= options->total_bytes);
    }
    return false;
}

eq_status eq_denoiser_restart(eq_denoiser *d, const eq_denoiser_options *options)
{
    d->condition = options->condition;
    d->count = options->count;
    d->batches = (d->count + d->micro_batch - 1) / d->micro_batch;
    d->passes = 0;
    return allocate_carries(d, carry_budget(d, options));
}

eq_status eq_denoiser_new(eq_context *ctx, const eq_unet_config *config, eq_params *params,
                          const eq_denoiser_options *options, eq_denoiser **out)
{
    *out = NULL;
    EQ_TRY(check(ctx, config, options));
    eq_denoiser *d = calloc(1, sizeof *d);
    if (!d)
        return eq_fail_memory(ctx, "a denoiser");
    d->ctx = ctx;
    d->count = options->count;
    d->height = options->height;
    d->width = options->width;
    d->dtype = options->dtype;
    eq_status status = compile_within(d, config, params, options);
    if (status == EQ_OK)
        status = eq_denoiser_restart(d, options);
    if (status != EQ_OK) {
        eq_denoiser_free(d);
        return status;
    }
    *out = d;
    return EQ_OK;
}

void eq_denoiser_free(eq_denoiser *d)
{
    if (!d)
        return;
    eq_program_free(d->program);
    eq_buffer_free(d->carries);
    free(d->told);
    free(d);
}

int64_t eq_denoiser_h_count(const eq_denoiser *d)
{
    return d->h_count;
}

eq_shape eq_denoiser_h_shape(const eq_denoiser *d)
{
    const eq_shape *shape = eq_shape_at(eq_program_graph(d->program), d->unet.h);
    return eq_shape_of(shape->dim[1], shape->dim[2], shape->dim[3]);
}

int64_t eq_denoiser_micro_batch(const eq_denoiser *d)
{
    return d->micro_batch;
}

size_t eq_denoiser_carry_bytes(const eq_denoiser *d)
{
    return (size_t)d->kept * d->carry_bytes;
}

eq_program *eq_denoiser_program(eq_denoiser *d)
{
    return d->program;
}

double eq_denoiser_passes(const eq_denoiser *d)
{
    return d->passes;
}

/* Images in micro-batch b; the last may be shorter. */
static int64_t batch_images(const eq_denoiser *d, int64_t b)
{
    int64_t left = d->count - b * d->micro_batch;
    return left < d->micro_batch ? left : d->micro_batch;
}

/* Rows that fill up the last micro-batch are told what its first row is. */
static int64_t prompt_of(const eq_denoiser *d, int64_t first, int64_t images, int64_t i)
{
    const eq_condition *c = d->condition;
    return c && c->prompt_of ? c->prompt_of[first + (i < images ? i : 0)] : 0;
}

/* Computes what depends on the batch's context alone, unless it stands in the carry buffer, which is the batch's. */
static eq_status tell_context(eq_denoiser *d, int64_t b)
{
    int64_t first = b * d->micro_batch, images = batch_images(d, b);
    if (d->context_count == 0 || (b < d->kept ? d->told[b] : d->own_told == b))
        return EQ_OK;
    float *context = eq_program_data(d->program, d->unet.context);
    for (int64_t i = 0; i < d->micro_batch; i++)
        memcpy(context + i * d->context_count,
               d->condition->context + prompt_of(d, first, images, i) * d->context_count,
               (size_t)d->context_count * sizeof(float));
    EQ_TRY(eq_program_run_stage(d->program, EQ_UNET_CONTEXT));
    if (b < d->kept)
        d->told[b] = true;
    else
        d->own_told = b;
    return EQ_OK;
}

static void fill_condition(eq_denoiser *d, int64_t first, int64_t images)
{
    const eq_condition *c = d->condition;
    for (int64_t i = 0; i < d->micro_batch; i++) {
        int64_t row = first + (i < images ? i : 0), prompt = prompt_of(d, first, images, i);
        if (d->text_count)
            memcpy((float *)eq_program_data(d->program, d->unet.text) + i * d->text_count,
                   c->text + prompt * d->text_count, (size_t)d->text_count * sizeof(float));
        if (d->unet.time_ids != EQ_NONE)
            memcpy((float *)eq_program_data(d->program, d->unet.time_ids) + i * EQ_UNET_TIME_IDS, c->time_ids,
                   sizeof c->time_ids);
        if (d->unet.class_label != EQ_NONE)
            ((int32_t *)eq_program_data(d->program, d->unet.class_label))[i] =
                c && c->class_labels ? c->class_labels[row] : 0;
    }
}

static eq_status encode_batch(eq_denoiser *d, int64_t b, const float *x, float timestep)
{
    eq_program_set_carry(d->program, b < d->kept ? d->carries + (size_t)b * d->carry_bytes : NULL);
    int64_t images = batch_images(d, b);
    EQ_TRY(tell_context(d, b)); /* first: its memory serves others after */
    float *sample = eq_program_data(d->program, d->unet.sample);
    float *t = eq_program_data(d->program, d->unet.timestep);
    memcpy(sample, x + b * d->micro_batch * d->in_count, (size_t)(images * d->in_count) * sizeof(float));
    memset(sample + images * d->in_count, 0, (size_t)((d->micro_batch - images) * d->in_count) * sizeof(float));
    for (int64_t i = 0; i < d->micro_batch; i++)
        t[i] = timestep;
    fill_condition(d, b * d->micro_batch, images);
    d->passes += 0.5 * (double)images;
    return eq_program_run_stage(d->program, EQ_UNET_ENCODE);
}

static eq_status decode_batch(eq_denoiser *d, int64_t b, float *prediction)
{
    eq_program_set_carry(d->program, b < d->kept ? d->carries + (size_t)b * d->carry_bytes : NULL);
    EQ_TRY(eq_program_run_stage(d->program, EQ_UNET_DECODE));
    int64_t images = batch_images(d, b);
    d->passes += 0.5 * (double)images;
    memcpy(prediction + b * d->micro_batch * d->out_count, eq_program_data(d->program, d->unet.prediction),
           (size_t)(images * d->out_count) * sizeof(float));
    return EQ_OK;
}

static void read_h(eq_denoiser *d, int64_t b, float *h)
{
    const eq_value_info *info = eq_info(eq_program_graph(d->program), d->unet.h);
    eq_tensor tensor = {info->dtype, eq_shape_of(batch_images(d, b) * d->h_count),
                        eq_program_data(d->program, d->unet.h)};
    eq_tensor_to_f32(&tensor, h + b * d->micro_batch * d->h_count);
}

static void write_h(eq_denoiser *d, int64_t b, const float *h)
{
    int64_t count = batch_images(d, b) * d->h_count;
    const float *from = h + b * d->micro_batch * d->h_count;
    void *to = eq_program_data(d->program, d->unet.h);
    if (eq_info(eq_program_graph(d->program), d->unet.h)->dtype == EQ_F32) {
        memcpy(to, from, (size_t)count * sizeof(float));
        return;
    }
    for (int64_t i = 0; i < count; i++)
        ((uint16_t *)to)[i] = eq_f32_to_bf16(from[i]);
}

eq_status eq_denoiser_encode(eq_denoiser *d, const float *x, float timestep, float *h)
{
    for (int64_t b = 0; b < d->batches; b++) {
        if (eq_cancelled(d->ctx))
            return eq_fail(d->ctx, EQ_CANCELLED, "cancelled");
        EQ_TRY(encode_batch(d, b, x, timestep));
        read_h(d, b, h);
    }
    return EQ_OK;
}

eq_status eq_denoiser_decode(eq_denoiser *d, const float *x, float timestep, const float *h, float *prediction)
{
    for (int64_t b = 0; b < d->batches; b++) {
        if (eq_cancelled(d->ctx))
            return eq_fail(d->ctx, EQ_CANCELLED, "cancelled");
        bool there = b < d->kept || d->batches == 1;
        if (!there)
            EQ_TRY(encode_batch(d, b, x, timestep));
        else
            eq_program_set_carry(d->program, b < d->kept ? d->carries + (size_t)b * d->carry_bytes : NULL);
        write_h(d, b, h);
        EQ_TRY(decode_batch(d, b, prediction));
    }
    return EQ_OK;
}

eq_status eq_denoiser_run(eq_denoiser *d, const float *x, float timestep, float *prediction)
{
    for (int64_t b = 0; b < d->batches; b++) {
        if (eq_cancelled(d->ctx))
            return eq_fail(d->ctx, EQ_CANCELLED, "cancelled");
        EQ_TRY(encode_batch(d, b, x, timestep));
        EQ_TRY(decode_batch(d, b, prediction));
    }
    return EQ_OK;
}
