/* OpenAI's names for CLIP's parameters: queries, keys and values lie in one tensor, projections are transposed. */
#include <stdio.h>

#include "models/clip_model.h"

typedef struct name_pair {
    const char *ours, *theirs;
} name_pair;

/* One tower. */
typedef struct tower {
    const char *ours, *theirs; /* before the number of a block */
    name_pair outside[8];      /* whole names */
    const char *projection[2]; /* ours, theirs */
} tower;

static const tower text_tower = {
    "text_model.encoder.layers.",
    "transformer.resblocks.",
    {{"text_model.embeddings.token_embedding.weight", "token_embedding.weight"},
     {"text_model.embeddings.position_embedding.weight", "positional_embedding"},
     {"text_model.final_layer_norm.weight", "ln_final.weight"},
     {"text_model.final_layer_norm.bias", "ln_final.bias"}},
    {"text_projection.weight", "text_projection"},
};

static const tower vision_tower = {
    "vision_model.encoder.layers.",
    "visual.transformer.resblocks.",
    {{"vision_model.embeddings.patch_embedding.weight", "visual.conv1.weight"},
     {"vision_model.embeddings.class_embedding", "visual.class_embedding"},
     {"vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"},
     {"vision_model.pre_layrnorm.weight", "visual.ln_pre.weight"},
     {"vision_model.pre_layrnorm.bias", "visual.ln_pre.bias"},
     {"vision_model.post_layernorm.weight", "visual.ln_post.weight"},
     {"vision_model.post_layernorm.bias", "visual.ln_post.bias"}},
    {"visual_projection.weight", "visual.proj"},
};

/* Within a block. The first three are rows of in_proj: queries, keys, values. */
static const name_pair inside[] = {
    {".self_attn.q_proj.", ".attn.in_proj_"},
    {".self_attn.k_proj.", ".attn.in_proj_"},
    {".self_attn.v_proj.", ".attn.in_proj_"},
    {".self_attn.out_proj.", ".attn.out_proj."},
    {".layer_norm1.", ".ln_1."},
    {".layer_norm2.", ".ln_2."},
    {".mlp.fc1.", ".mlp.c_fc."},
    {".mlp.fc2.", ".mlp.c_proj."},
};

/* rest: "3.self_attn.q_proj.weight"; c: the tower's channels */
static bool block_name(const tower *t, int64_t c, const char *rest, char *theirs, size_t size, eq_weight_part *part)
{
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        const char *at = strstr(rest, inside[i].ours);
        if (!at)
            continue;
        snprintf(theirs, size, "%s%.*s%s%s", t->theirs, (int)(at - rest), rest, inside[i].theirs,
                 at + strlen(inside[i].ours));
        if (i < 3)
            *part = (eq_weight_part){.offset = (int64_t)i * c, .block = c, .stride = c};
        return true;
    }
    return false;
}

static bool tower_name(const tower *t, int64_t c, const char *ours, char *theirs, size_t size, eq_weight_part *part)
{
    if (strncmp(ours, t->ours, strlen(t->ours)) == 0)
        return block_name(t, c, ours + strlen(t->ours), theirs, size, part);
    if (strcmp(ours, t->projection[0]) == 0) {
        snprintf(theirs, size, "%s", t->projection[1]);
        part->transposed = true;
        return true;
    }
    for (const name_pair *pair = t->outside; pair->ours; pair++)
        if (strcmp(ours, pair->ours) == 0) {
            snprintf(theirs, size, "%s", pair->theirs);
            return true;
        }
    return false;
}

static bool text_name(const void *user, const char *ours, char *theirs, size_t size, eq_weight_part *part)
{
    const eq_clip_model *model = user;
    return tower_name(&text_tower, model->text.hidden_size, ours, theirs, size, part);
}

static bool vision_name(const void *user, const char *ours, char *theirs, size_t size, eq_weight_part *part)
{
    const eq_clip_model *model = user;
    return tower_name(&vision_tower, model->vision.hidden_size, ours, theirs, size, part);
}

eq_name_map eq_names_openai_text(const eq_clip_model *model)
{
    return (eq_name_map){.name = text_name, .user = model, .prefix = text_tower.theirs};
}

eq_name_map eq_names_openai_vision(const eq_clip_model *model)
{
    return (eq_name_map){.name = vision_name, .user = model, .prefix = vision_tower.theirs};
}
