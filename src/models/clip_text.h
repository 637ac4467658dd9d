/* CLIP's text transformer (Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
 * section 2.4): token and position embeddings, causal pre-norm blocks, a final norm. It turns a prompt's tokens into
 * the context of Stable Diffusion's U-Nets. */
#ifndef EQ_MODELS_CLIP_TEXT_H
#define EQ_MODELS_CLIP_TEXT_H

#include "io/json.h"
#include "kernels/program.h"
#include "models/layers.h"

/* Field names follow transformers' CLIPTextConfig. */
typedef struct eq_clip_text_config {
    int vocab_size;
    int hidden_size;
    int intermediate_size;
    int num_hidden_layers;
    int num_attention_heads;
    int max_position_embeddings;
    eq_activation hidden_act; /* EQ_ACT_QUICK_GELU or EQ_ACT_GELU */
    float layer_norm_eps;
    int projection_dim; /* of CLIPTextModelWithProjection; 0: there is no projection */
} eq_clip_text_config;

typedef struct eq_clip_text {
    eq_value ids;         /* input [n, l] i32 */
    eq_value positions;   /* input [1, l] i32: 0, 1, ... l - 1 */
    eq_value pick;        /* input [n, 1, l] f32: 1 where the text ends, else 0; EQ_NONE without a projection */
    eq_value last;        /* output [n, l, hidden_size] f32: the last block's states, after the final norm */
    eq_value penultimate; /* output [n, l, hidden_size] f32: what the last block starts from, not normalised */
    eq_value pooled;      /* output [n, projection_dim] f32: the projected last state of the text's end, or EQ_NONE */
} eq_clip_text;

/* Reads a config.json of class CLIPTextModel or CLIPTextModelWithProjection. What this network cannot do is
 * EQ_BAD_INPUT that names the key. */
eq_status eq_clip_text_config_read(eq_context *ctx, const char *path, eq_clip_text_config *out);
/* The same from memory; `name` stands for the file in messages. */
eq_status eq_clip_text_config_parse(eq_context *ctx, const char *text, size_t size, const char *name,
                                    eq_clip_text_config *out);
/* Writes it so that transformers loads the folder: the same keys. bos, eos, pad: the tokenizer's ids. */
eq_status eq_clip_text_config_write(eq_context *ctx, const char *path, const eq_clip_text_config *config, int bos,
                                    int eos, int pad);

/* Checks ranges and divisibility; the message names the field. `file` is named in it. */
eq_status eq_clip_text_check(eq_context *ctx, const eq_clip_text_config *config, const char *file);

/* Describes the network for n texts of l tokens, 1 <= l <= max_position_embeddings, into the builder's graph. */
eq_status eq_clip_text_build(const eq_builder *b, const eq_clip_text_config *config, int64_t n, int64_t l,
                             eq_clip_text *out);
/* Declares the parameters (names, shapes, initialisation) into an empty list. */
eq_status eq_clip_text_declare(eq_params *params, const eq_clip_text_config *config);

/* Fills the inputs before a run. ids: [n, l]; `eos` ends a text: its state at the first one is pooled. */
void eq_clip_text_fill(eq_program *program, const eq_clip_text *text, const int32_t *ids, int32_t eos);

#endif
