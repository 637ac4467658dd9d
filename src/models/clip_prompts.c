#include "models/clip_prompts.h"

#include <math.h>
#include <stdlib.h>

#include "base/path.h"

void eq_clip_prompts_close(eq_clip_prompts *t)
{
    eq_tokenizer_free(t->tokenizer);
    eq_program_free(t->program);
    free(t->ids);
    *t = (eq_clip_prompts){0};
}

static eq_status open_tokenizer(eq_clip_prompts *t, const char *folder)
{
    char *inner = eq_path_join(folder, "tokenizer");
    if (!inner)
        return eq_fail_memory(t->ctx, "a path");
    eq_status status = eq_tokenizer_open(t->ctx, eq_path_is_folder(inner) ? inner : folder, &t->tokenizer);
    free(inner);
    EQ_TRY(status);
    if (eq_tokenizer_max_id(t->tokenizer) >= t->config->vocab_size)
        return eq_fail(t->ctx, EQ_BAD_INPUT, "%s: the tokenizer has ids up to %d, the text model knows %d tokens",
                       folder, eq_tokenizer_max_id(t->tokenizer), t->config->vocab_size);
    return EQ_OK;
}

eq_status eq_clip_prompts_open(eq_context *ctx, const char *folder, const eq_clip_model *model, eq_clip_prompts *t)
{
    *t = (eq_clip_prompts){.ctx = ctx, .config = &model->text};
    t->ids = calloc((size_t)t->config->max_position_embeddings, sizeof *t->ids);
    eq_graph *graph = t->ids ? eq_graph_new(ctx, EQ_F32) : NULL;
    if (!graph)
        return eq_fail_memory(ctx, "a text model");
    eq_clip_text_build(&(eq_builder){graph, model->text_params}, t->config, 1, t->config->max_position_embeddings,
                       &t->text);
    EQ_TRY(eq_program_compile(graph, &(eq_program_options){0}, &t->program));
    return open_tokenizer(t, folder);
}

eq_status eq_clip_prompts_add(eq_clip_prompts *t, const char *prompt, double *sum)
{
    int d = t->config->projection_dim;
    bool truncated;
    EQ_TRY(eq_tokenizer_encode(t->ctx, t->tokenizer, prompt, t->config->max_position_embeddings, t->ids, &truncated));
    eq_clip_text_fill(t->program, &t->text, t->ids, eq_tokenizer_eos(t->tokenizer));
    EQ_TRY(eq_program_run(t->program));
    const float *pooled = eq_program_data(t->program, t->text.pooled);
    double squares = 0;
    for (int k = 0; k < d; k++)
        squares += (double)pooled[k] * pooled[k];
    for (int k = 0; k < d; k++)
        sum[k] += squares > 0 ? pooled[k] / sqrt(squares) : 0;
    return EQ_OK;
}
