#include "run/prompts.h"

#include <stdlib.h>
#include <string.h>

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

static eq_status count_images(eq_context *ctx, const eq_generate_options *o, eq_prompts *out)
{
    out->count = o->prompt_count;
    out->first = malloc(((size_t)o->prompt_count + 1) * sizeof *out->first);
    if (!out->first)
        return eq_fail_memory(ctx, "the prompts");
    out->first[0] = 0;
    for (int i = 0; i < o->prompt_count; i++)
        out->first[i + 1] = out->first[i] + (o->prompt_images ? o->prompt_images[i] : o->count);
    return EQ_OK;
}

/* Takes over the key. */
static eq_status encode_texts(eq_pipeline *pipeline, eq_prompt_encoder *encoder, const char *const *texts, int count,
                              char *key, eq_encoded **out)
{
    eq_context *ctx = pipeline->ctx;
    const eq_unet_config *unet = &pipeline->model.unet;
    int length = eq_prompt_length(encoder), width = eq_prompt_width(encoder);
    size_t context = (size_t)length * (size_t)width, pooled = (size_t)eq_prompt_pooled_width(encoder);
    if (width != unet->cross_attention_dim || length != unet->context_length) {
        free(key);
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: its text encoder gives %d x %d numbers, its U-Net takes %d x %d",
                       pipeline->model.folder, length, width, unet->context_length, unet->cross_attention_dim);
    }
    EQ_TRY(eq_encoded_new(ctx, key, (size_t)count * context, (size_t)count * pooled, out));
    for (int i = 0; i < count; i++)
        EQ_TRY(eq_prompt_encode(ctx, encoder, texts[i], (*out)->context + (size_t)i * context,
                                pooled ? (*out)->text + (size_t)i * pooled : NULL, NULL));
    return EQ_OK;
}

/* The pipeline's encoded texts are these. Takes over the key. */
static eq_status encode(eq_pipeline *pipeline, const eq_generate_options *o, const char *const *texts, int count,
                        char *key)
{
    eq_prompt_encoder *encoder;
    eq_encoded *encoded = NULL;
    if (pipeline->encoded && strcmp(pipeline->encoded->key, key) == 0) {
        free(key);
        return EQ_OK;
    }
    eq_status status = open_encoder(pipeline, o, &encoder);
    if (status != EQ_OK) {
        free(key);
        return status;
    }
    status = encode_texts(pipeline, encoder, texts, count, key, &encoded);
    eq_prompt_encoder_close(encoder);
    if (status != EQ_OK) {
        eq_encoded_release(encoded);
        return status;
    }
    eq_encoded_release(pipeline->encoded);
    pipeline->encoded = encoded;
    return EQ_OK;
}

static eq_status encode_all(eq_pipeline *pipeline, const eq_generate_options *o, eq_prompts *out)
{
    const eq_wording *w = &out->wording;
    int count = 1 + w->prompts * w->variants + w->edits;
    const char **texts = malloc((size_t)count * sizeof *texts);
    if (!texts)
        return eq_fail_memory(pipeline->ctx, "the prompts");
    texts[0] = o->negative_prompt;
    for (int i = 1; i < count; i++)
        texts[i] = w->texts[i - 1];
    char *key = eq_encoded_key(texts, count, o->tokenizer, o->bf16);
    eq_status status = key ? encode(pipeline, o, texts, count, key) : eq_fail_memory(pipeline->ctx, "the prompts");
    free(texts);
    EQ_TRY(status);
    out->encoded = eq_encoded_hold(pipeline->encoded);
    out->context = out->encoded->context;
    out->text = out->encoded->text;
    return EQ_OK;
}

eq_status eq_prompts_encode(eq_pipeline *pipeline, const eq_generate_options *o, eq_text_rule rule,
                            const eq_targets *targets, eq_prompts *out)
{
    *out = (eq_prompts){0};
    if (!eq_model_prompted(&pipeline->model)) {
        if (o->prompt_count > 0 || o->negative_prompt || o->class_word_count > 0)
            return eq_fail(pipeline->ctx, EQ_BAD_USAGE, "%s takes no prompt: it has no text encoder",
                           pipeline->model.folder);
        return EQ_OK;
    }
    eq_class_words words = {o->class_words, o->class_word_count};
    EQ_TRY(check(pipeline, o));
    EQ_TRY(eq_wording_make(pipeline->ctx, o->prompts, o->prompt_count, rule, &words, targets, &out->wording));
    eq_status status = count_images(pipeline->ctx, o, out);
    if (status == EQ_OK)
        status = encode_all(pipeline, o, out);
    if (status != EQ_OK)
        eq_prompts_free(out);
    return status;
}

void eq_prompts_free(eq_prompts *prompts)
{
    eq_wording_free(&prompts->wording);
    eq_encoded_release(prompts->encoded);
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

int eq_prompts_text_of(const eq_prompts *p, int64_t image, const eq_targets *targets, const int *cells, int64_t stride)
{
    return eq_prompts_of(p, image) * p->wording.variants + eq_wording_variant(&p->wording, targets, cells, stride);
}
