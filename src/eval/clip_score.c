#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/features.h"
#include "eval/intervals.h"
#include "models/clip_prompts.h"

enum { BATCH = 8 };

typedef struct scorer {
    eq_context *ctx;
    eq_clip_model model;
    eq_preparation preparation;
    eq_clip_prompts prompts;
    eq_program *program;    /* of the vision tower */
    eq_value images, codes; /* [BATCH, size, size, 3], [BATCH, projection_dim] */
    const char *prompt;     /* that `direction` is of; NULL: none yet */
    double *direction;      /* [projection_dim], a unit vector */
} scorer;

static void scorer_close(scorer *s)
{
    eq_program_free(s->program);
    eq_clip_prompts_close(&s->prompts);
    eq_clip_model_close(&s->model);
    free(s->direction);
}

static eq_status compile_vision(scorer *s)
{
    int64_t size = s->model.vision.image_size;
    eq_graph *graph = eq_graph_new(s->ctx, EQ_F32);
    if (!graph)
        return eq_fail_memory(s->ctx, "a graph");
    s->images = eq_graph_input(graph, "images", EQ_F32, eq_shape_of(BATCH, size, size, 3));
    s->codes = eq_clip_vision_build(&(eq_builder){graph, s->model.vision_params}, &s->model.vision, s->images);
    eq_graph_output(graph, s->codes, "codes");
    return eq_program_compile(graph, &(eq_program_options){0}, &s->program);
}

static eq_status scorer_open(eq_context *ctx, const char *folder, scorer *s)
{
    *s = (scorer){.ctx = ctx};
    EQ_TRY(eq_clip_model_open(ctx, folder, &s->model));
    EQ_TRY(eq_clip_model_preparation(ctx, folder, &s->model, &s->preparation));
    EQ_TRY(eq_clip_prompts_open(ctx, folder, &s->model, &s->prompts));
    s->direction = calloc((size_t)s->model.text.projection_dim, sizeof *s->direction);
    return s->direction ? compile_vision(s) : eq_fail_memory(ctx, "CLIP");
}

/* x: [size, size, 3] */
static eq_status read_image(scorer *s, const char *folder, const char *name, float *x)
{
    char *path = eq_path_join(folder, name);
    if (!path)
        return eq_fail_memory(s->ctx, "a path");
    eq_image whole = {0}, fitted = {0};
    eq_status status = eq_image_read(s->ctx, path, &whole);
    if (status == EQ_OK)
        status = eq_prepare_pixels(s->ctx, &s->preparation, &whole, &fitted);
    if (status == EQ_OK)
        eq_prepare_normalise(&s->preparation, fitted.pixels, x);
    eq_image_free(&whole);
    eq_image_free(&fitted);
    free(path);
    return status;
}

/* Runs of the same prompt, as sets have them, are encoded once. */
static eq_status turn_to(scorer *s, const char *prompt)
{
    if (s->prompt && strcmp(s->prompt, prompt) == 0)
        return EQ_OK;
    memset(s->direction, 0, (size_t)s->model.text.projection_dim * sizeof *s->direction);
    s->prompt = prompt;
    return eq_clip_prompts_add(&s->prompts, prompt, s->direction);
}

/* code: [projection_dim] */
static double score(const scorer *s, const float *code)
{
    double dot = 0, squares = 0;
    for (int k = 0; k < s->model.vision.projection_dim; k++) {
        dot += s->direction[k] * code[k];
        squares += (double)code[k] * code[k];
    }
    return squares > 0 ? 100 * fmax(dot / sqrt(squares), 0) : 0;
}

/* scores: [files->count] */
static eq_status score_all(scorer *s, const char *folder, const eq_names *files, const char *const *prompts,
                           eq_label_progress progress, void *user, double *scores)
{
    size_t side = (size_t)s->model.vision.image_size, image = side * side * 3;
    size_t d = (size_t)s->model.vision.projection_dim;
    for (size_t first = 0; first < files->count; first += BATCH) {
        size_t n = files->count - first < BATCH ? files->count - first : BATCH;
        float *x = eq_program_data(s->program, s->images);
        if (eq_cancelled(s->ctx))
            return eq_fail(s->ctx, EQ_CANCELLED, "cancelled");
        for (size_t i = 0; i < n; i++)
            EQ_TRY(read_image(s, folder, files->name[first + i], x + i * image));
        EQ_TRY(eq_program_run(s->program));
        const float *codes = eq_program_data(s->program, s->codes);
        for (size_t i = 0; i < n; i++) {
            EQ_TRY(turn_to(s, prompts[first + i]));
            scores[first + i] = score(s, codes + i * d);
        }
        if (progress)
            progress(user, (int64_t)(first + n), (int64_t)files->count);
    }
    return EQ_OK;
}

static double mean_of(const double *mean, int k, const void *user)
{
    return mean[0];
}

eq_status eq_clip_score(eq_context *ctx, const char *clip, const char *folder, const eq_names *files,
                        const char *const *prompts, eq_label_progress progress, void *user, eq_estimate *out)
{
    scorer s;
    double *scores = malloc((files->count + 1) * sizeof *scores);
    eq_status status = scorer_open(ctx, clip, &s);
    if (status == EQ_OK && !scores)
        status = eq_fail_memory(ctx, "CLIP scores");
    if (status == EQ_OK && files->count == 0)
        status = eq_fail(ctx, EQ_BAD_USAGE, "%s: no images to score", folder);
    if (status == EQ_OK)
        status = score_all(&s, folder, files, prompts, progress, user, scores);
    if (status == EQ_OK)
        status = eq_bootstrap_mean(ctx, scores, (int)files->count, 1, mean_of, NULL, out);
    scorer_close(&s);
    free(scores);
    return status;
}
