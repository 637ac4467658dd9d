/* CLIP as a classifier without training (Radford et al., section 3.1): an image's class is the one whose prompts lie
 * closest to it. A class with several prompts lies in the middle of their unit vectors; the logits are cosines times
 * the scale that CLIP learned, so that the softmax has CLIP's own temperature. */
#include <math.h>
#include <stdlib.h>

#include "base/file_hash.h"
#include "base/path.h"
#include "models/classifier_source.h"
#include "models/clip_prompts.h"

typedef struct network {
    eq_clip_model model;
    eq_tensor vectors[EQ_CLASSIFIER_MAX_ATTRIBUTES]; /* [classes, projection_dim] of length logit_scale; data owned */
} network;

/* --- prompts to vectors --- */

/* What makes vectors of prompts. */
typedef struct text_tower {
    eq_context *ctx;
    eq_clip_prompts prompts;
    const eq_clip_text_config *config;
    double *middle; /* [projection_dim] */
} text_tower;

static void tower_close(text_tower *t)
{
    eq_clip_prompts_close(&t->prompts);
    free(t->middle);
}

static eq_status tower_open(eq_context *ctx, const char *folder, const eq_clip_model *model, text_tower *t)
{
    *t = (text_tower){.ctx = ctx, .config = &model->text};
    t->middle = calloc((size_t)t->config->projection_dim, sizeof *t->middle);
    return t->middle ? eq_clip_prompts_open(ctx, folder, model, &t->prompts) : eq_fail_memory(ctx, "a text model");
}

/* vector: [projection_dim] of length `scale` */
static void scale_middle(const text_tower *t, float scale, float *vector)
{
    double squares = 0;
    for (int k = 0; k < t->config->projection_dim; k++)
        squares += t->middle[k] * t->middle[k];
    for (int k = 0; k < t->config->projection_dim; k++)
        vector[k] = squares > 0 ? (float)(scale * t->middle[k] / sqrt(squares)) : 0;
}

/* prompts: a string, or an array of them */
static eq_status add_class(text_tower *t, json_t *prompts, const char *where, float scale, float *vector)
{
    size_t count = json_is_array(prompts) ? json_array_size(prompts) : 1;
    memset(t->middle, 0, (size_t)t->config->projection_dim * sizeof *t->middle);
    for (size_t i = 0; i < count; i++) {
        const char *prompt = json_string_value(json_is_array(prompts) ? json_array_get(prompts, i) : prompts);
        if (!prompt)
            return eq_fail(t->ctx, EQ_BAD_INPUT, "%s: a class's prompts are strings", where);
        EQ_TRY(eq_clip_prompts_add(&t->prompts, prompt, t->middle));
    }
    scale_middle(t, scale, vector);
    return count ? EQ_OK : eq_fail(t->ctx, EQ_BAD_INPUT, "%s: a class without a prompt", where);
}

/* --- zero_shot.json --- */

/* classes: {"female": ["a photo of a woman"], ...} */
static eq_status add_attribute(text_tower *t, const char *name, json_t *classes, const char *where,
                               eq_classifier_source *out)
{
    network *n = out->network;
    const char *names[256], *class_name;
    int count = 0, d = t->config->projection_dim;
    json_t *prompts;
    if (!json_is_object(classes) || json_object_size(classes) > 256)
        return eq_fail(t->ctx, EQ_BAD_INPUT, "%s: %.60s: an object expected, of 2 to 256 classes and their prompts",
                       where, name);
    json_object_foreach(classes, class_name, prompts) names[count++] = class_name;
    EQ_TRY(eq_classifier_source_add(t->ctx, out, &(eq_attribute){name, count, names}, where));
    eq_tensor *vectors = &n->vectors[out->attribute_count - 1];
    *vectors = (eq_tensor){EQ_F32, eq_shape_of(count, d), calloc((size_t)count * (size_t)d, sizeof(float))};
    if (!vectors->data)
        return eq_fail_memory(t->ctx, "a class's vector");
    eq_prefix place = eq_prefix_format("%.120s: %.60s", where, name);
    for (int k = 0; k < count; k++)
        EQ_TRY(add_class(t, json_object_get(classes, names[k]), place.text, n->model.logit_scale,
                         (float *)vectors->data + k * d));
    return EQ_OK;
}

static eq_status read_prompts(eq_context *ctx, const char *folder, const eq_json *json, eq_classifier_source *out)
{
    network *n = out->network;
    text_tower tower;
    const char *name;
    json_t *classes;
    eq_status status = tower_open(ctx, folder, &n->model, &tower);
    json_object_foreach(json->object, name, classes)
    {
        if (status == EQ_OK)
            status = add_attribute(&tower, name, classes, json->where, out);
    }
    tower_close(&tower);
    return status;
}

/* Other prompts make another classifier. */
static eq_status hash_parts(eq_context *ctx, const char *weights, const char *prompts, char hex[EQ_SHA256_HEX])
{
    char parts[2][EQ_SHA256_HEX];
    uint8_t digest[EQ_SHA256_BYTES];
    EQ_TRY(eq_file_hash(ctx, weights, parts[0]));
    EQ_TRY(eq_sha256_file(ctx, prompts, parts[1]));
    eq_sha256 hash = eq_sha256_start();
    eq_sha256_update(&hash, parts, sizeof parts);
    eq_sha256_finish(&hash, digest);
    eq_sha256_to_hex(digest, hex);
    return EQ_OK;
}

/* --- opening --- */

static eq_status open_parts(eq_context *ctx, const char *folder, const char *prompts, eq_classifier_source *out)
{
    network *n = out->network;
    eq_json json;
    EQ_TRY(eq_clip_model_open(ctx, folder, &n->model));
    EQ_TRY(eq_clip_model_preparation(ctx, folder, &n->model, &out->preparation));
    EQ_TRY(eq_json_read(ctx, prompts, &json));
    eq_status status = read_prompts(ctx, folder, &json, out);
    eq_json_close(&json);
    EQ_TRY(status);
    const eq_clip_vision_config *vision = &n->model.vision;
    snprintf(out->architecture, sizeof out->architecture, "CLIP, %d blocks of %d channels, patches of %d, images of %d",
             vision->num_hidden_layers, vision->hidden_size, vision->patch_size, vision->image_size);
    out->parameters = n->model.text_params->total + n->model.vision_params->total;
    out->cosine = true;
    return hash_parts(ctx, n->model.path, prompts, out->hash);
}

static eq_status open_zero_shot(eq_context *ctx, const char *path, eq_classifier_source *out)
{
    char *prompts = eq_path_join(path, "zero_shot.json");
    out->network = calloc(1, sizeof(network));
    eq_status status =
        prompts && out->network ? open_parts(ctx, path, prompts, out) : eq_fail_memory(ctx, "a classifier");
    free(prompts);
    return status;
}

static bool is_zero_shot(eq_context *ctx, const char *path)
{
    (void)ctx;
    char *prompts = eq_path_join(path, "zero_shot.json");
    bool is = prompts && eq_path_exists(prompts);
    free(prompts);
    return is;
}

static eq_status build_zero_shot(const eq_classifier_source *source, eq_graph *g, int64_t n, eq_classifier_values *out)
{
    const network *net = source->network;
    int64_t size = net->model.vision.image_size;
    out->images = eq_graph_input(g, "images", EQ_F32, eq_shape_of(n, size, size, 3));
    eq_value x = eq_clip_vision_build(&(eq_builder){g, net->model.vision_params}, &net->model.vision,
                                      eq_cast(g, out->images, g->dtype));
    for (int i = 0; i < source->attribute_count; i++) {
        eq_value vectors = eq_graph_param(g, eq_prefix_format("classes.%d", i).text, &net->vectors[i], false);
        out->logits[i] = eq_cast(g, eq_linear(g, x, vectors, EQ_NONE, EQ_NONE), EQ_F32);
        eq_graph_output(g, out->logits[i], NULL);
    }
    out->features = eq_cast(g, x, EQ_F32);
    eq_graph_output(g, out->features, "features");
    return eq_graph_status(g);
}

static void close_zero_shot(eq_classifier_source *source)
{
    network *n = source->network;
    if (n) {
        for (int i = 0; i < EQ_CLASSIFIER_MAX_ATTRIBUTES; i++)
            free(n->vectors[i].data);
        eq_clip_model_close(&n->model);
    }
    free(n);
}

const eq_classifier_kind eq_classifier_zero_shot = {.name = "CLIP zero-shot",
                                                    .summary = "CLIP with prompts for classes (zero_shot.json)",
                                                    .batch = 8,
                                                    .is = is_zero_shot,
                                                    .open = open_zero_shot,
                                                    .build = build_zero_shot,
                                                    .close = close_zero_shot};
