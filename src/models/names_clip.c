#include "models/names_clip.h"

#include <stdio.h>

static const char layer_prefix[] = "text_model.encoder.layers.";

static bool same_name(const void *user, const char *ours, char *theirs, size_t size, eq_weight_part *part)
{
    (void)user;
    (void)part;
    snprintf(theirs, size, "%s", ours);
    return true;
}

static bool prefixed_name(const void *user, const char *ours, char *theirs, size_t size, eq_weight_part *part)
{
    (void)part;
    snprintf(theirs, size, "%s%s", (const char *)user, ours);
    return true;
}

/* The prefixes leave out what lies beside the blocks, which no configuration decides: it is there, or missed. */
const eq_name_map eq_names_clip = {.name = same_name, .prefix = "text_model.encoder."};
const eq_name_map eq_names_clip_ldm = {
    .name = prefixed_name, .user = EQ_CLIP_PREFIX_SD1, .prefix = EQ_CLIP_PREFIX_SD1 "text_model.encoder."};
const eq_name_map eq_names_clip_xl = {
    .name = prefixed_name, .user = EQ_CLIP_PREFIX_XL, .prefix = EQ_CLIP_PREFIX_XL "text_model.encoder."};

typedef struct name_pair {
    const char *ours, *theirs;
} name_pair;

static const name_pair outside_pairs[] = {
    {"text_model.embeddings.token_embedding.weight", "token_embedding.weight"},
    {"text_model.embeddings.position_embedding.weight", "positional_embedding"},
    {"text_model.final_layer_norm.weight", "ln_final.weight"},
    {"text_model.final_layer_norm.bias", "ln_final.bias"},
    {"text_projection.weight", "text_projection"},
};

static const name_pair layer_pairs[] = {
    {".layer_norm1.", ".ln_1."},
    {".layer_norm2.", ".ln_2."},
    {".mlp.fc1.", ".mlp.c_fc."},
    {".mlp.fc2.", ".mlp.c_proj."},
    {".self_attn.out_proj.", ".attn.out_proj."},
    {".self_attn.q_proj.", ".attn.in_proj_"},
    {".self_attn.k_proj.", ".attn.in_proj_"},
    {".self_attn.v_proj.", ".attn.in_proj_"},
};

/* in_proj: [3c, ...], the rows of queries, then keys, then values. */
static eq_weight_part in_proj_part(const char *ours, int64_t c)
{
    int64_t index = strcmp(ours, ".self_attn.q_proj.") == 0 ? 0 : strcmp(ours, ".self_attn.k_proj.") == 0 ? 1 : 2;
    return (eq_weight_part){.offset = index * c, .block = c, .stride = c};
}

/* rest: "3.self_attn.q_proj.weight" -> "cond_stage_model.model.transformer.resblocks.3.attn.in_proj_weight" */
static bool open_clip_layer_name(const eq_open_clip_names *names, const char *rest, char *theirs, size_t size,
                                 eq_weight_part *part)
{
    for (size_t i = 0; i < sizeof layer_pairs / sizeof layer_pairs[0]; i++) {
        const name_pair *pair = &layer_pairs[i];
        const char *at = strstr(rest, pair->ours);
        if (!at)
            continue;
        snprintf(theirs, size, "%stransformer.resblocks.%.*s%s%s", names->prefix, (int)(at - rest), rest, pair->theirs,
                 at + strlen(pair->ours));
        if (strcmp(pair->theirs, ".attn.in_proj_") == 0)
            *part = in_proj_part(pair->ours, names->config->hidden_size);
        return true;
    }
    return false;
}

static bool open_clip_name(const void *user, const char *ours, char *theirs, size_t size, eq_weight_part *part)
{
    const eq_open_clip_names *names = user;
    size_t skip = sizeof layer_prefix - 1;
    if (strncmp(ours, layer_prefix, skip) == 0)
        return open_clip_layer_name(names, ours + skip, theirs, size, part);
    for (size_t i = 0; i < sizeof outside_pairs / sizeof outside_pairs[0]; i++)
        if (strcmp(ours, outside_pairs[i].ours) == 0) {
            snprintf(theirs, size, "%s%s", names->prefix, outside_pairs[i].theirs);
            part->transposed = strcmp(outside_pairs[i].theirs, "text_projection") == 0;
            return true;
        }
    return false;
}

/* Stable Diffusion 2 reads the states before OpenCLIP's last block, which lies in the file without being used; the
 * prefix is therefore that of the final norm. */
eq_name_map eq_names_open_clip(const eq_open_clip_names *names)
{
    bool all = strcmp(names->prefix, EQ_OPEN_CLIP_PREFIX_XL) == 0;
    return (eq_name_map){.name = open_clip_name,
                         .user = names,
                         .prefix = all ? EQ_OPEN_CLIP_PREFIX_XL "transformer." : EQ_OPEN_CLIP_PREFIX_SD2 "ln_final."};
}
