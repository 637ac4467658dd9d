#include "train/text_model.h"

#include <stdlib.h>

#include "base/path.h"
#include "diffusion/latent.h"
#include "diffusion/model.h"
#include "diffusion/sampling.h"

/* Of the U-Net the caller has said channels, levels and where it attends; of the text transformer width and depth. */
static eq_status complete(eq_context *ctx, const eq_diffusion_run *run, const eq_training_text *text, int length,
                          eq_diffusion_training *t)
{
    int scale = eq_vae_scale(&text->vae.config);
    if (run->size < 1 || run->size % scale != 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "--size must be a multiple of the autoencoder's %d, not %d", scale,
                       run->size);
    t->unet.sample_size = run->size / scale;
    t->unet.in_channels = t->unet.out_channels = text->vae.config.latent_channels;
    t->unet.cross_attention_dim = t->text.hidden_size;
    t->unet.context_length = t->text.max_position_embeddings = length;
    t->text.vocab_size = eq_tokenizer_max_id(text->tokenizer) + 1;
    return EQ_OK;
}

static eq_status open_parts(eq_context *ctx, const eq_diffusion_run *run, eq_diffusion_training *t,
                            eq_training_text *out)
{
    int length;
    EQ_TRY(eq_model_vae_open(ctx, run->vae, &out->vae));
    EQ_TRY(eq_tokenizer_open(ctx, run->tokenizer, &out->tokenizer));
    EQ_TRY(eq_tokenizer_length(ctx, run->tokenizer, &length));
    EQ_TRY(complete(ctx, run, out, length, t));
    EQ_TRY(eq_unet_check(ctx, &t->unet, "the network's configuration"));
    EQ_TRY(eq_clip_text_check(ctx, &t->text, "the text transformer's configuration"));
    EQ_TRY(eq_make_folders(ctx, run->course.out));
    char *cache = eq_path_join(run->course.out, "latents.safetensors");
    eq_status status = cache ? EQ_OK : eq_fail_memory(ctx, "a path");
    if (status == EQ_OK)
        status = eq_latent_set_open(ctx,
                                    &(eq_latent_source){.images = run->images,
                                                        .captions = run->captions,
                                                        .cache = cache,
                                                        .size = run->size,
                                                        .strict = run->strict,
                                                        .vae = &out->vae,
                                                        .tokenizer = out->tokenizer,
                                                        .length = length,
                                                        .dtype = t->dtype},
                                    &out->set);
    free(cache);
    return status;
}

eq_status eq_training_text_open(eq_context *ctx, const eq_diffusion_run *run, eq_diffusion_training *training,
                                eq_training_text *out)
{
    eq_status status = open_parts(ctx, run, training, out);
    if (status != EQ_OK)
        eq_training_text_close(out);
    return status;
}

void eq_training_text_close(eq_training_text *text)
{
    eq_latent_set_close(&text->set);
    eq_tokenizer_free(text->tokenizer);
    eq_model_vae_close(&text->vae);
    *text = (eq_training_text){0};
}

/* --- samples --- */

/* Contexts of `count` captions spread over the set, then of the empty text. context: [count + 1, length, width] out */
static eq_status read_captions(eq_context *ctx, const eq_training_text *text, const eq_diffusion_trainer *trainer,
                               int count, float *context)
{
    const eq_clip_text_config *config = &trainer->options.text;
    const eq_latent_set *set = &text->set;
    eq_params params = eq_diffusion_trainer_text(trainer);
    params.trainable = false;
    eq_clip_text network;
    eq_program *program = NULL;
    eq_graph *graph = eq_graph_new(ctx, trainer->options.dtype);
    if (!graph)
        return eq_fail_memory(ctx, "a graph");
    eq_clip_text_build(&(eq_builder){graph, &params}, config, 1, set->length, &network);
    EQ_TRY(eq_program_compile(graph, &(eq_program_options){.frozen_params = true}, &program));
    eq_status status = EQ_OK;
    size_t numbers = (size_t)set->length * (size_t)config->hidden_size;
    for (int i = 0; status == EQ_OK && i <= count; i++) {
        int64_t caption = set->first[set->count * i / count];
        const int32_t *tokens = i == count ? set->empty : set->tokens + caption * set->length;
        eq_clip_text_fill(program, &network, tokens, 0);
        status = eq_program_run(program);
        memcpy(context + (size_t)i * numbers, eq_program_data(program, network.last), numbers * sizeof *context);
    }
    eq_program_free(program);
    return status;
}

/* latents: [count, side, side, channels] out. context: as above; prompt_of: [2 * count] */
static eq_status sample_latents(eq_context *ctx, const eq_diffusion_trainer *trainer, const eq_plan *plan, int count,
                                double cfg, const float *context, const int *prompt_of, float *latents)
{
    const eq_unet_config *unet = &trainer->options.unet;
    eq_params params = eq_diffusion_trainer_unet(trainer);
    eq_condition condition = {.context = context, .prompt_of = prompt_of};
    eq_denoiser_options options = {.count = 2 * count,
                                   .height = unet->sample_size,
                                   .width = unet->sample_size,
                                   .dtype = trainer->options.dtype,
                                   .condition = &condition};
    eq_denoiser *denoiser;
    EQ_TRY(eq_denoiser_new(ctx, unet, &params, &options, &denoiser));
    eq_status status = eq_sample(ctx,
                                 &(eq_sampling){.denoiser = denoiser,
                                                .cfg = cfg,
                                                .plan = plan,
                                                .n = count,
                                                .height = unet->sample_size,
                                                .width = unet->sample_size,
                                                .channels = unet->in_channels,
                                                .output_channels = unet->out_channels,
                                                .seed = trainer->options.seed},
                                 latents);
    eq_denoiser_free(denoiser);
    return status;
}

static eq_status decode(eq_context *ctx, const eq_training_text *text, int side, int count, const float *latents,
                        float *images)
{
    eq_latent_codec *codec;
    EQ_TRY(
        eq_latent_codec_new(ctx, &text->vae.config, text->vae.params, &(eq_latent_options){.dtype = EQ_F32}, &codec));
    eq_status status = eq_latent_decode(codec, latents, count, side, side, images);
    eq_latent_codec_free(codec);
    return status;
}

eq_status eq_training_text_sample(eq_context *ctx, const eq_training_text *text, const eq_diffusion_trainer *trainer,
                                  int count, int steps, double cfg, float *images)
{
    const eq_unet_config *unet = &trainer->options.unet;
    size_t numbers = (size_t)unet->sample_size * (size_t)unet->sample_size * (size_t)unet->in_channels;
    size_t width = (size_t)unet->context_length * (size_t)unet->cross_attention_dim;
    float *context = malloc((size_t)(count + 1) * width * sizeof *context);
    float *latents = malloc((size_t)count * numbers * sizeof *latents);
    int *prompt_of = malloc(2 * (size_t)count * sizeof *prompt_of);
    eq_plan plan = {0};
    eq_plan_options options = {.sampler = &eq_sampler_ddim, .steps = steps};
    eq_status status = context && latents && prompt_of ? eq_plan_new(ctx, &options, trainer->schedule, &plan)
                                                       : eq_fail_memory(ctx, "samples");
    for (int i = 0; status == EQ_OK && i < count; i++) {
        prompt_of[i] = count;
        prompt_of[count + i] = i;
    }
    if (status == EQ_OK)
        status = read_captions(ctx, text, trainer, count, context);
    if (status == EQ_OK)
        status = sample_latents(ctx, trainer, &plan, count, cfg, context, prompt_of, latents);
    if (status == EQ_OK)
        status = decode(ctx, text, unet->sample_size, count, latents, images);
    eq_plan_free(&plan);
    free(context);
    free(latents);
    free(prompt_of);
    return status;
}

/* --- the folder --- */

eq_status eq_training_text_save(eq_context *ctx, const eq_training_text *text, const eq_diffusion_trainer *trainer,
                                const eq_diffusion_run *run)
{
    eq_params unet = eq_diffusion_trainer_unet(trainer), transformer = eq_diffusion_trainer_text(trainer);
    eq_text_model model = {.unet = &trainer->options.unet,
                           .unet_params = &unet,
                           .text = &trainer->options.text,
                           .text_params = &transformer,
                           .bos = eq_tokenizer_bos(text->tokenizer),
                           .eos = eq_tokenizer_eos(text->tokenizer),
                           .pad = eq_tokenizer_pad(text->tokenizer),
                           .schedule = trainer->schedule,
                           .vae = run->vae,
                           .tokenizer = run->tokenizer};
    return eq_text_model_save(ctx, run->course.out, &model, run->save_dtype);
}
