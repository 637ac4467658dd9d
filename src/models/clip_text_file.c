#include "models/clip_text_file.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/path.h"
#include "models/names_clip.h"

/* --- folders --- */

/* The first of the usual names that is there; the first of all where none is, for the message. Malloc'ed. */
static char *weights_path(const char *folder)
{
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json", "model.fp16.safetensors",
                                        "pytorch_model.bin"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *path = eq_path_join(folder, names[i]);
        if (!path || eq_path_exists(path))
            return path;
        free(path);
    }
    return eq_path_join(folder, names[0]);
}

/* Declares the parameters and finds them in `weights`. */
static eq_status load(eq_context *ctx, const eq_tensor_file *weights, const eq_name_map *names, eq_clip_text_file *out)
{
    out->params = eq_params_new(ctx);
    if (!out->params)
        return eq_fail_memory(ctx, "a text model");
    EQ_TRY(eq_clip_text_declare(out->params, &out->config));
    return eq_weights_load(ctx, out->params, weights, names);
}

eq_status eq_clip_text_file_open(eq_context *ctx, const char *folder, eq_clip_text_file *out)
{
    *out = (eq_clip_text_file){0};
    char *config = eq_path_join(folder, "config.json"), *weights = weights_path(folder);
    eq_status status = config && weights ? EQ_OK : eq_fail_memory(ctx, "a path");
    if (status == EQ_OK)
        status = eq_clip_text_config_read(ctx, config, &out->config);
    if (status == EQ_OK)
        status = eq_tensor_file_open(ctx, weights, &out->weights);
    if (status == EQ_OK)
        status = load(ctx, &out->weights, &eq_names_clip, out);
    free(config);
    free(weights);
    if (status != EQ_OK)
        eq_clip_text_file_close(out);
    return status;
}

void eq_clip_text_file_close(eq_clip_text_file *file)
{
    eq_params_free(file->params);
    eq_tensor_file_close(&file->weights);
    *file = (eq_clip_text_file){0};
}

eq_status eq_clip_text_file_save(eq_context *ctx, const char *folder, const eq_clip_text_config *config,
                                 const eq_params *params, eq_dtype dtype, int bos, int eos, int pad)
{
    char *json = eq_path_join(folder, "config.json"), *weights = eq_path_join(folder, "model.safetensors");
    eq_status status = json && weights ? eq_make_folders(ctx, folder) : eq_fail_memory(ctx, "a path");
    if (status == EQ_OK)
        status = eq_weights_save(ctx, params, weights, dtype, &(eq_metadata){"format", "pt"}, 1);
    if (status == EQ_OK)
        status = eq_clip_text_config_write(ctx, json, config, bos, eos, pad);
    free(json);
    free(weights);
    return status;
}

/* --- single files --- */

/* A way in which checkpoints hold a text transformer. */
typedef struct checkpoint_layout {
    const char *prefix;
    bool open_clip; /* OpenCLIP's names, or transformers' */
    int number;     /* of the model's text transformers, from 0 */
    int unused;     /* blocks at the end that the model does not use */
} checkpoint_layout;

static const checkpoint_layout layouts[] = {
    {EQ_CLIP_PREFIX_SD1, false, 0, 0},
    {EQ_OPEN_CLIP_PREFIX_SD2, true, 0, 1},
    {EQ_CLIP_PREFIX_XL, false, 0, 0},
    {EQ_OPEN_CLIP_PREFIX_XL, true, 1, 0},
};
enum { LAYOUTS = sizeof layouts / sizeof layouts[0] };

static const eq_tensor *find(const eq_tensor_file *file, const checkpoint_layout *layout, const char *transformers,
                             const char *open_clip)
{
    eq_prefix name = eq_prefix_format("%s%s", layout->prefix, layout->open_clip ? open_clip : transformers);
    return eq_tensor_file_peek(file, name.text);
}

static const eq_tensor *find_tokens(const eq_tensor_file *file, const checkpoint_layout *layout)
{
    return find(file, layout, "text_model.embeddings.token_embedding.weight", "token_embedding.weight");
}

static const eq_tensor *find_fc1(const eq_tensor_file *file, const checkpoint_layout *layout, int block)
{
    eq_prefix transformers = eq_prefix_format("text_model.encoder.layers.%d.mlp.fc1.weight", block);
    eq_prefix open_clip = eq_prefix_format("transformer.resblocks.%d.mlp.c_fc.weight", block);
    const eq_tensor *tensor = find(file, layout, transformers.text, open_clip.text);
    return tensor && tensor->shape.rank == 2 ? tensor : NULL;
}

/* A dimension of a tensor that may be missing or of another rank, as a configuration's number: 0 where it does not fit.
 */
static int dimension(const eq_tensor *tensor, int index)
{
    bool fits = tensor && tensor->shape.rank == 2 && tensor->shape.dim[index] <= INT32_MAX;
    return fits ? (int)tensor->shape.dim[index] : 0;
}

/* All of OpenAI's and OpenCLIP's text transformers have heads of 64 channels; shapes do not tell. */
static eq_status config_from_shapes(eq_context *ctx, const eq_tensor_file *file, const checkpoint_layout *layout,
                                    eq_clip_text_config *out)
{
    const eq_tensor *tokens = find_tokens(file, layout);
    const eq_tensor *positions =
        find(file, layout, "text_model.embeddings.position_embedding.weight", "positional_embedding");
    int blocks = 0;
    while (blocks < 512 && find_fc1(file, layout, blocks))
        blocks++;
    *out = (eq_clip_text_config){.vocab_size = dimension(tokens, 0),
                                 .hidden_size = dimension(tokens, 1),
                                 .intermediate_size = dimension(find_fc1(file, layout, 0), 0),
                                 .num_hidden_layers = blocks - layout->unused,
                                 .num_attention_heads = dimension(tokens, 1) / 64,
                                 .max_position_embeddings = dimension(positions, 0),
                                 .hidden_act = layout->open_clip ? EQ_ACT_GELU : EQ_ACT_QUICK_GELU,
                                 .layer_norm_eps = 1e-5f};
    if (layout->number > 0)
        out->projection_dim = dimension(find(file, layout, "", "text_projection"), 1);
    eq_prefix where = eq_prefix_format("%.150s: text model", file->path);
    return eq_clip_text_check(ctx, out, where.text);
}

int eq_clip_text_count(const eq_tensor_file *checkpoint)
{
    int count = 0;
    for (int i = 0; i < LAYOUTS; i++)
        if (find_tokens(checkpoint, &layouts[i]) && layouts[i].number >= count)
            count = layouts[i].number + 1;
    return count;
}

eq_status eq_clip_text_file_from_checkpoint(eq_context *ctx, const eq_tensor_file *checkpoint, int number,
                                            eq_clip_text_file *out)
{
    *out = (eq_clip_text_file){0};
    int i = 0;
    while (i < LAYOUTS && (layouts[i].number != number || !find_tokens(checkpoint, &layouts[i])))
        i++;
    if (i == LAYOUTS)
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: no text model in it: no token embedding under " EQ_CLIP_PREFIX_SD1
                       ", " EQ_OPEN_CLIP_PREFIX_SD2 " or conditioner.embedders.",
                       checkpoint->path);
    eq_status status = config_from_shapes(ctx, checkpoint, &layouts[i], &out->config);
    eq_open_clip_names names = {&out->config, layouts[i].prefix};
    eq_name_map open_clip = eq_names_open_clip(&names);
    bool first = strcmp(layouts[i].prefix, EQ_CLIP_PREFIX_SD1) == 0;
    out->pads_with_zero = layouts[i].open_clip;
    if (status == EQ_OK)
        status = load(ctx, checkpoint,
                      layouts[i].open_clip ? &open_clip
                      : first              ? &eq_names_clip_ldm
                                           : &eq_names_clip_xl,
                      out);
    if (status != EQ_OK)
        eq_clip_text_file_close(out);
    return status;
}
