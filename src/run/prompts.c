#include "run/prompts.h"

#include <stdlib.h>

#include "base/path.h"
#include "diffusion/prompt.h"

static eq_status check(const eq_pipeline *pipeline, const eq_generate_options *o)
{
    eq_context *ctx = pipeline->ctx;
    int64_t images = 0;
    if (o->prompt_count < 1 || !o->prompts)
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "%s makes images from text: give it a prompt, such as --prompt \"a portrait\"",
                       pipeline->model.folder);
    for (int i = 0; o->prompt_images && i < o->prompt_count; i++) {
        if (o->prompt_images[i] < 1)
            return eq_fail(ctx, EQ_BAD_USAGE, "prompt %d is for %lld images; expected 1 or more", i + 1,
                           (long long)o->prompt_images[i]);
        images += o->prompt_images[i];
    }
    if (o->prompt_images && images != o->count)
        return eq_fail(ctx, EQ_BAD_USAGE, "the prompts are for %lld images, the run for %lld", (long long)images,
                       (long long)o->count);
    if (!o->prompt_images && o->prompt_count > 1)
        return eq_fail(ctx, EQ_BAD_USAGE, "several prompts, but not how many images of each");
    return EQ_OK;
}

static eq_status open_encoder(const eq_pipeline *pipeline, const eq_generate_options *o, eq_prompt_encoder **out)
{
    const eq_model *model = &pipeline->model;
    eq_prompt_options options = {.tokenizer = o->tokenizer, .dtype = o->bf16 ? EQ_BF16 : EQ_F32};
    if (eq_path_is_folder(model->folder))
        return eq_prompt_encoder_open(pipeline->ctx, model->folder, &options, out);
    if (!o->tokenizer)
        return eq_fail(pipeline->ctx, EQ_BAD_USAGE,
                       "%s: a single file holds no tokenizer; name the folder of its vocab.json and merges.txt with "
                       "--tokenizer",
                       model->folder);
    return eq_prompt_encoder_open_checkpoint(pipeline->ctx, &model->weights, &options, out);
}

static eq_status allocate(eq_context *ctx, const eq_generate_options *o, size_t context, size_t pooled, eq_prompts *out)
{
    size_t rows = (size_t)o->prompt_count + 1;
    out->context = malloc(rows * context * sizeof(float));
    out->text = pooled ? malloc(rows * pooled * sizeof(float)) : NULL;
    out->first = malloc(rows * sizeof *out->first);
    if (!out->context || !out->first || (pooled && !out->text))
        return eq_fail_memory(ctx, "the prompts");
    out->first[0] = 0;
    for (int i = 0; i < o->prompt_count; i++)
        out->first[i + 1] = out->first[i] + (o->prompt_images ? o->prompt_images[i] : o->count);
    out->count = o->prompt_count;
    return EQ_OK;
}

static eq_status encode_all(eq_pipeline *pipeline, const eq_generate_options *o, eq_prompt_encoder *encoder,
                            eq_prompts *out)
{
    eq_context *ctx = pipeline->ctx;
    const eq_unet_config *unet = &pipeline->model.unet;
    int length = eq_prompt_length(encoder), width = eq_prompt_width(encoder), pooled = eq_prompt_pooled_width(encoder);
    if (width != unet->cross_attention_dim || length != unet->context_length)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: its text encoder gives %d x %d numbers, its U-Net takes %d x %d",
                       pipeline->model.folder, length, width, unet->context_length, unet->cross_attention_dim);
    size_t context = (size_t)length * (size_t)width;
    EQ_TRY(allocate(ctx, o, context, (size_t)pooled, out));
    for (int i = 0; i <= o->prompt_count; i++) {
        const char *text = i == 0 ? o->negative_prompt : o->prompts[i - 1];
        EQ_TRY(eq_prompt_encode(ctx, encoder, text, out->context + (size_t)i * context,
                                pooled ? out->text + (size_t)i * (size_t)pooled : NULL, NULL));
    }
    return EQ_OK;
}

eq_status eq_prompts_encode(eq_pipeline *pipeline, const eq_generate_options *o, eq_prompts *out)
{
    *out = (eq_prompts){0};
    if (!eq_model_prompted(&pipeline->model)) {
        if (o->prompt_count > 0 || o->negative_prompt)
            return eq_fail(pipeline->ctx, EQ_BAD_USAGE, "%s takes no prompt: it has no text encoder",
                           pipeline->model.folder);
        return EQ_OK;
    }
    eq_prompt_encoder *encoder;
    EQ_TRY(check(pipeline, o));
    EQ_TRY(open_encoder(pipeline, o, &encoder));
    eq_status status = encode_all(pipeline, o, encoder, out);
    eq_prompt_encoder_close(encoder);
    if (status != EQ_OK)
        eq_prompts_free(out);
    return status;
}

void eq_prompts_free(eq_prompts *prompts)
{
    free(prompts->context);
    free(prompts->text);
    free(prompts->first);
    *prompts = (eq_prompts){0};
}

int eq_prompts_of(const eq_prompts *prompts, int64_t image)
{
    int prompt = 0;
    while (prompt + 1 < prompts->count && image >= prompts->first[prompt + 1])
        prompt++;
    return prompt;
}
