/* The Stable Diffusion fixture through the tool's own sampling loop: its contexts, its noise, classifier-free guidance.
 */
#ifndef EQ_TESTS_SD_RUN_H
#define EQ_TESTS_SD_RUN_H

#include "base/memory.h"
#include "diffusion/model.h"
#include "diffusion/sampling.h"
#include "reference/compare.h"

/* The fixtures' README says so; the file does not. */
static const double sd_guidance_scale = 7.5;

/* Stays where it is: the denoiser points into it. */
typedef struct sd_run {
    int64_t n;
    int *prompt_of;  /* [2n] the negative prompt's rows, then the prompt's */
    float *contexts; /* [2, length, width] */
    eq_condition condition;
    eq_denoiser *denoiser;
    eq_sampling sampling; /* a hook may be put in */
} sd_run;

/* model, reference and plan must last as long. */
static inline eq_status sd_run_open(eq_context *ctx, const eq_model *model, const eq_tensor_file *reference,
                                    const eq_plan *plan, eq_dtype dtype, sd_run *out)
{
    const eq_tensor *prompt = eq_tensor_file_find(reference, "prompt_emb"),
                    *negative = eq_tensor_file_find(reference, "negative_emb"),
                    *noise = eq_tensor_file_find(reference, "latent_noise");
    if (!prompt || !negative || !noise)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: no prompt_emb, negative_emb or latent_noise", reference->path);
    int64_t count = eq_shape_count(&prompt->shape);
    int side = model->unet.sample_size;
    *out = (sd_run){.n = noise->shape.dim[0]};
    out->contexts = malloc((size_t)(2 * count) * sizeof *out->contexts);
    out->prompt_of = malloc((size_t)(2 * out->n) * sizeof *out->prompt_of);
    eq_tensor_to_f32(negative, out->contexts);
    eq_tensor_to_f32(prompt, out->contexts + count);
    for (int64_t i = 0; i < 2 * out->n; i++)
        out->prompt_of[i] = i >= out->n;
    out->condition = (eq_condition){.context = out->contexts, .prompt_of = out->prompt_of};
    EQ_TRY(eq_denoiser_new(
        ctx, &model->unet, model->params,
        &(eq_denoiser_options){
            .count = 2 * out->n, .condition = &out->condition, .height = side, .width = side, .dtype = dtype},
        &out->denoiser));
    out->sampling = (eq_sampling){.denoiser = out->denoiser,
                                  .cfg = sd_guidance_scale,
                                  .plan = plan,
                                  .n = out->n,
                                  .height = side,
                                  .width = side,
                                  .channels = model->unet.in_channels,
                                  .output_channels = model->unet.out_channels};
    return EQ_OK;
}

/* x: [n, h, w, c] standard normal noise in, latents out. */
static inline eq_status sd_run_sample(eq_context *ctx, const sd_run *run, float *x)
{
    const eq_sampling *s = &run->sampling;
    eq_sampling_state state = {.x = x, .history = eq_buffer_new(eq_sampling_history_count(s) * sizeof(float))};
    int64_t count = s->n * s->height * s->width * s->channels;
    for (int64_t k = 0; k < count; k++)
        x[k] *= (float)s->plan->init_noise_scale;
    for (size_t k = 0; k < eq_sampling_history_count(s); k++)
        state.history[k] = 0;
    eq_status status = eq_sampling_continue(ctx, s, &state);
    eq_buffer_free(state.history);
    return status;
}

static inline void sd_run_close(sd_run *run)
{
    eq_denoiser_free(run->denoiser);
    free(run->contexts);
    free(run->prompt_of);
}

#endif
