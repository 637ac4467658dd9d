#include "diffusion/prompt.h"

#include <stdlib.h>

#include "base/path.h"
#include "models/clip_text_file.h"
#include "text/tokenizer.h"

/* A tokenizer and its text model. */
typedef struct tower {
    eq_tokenizer *tokenizer;
    eq_clip_text_file file;
    eq_clip_text text;
    eq_program *program; /* for one prompt */
    int32_t *ids;        /* [length] */
} tower;

struct eq_prompt_encoder {
    tower towers[2];
    int count;
    bool zeros_for_none; /* "force_zeros_for_empty_prompt" */
};

/* --- opening --- */

static eq_status compile(eq_context *ctx, tower *t, const eq_prompt_options *options)
{
    eq_graph *graph = eq_graph_new(ctx, options->dtype);
    if (!graph)
        return eq_fail_memory(ctx, "a graph");
    int length = t->file.config.max_position_embeddings;
    t->file.params->trainable = false;
    eq_clip_text_build(&(eq_builder){graph, t->file.params}, &t->file.config, 1, length, &t->text);
    EQ_TRY(eq_program_compile(graph, &(eq_program_options){.frozen_params = true, .backend = options->backend},
                              &t->program));
    t->ids = calloc((size_t)length, sizeof *t->ids);
    return t->ids ? EQ_OK : eq_fail_memory(ctx, "a prompt's tokens");
}

static eq_status open_tokenizer(eq_context *ctx, const char *folder, tower *t)
{
    EQ_TRY(eq_tokenizer_open(ctx, folder, &t->tokenizer));
    int rows = t->file.config.vocab_size, max_id = (int)eq_tokenizer_max_id(t->tokenizer);
    if (max_id >= rows)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: ids up to %d, the text model knows 0 to %d: another model's tokenizer",
                       folder, max_id, rows - 1);
    return EQ_OK;
}

static eq_status open_tower(eq_context *ctx, const char *model, const char *encoder_name, const char *tokenizer,
                            const eq_prompt_options *options, tower *t)
{
    char *encoder = eq_path_join(model, encoder_name);
    eq_status status = encoder ? eq_clip_text_file_open(ctx, encoder, &t->file) : eq_fail_memory(ctx, "a path");
    free(encoder);
    EQ_TRY(status);
    EQ_TRY(open_tokenizer(ctx, tokenizer, t));
    return compile(ctx, t, options);
}

static eq_status read_index(eq_context *ctx, const char *model, eq_prompt_encoder *encoder)
{
    char *path = eq_path_join(model, "model_index.json");
    if (!path)
        return eq_fail_memory(ctx, "a path");
    eq_json json = {0};
    eq_status status = eq_path_exists(path) ? eq_json_read(ctx, path, &json) : EQ_OK;
    if (status == EQ_OK && json.object)
        status = eq_json_bool_or(ctx, &json, "force_zeros_for_empty_prompt", false, &encoder->zeros_for_none);
    eq_json_close(&json);
    free(path);
    return status;
}

static bool has_folder(const char *model, const char *name)
{
    char *path = eq_path_join(model, name);
    bool there = path && eq_path_is_folder(path);
    free(path);
    return there;
}

bool eq_prompt_needed(const char *model_folder)
{
    return has_folder(model_folder, "text_encoder");
}

/* The two models' states stand side by side. */
static eq_status check_pair(eq_context *ctx, const char *model, const eq_prompt_encoder *encoder)
{
    const eq_clip_text_config *a = &encoder->towers[0].file.config, *b = &encoder->towers[1].file.config;
    if (a->max_position_embeddings != b->max_position_embeddings)
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: text_encoder takes %d tokens, text_encoder_2 %d; they must take the same", model,
                       a->max_position_embeddings, b->max_position_embeddings);
    if (!b->projection_dim)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: text_encoder_2 has no projection; expected CLIPTextModelWithProjection",
                       model);
    return EQ_OK;
}

static eq_status open_folder(eq_context *ctx, const char *model, const eq_prompt_options *options,
                             eq_prompt_encoder *encoder)
{
    char *first = eq_path_join(model, "tokenizer"), *second = eq_path_join(model, "tokenizer_2");
    encoder->count = has_folder(model, "text_encoder_2") ? 2 : 1;
    eq_status status = first && second ? read_index(ctx, model, encoder) : eq_fail_memory(ctx, "a path");
    if (status == EQ_OK)
        status = open_tower(ctx, model, "text_encoder", options->tokenizer ? options->tokenizer : first, options,
                            &encoder->towers[0]);
    if (status == EQ_OK && encoder->count == 2)
        status = open_tower(ctx, model, "text_encoder_2", second, options, &encoder->towers[1]);
    if (status == EQ_OK && encoder->count == 2)
        status = check_pair(ctx, model, encoder);
    free(first);
    free(second);
    return status;
}

static eq_status finish(eq_status status, eq_prompt_encoder *encoder, eq_prompt_encoder **out)
{
    if (status == EQ_OK)
        *out = encoder;
    else
        eq_prompt_encoder_close(encoder);
    return status;
}

eq_status eq_prompt_encoder_open(eq_context *ctx, const char *model_folder, const eq_prompt_options *options,
                                 eq_prompt_encoder **out)
{
    *out = NULL;
    eq_prompt_encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder)
        return eq_fail_memory(ctx, "a prompt encoder");
    return finish(open_folder(ctx, model_folder, options, encoder), encoder, out);
}

static eq_status open_checkpoint(eq_context *ctx, const eq_tensor_file *checkpoint, const eq_prompt_options *options,
                                 eq_prompt_encoder *encoder)
{
    if (!options->tokenizer)
        return eq_fail(ctx, EQ_BAD_USAGE, "%s: single files hold no tokenizer; name its folder with --tokenizer",
                       checkpoint->path);
    int count = eq_clip_text_count(checkpoint);
    encoder->count = count > 1 ? 2 : 1;
    /* What diffusers' folder of XL says; the published file has no place for it. */
    encoder->zeros_for_none = encoder->count == 2;
    for (int i = 0; i < encoder->count; i++) {
        tower *t = &encoder->towers[i];
        EQ_TRY(eq_clip_text_file_from_checkpoint(ctx, checkpoint, i, &t->file));
        EQ_TRY(open_tokenizer(ctx, options->tokenizer, t));
        if (t->file.pads_with_zero)
            eq_tokenizer_pad_with(t->tokenizer, 0);
        EQ_TRY(compile(ctx, t, options));
    }
    return encoder->count == 2 ? check_pair(ctx, checkpoint->path, encoder) : EQ_OK;
}

eq_status eq_prompt_encoder_open_checkpoint(eq_context *ctx, const eq_tensor_file *checkpoint,
                                            const eq_prompt_options *options, eq_prompt_encoder **out)
{
    *out = NULL;
    eq_prompt_encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder)
        return eq_fail_memory(ctx, "a prompt encoder");
    return finish(open_checkpoint(ctx, checkpoint, options, encoder), encoder, out);
}

void eq_prompt_encoder_close(eq_prompt_encoder *encoder)
{
    if (!encoder)
        return;
    for (int i = 0; i < 2; i++) {
        eq_program_free(encoder->towers[i].program);
        eq_clip_text_file_close(&encoder->towers[i].file);
        eq_tokenizer_free(encoder->towers[i].tokenizer);
        free(encoder->towers[i].ids);
    }
    free(encoder);
}

/* --- encoding --- */

int eq_prompt_length(const eq_prompt_encoder *encoder)
{
    return encoder->towers[0].file.config.max_position_embeddings;
}

int eq_prompt_width(const eq_prompt_encoder *encoder)
{
    int width = 0;
    for (int i = 0; i < encoder->count; i++)
        width += encoder->towers[i].file.config.hidden_size;
    return width;
}

int eq_prompt_pooled_width(const eq_prompt_encoder *encoder)
{
    return encoder->count == 2 ? encoder->towers[1].file.config.projection_dim : 0;
}

static eq_status run(eq_context *ctx, tower *t, const char *text, bool *truncated)
{
    EQ_TRY(eq_tokenizer_encode(ctx, t->tokenizer, text, t->file.config.max_position_embeddings, t->ids, truncated));
    eq_clip_text_fill(t->program, &t->text, t->ids, eq_tokenizer_eos(t->tokenizer));
    return eq_program_run(t->program);
}

/* Copies the tower's states into columns [offset, offset + hidden_size) of context: [length, width]. */
static void put_states(const eq_prompt_encoder *encoder, int index, int offset, float *context)
{
    const tower *t = &encoder->towers[index];
    size_t width = (size_t)eq_prompt_width(encoder), own = (size_t)t->file.config.hidden_size;
    const float *states = eq_program_data(t->program, encoder->count == 2 ? t->text.penultimate : t->text.last);
    for (int i = 0; i < eq_prompt_length(encoder); i++)
        memcpy(context + (size_t)i * width + (size_t)offset, states + (size_t)i * own, own * sizeof *states);
}

eq_status eq_prompt_encode(eq_context *ctx, eq_prompt_encoder *encoder, const char *text, float *context, float *pooled,
                           bool *truncated)
{
    size_t count = (size_t)eq_prompt_length(encoder) * (size_t)eq_prompt_width(encoder);
    size_t pooled_count = (size_t)eq_prompt_pooled_width(encoder);
    if (truncated)
        *truncated = false;
    if (!text && encoder->zeros_for_none) {
        memset(context, 0, count * sizeof *context);
        if (pooled)
            memset(pooled, 0, pooled_count * sizeof *pooled);
        return EQ_OK;
    }
    for (int i = 0, offset = 0; i < encoder->count; offset += encoder->towers[i++].file.config.hidden_size) {
        bool cut;
        EQ_TRY(run(ctx, &encoder->towers[i], text ? text : "", &cut));
        put_states(encoder, i, offset, context);
        if (truncated)
            *truncated |= cut;
    }
    if (pooled && pooled_count)
        memcpy(pooled, eq_program_data(encoder->towers[1].program, encoder->towers[1].text.pooled),
               pooled_count * sizeof *pooled);
    return EQ_OK;
}
