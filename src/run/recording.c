#include "run/recording.h"

#include <stdlib.h>

#include "run/settings.h"

/* Rows of a group, where the user does not say: one pass through the network, so that nothing of it is computed twice
 * for want of memory. */
enum { MOST_ROWS = 32 };

/* Images of the largest group. Equal cuts: 100 images at most 32 at a time go as 4 x 25. */
static int64_t group_images(const eq_recording *r)
{
    int64_t rows = r->options->micro_batch > 0 ? r->options->micro_batch : MOST_ROWS;
    int64_t limit = r->cfg != 0 && rows > 1 ? rows / 2 : rows;
    int64_t groups = (r->options->count + limit - 1) / limit;
    return (r->options->count + groups - 1) / groups;
}

static eq_status open_prompts(eq_recording *r, bool from_images)
{
    static const char *const empty[] = {""};
    const eq_record_options *o = r->options;
    bool prompted = eq_model_prompted(&r->pipeline->model);
    eq_generate_options options = {.count = o->count,
                                   .prompts = o->prompts,
                                   .prompt_images = o->prompt_images,
                                   .prompt_count = o->prompt_count,
                                   .negative_prompt = o->negative_prompt,
                                   .cfg = o->cfg,
                                   .tokenizer = o->tokenizer,
                                   .bf16 = o->bf16};
    if (from_images && prompted && o->prompt_count == 0) {
        options.prompts = empty;
        options.prompt_count = 1;
    }
    if (from_images && prompted)
        options.cfg = 1;
    const eq_targets nothing = {0};
    return eq_run_prompts(r->pipeline, &options, EQ_TEXT_NONE, &nothing, &r->prompts, &r->cfg);
}

static eq_status open_condition(eq_recording *r)
{
    float side = (float)eq_model_image_size(&r->pipeline->model);
    r->most = group_images(r);
    r->prompt_of = calloc((size_t)(2 * r->most), sizeof *r->prompt_of);
    r->condition = (eq_condition){.context = r->prompts.context,
                                  .text = r->prompts.text,
                                  .prompt_of = r->prompt_of,
                                  .time_ids = {side, side, 0, 0, side, side}};
    return r->prompt_of ? EQ_OK : eq_fail_memory(r->pipeline->ctx, "a group of images");
}

static eq_status open_codec(eq_recording *r)
{
    const eq_model *model = &r->pipeline->model;
    if (!model->latent)
        return EQ_OK;
    eq_latent_options options = {.dtype = r->options->bf16 ? EQ_BF16 : EQ_F32};
    return eq_latent_codec_new(r->pipeline->ctx, &model->vae, model->vae_params, &options, &r->codec);
}

static eq_status open_writer(eq_recording *r, const char *path, bool ascending)
{
    const eq_record_options *o = r->options;
    eq_model *model = &r->pipeline->model;
    const char *hash;
    EQ_TRY(eq_model_hash(r->pipeline->ctx, model, &hash));
    r->heads = (r->plan.steps + o->every - 1) / o->every;
    r->timesteps = calloc((size_t)r->heads, sizeof *r->timesteps);
    r->steps = calloc((size_t)r->heads, sizeof *r->steps);
    if (!r->timesteps || !r->steps)
        return eq_fail_memory(r->pipeline->ctx, "timesteps");
    /* Counted from the last step, so that the cleanest timestep has a head of its own. */
    for (int i = 0; i < r->heads; i++) {
        int step = r->plan.steps - 1 - i * o->every, at = ascending ? i : r->heads - 1 - i;
        r->steps[at] = step;
        r->timesteps[at] = (int64_t)r->plan.call[step].timestep;
    }
    return eq_h_writer_open(r->pipeline->ctx, path, r->timesteps, r->steps, r->heads, o->count, model->h_shape, hash,
                            &r->writer);
}

eq_status eq_recording_open(eq_recording *r, const char *path, bool from_images)
{
    const eq_record_options *o = r->options;
    eq_plan_options plan = {.sampler = &eq_sampler_ddim, .steps = o->steps, .eta = o->eta};
    EQ_TRY(eq_plan_new(r->pipeline->ctx, &plan, &r->pipeline->model.schedule, &r->plan));
    EQ_TRY(open_prompts(r, from_images));
    EQ_TRY(open_condition(r));
    EQ_TRY(open_codec(r));
    return open_writer(r, path, from_images);
}

eq_status eq_recording_close(eq_recording *r, eq_status status)
{
    if (status == EQ_OK)
        status = eq_h_writer_commit(&r->writer);
    else
        eq_h_writer_abort(&r->writer);
    eq_denoiser_free(r->denoiser);
    eq_latent_codec_free(r->codec);
    eq_plan_free(&r->plan);
    eq_prompts_free(&r->prompts);
    free(r->timesteps);
    free(r->steps);
    free(r->prompt_of);
    return status;
}

/* The network for so many rows, ready for prompts that it has not seen. */
static eq_status ready_denoiser(eq_recording *r, int64_t rows)
{
    const eq_model *model = &r->pipeline->model;
    eq_denoiser_options options = {.count = rows,
                                   .condition = &r->condition,
                                   .micro_batch = r->options->micro_batch,
                                   .height = model->unet.sample_size,
                                   .width = model->unet.sample_size,
                                   .dtype = r->options->bf16 ? EQ_BF16 : EQ_F32};
    if (r->rows == rows)
        return eq_denoiser_restart(r->denoiser, &options);
    eq_denoiser_free(r->denoiser);
    r->denoiser = NULL;
    r->rows = rows;
    return eq_denoiser_new(r->pipeline->ctx, &model->unet, model->params, &options, &r->denoiser);
}

eq_status eq_recording_begin(eq_recording *r, int64_t first)
{
    int64_t left = r->options->count - first;
    r->first = first;
    r->n = left < r->most ? left : r->most;
    int64_t unconditional = r->cfg != 0 ? r->n : 0; /* rows, which come first */
    memset(r->prompt_of, 0, (size_t)unconditional * sizeof *r->prompt_of);
    for (int64_t i = 0; i < r->n && r->prompts.count > 0; i++)
        r->prompt_of[unconditional + i] = 1 + eq_prompts_of(&r->prompts, first + i);
    eq_h_writer_begin(&r->writer, first, r->n);
    return ready_denoiser(r, unconditional + r->n);
}

size_t eq_recording_count(const eq_recording *r)
{
    const eq_unet_config *unet = &r->pipeline->model.unet;
    return (size_t)unet->sample_size * (size_t)unet->sample_size * (size_t)unet->in_channels;
}

size_t eq_recording_bytes(const eq_recording *r)
{
    size_t side = (size_t)eq_model_image_size(&r->pipeline->model);
    return side * side * 3;
}

void eq_recording_progress(const eq_recording *r, int done)
{
    const eq_record_options *o = r->options;
    if (o->progress)
        o->progress(o->progress_user, r->first * r->plan.steps + r->n * done, o->count * r->plan.steps);
}

static void show_steps(void *user, int done, int steps)
{
    eq_recording_progress(user, done);
}

eq_sampling eq_recording_sampling(eq_recording *r)
{
    const eq_unet_config *unet = &r->pipeline->model.unet;
    return (eq_sampling){.denoiser = r->denoiser,
                         .cfg = r->cfg,
                         .plan = &r->plan,
                         .n = r->n,
                         .first_index = r->first,
                         .height = unet->sample_size,
                         .width = unet->sample_size,
                         .channels = unet->in_channels,
                         .output_channels = unet->out_channels,
                         .seed = r->options->seed,
                         .progress = show_steps,
                         .progress_user = r};
}
