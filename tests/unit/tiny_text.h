/* A small text transformer with random weights, and its folder. */
#ifndef EQ_TESTS_TINY_TEXT_H
#define EQ_TESTS_TINY_TEXT_H

#include <math.h>

#include "models/clip_text_file.h"
#include "unit/tiny_tokenizer.h"

static inline eq_clip_text_config tiny_text_config(int hidden, int projection)
{
    return (eq_clip_text_config){.vocab_size = TINY_VOCABULARY,
                                 .hidden_size = hidden,
                                 .intermediate_size = 40,
                                 .num_hidden_layers = 3,
                                 .num_attention_heads = 4,
                                 .max_position_embeddings = 9,
                                 .hidden_act = projection ? EQ_ACT_GELU : EQ_ACT_QUICK_GELU,
                                 .layer_norm_eps = 1e-5f,
                                 .projection_dim = projection};
}

/* Random everywhere, so that nothing is hidden by zeros or ones. NULL where it fails. */
static inline eq_params *tiny_text_params(eq_context *ctx, const eq_clip_text_config *config, uint64_t seed)
{
    eq_params *params = eq_params_new(ctx);
    if (!params || eq_clip_text_declare(params, config) != EQ_OK || eq_params_allocate(params) != EQ_OK) {
        eq_params_free(params);
        return NULL;
    }
    for (int i = 0; i < params->count; i++)
        params->items[i].init = EQ_INIT_NORMAL;
    eq_params_initialise(params, seed);
    for (int64_t i = 0; i < params->total; i++)
        params->storage[i] *= 10;
    return params;
}

static inline eq_status tiny_text_write(eq_context *ctx, const char *folder, const eq_clip_text_config *config,
                                        uint64_t seed)
{
    eq_params *params = tiny_text_params(ctx, config, seed);
    eq_status status = params
                           ? eq_clip_text_file_save(ctx, folder, config, params, EQ_F32, TINY_BOS, TINY_EOS, TINY_EOS)
                           : EQ_NO_MEMORY;
    eq_params_free(params);
    return status;
}

/* |a - b| / |b| */
static inline double tiny_text_error(const float *a, const float *b, int64_t count)
{
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        norm += (double)b[i] * b[i];
    }
    return sqrt(difference / norm);
}

/* A text model's results for ids [n, l] are those of `program`, which stays the caller's to free. NULL where it fails.
 */
static inline eq_program *tiny_text_run(eq_context *ctx, const eq_clip_text_config *config, eq_params *params,
                                        const int32_t *ids, int64_t n, int64_t l, eq_dtype dtype, const char *backend,
                                        eq_clip_text *text)
{
    eq_program *program = NULL;
    eq_graph *graph = eq_graph_new(ctx, dtype);
    eq_clip_text_build(&(eq_builder){graph, params}, config, n, l, text);
    if (eq_program_compile(graph, &(eq_program_options){.frozen_params = true, .backend = backend}, &program) != EQ_OK)
        return NULL;
    eq_clip_text_fill(program, text, ids, TINY_EOS);
    if (eq_program_run(program) == EQ_OK)
        return program;
    eq_program_free(program);
    return NULL;
}

#endif
