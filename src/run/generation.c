#include "run/generation.h"

#include <stdlib.h>

size_t eq_generation_image_bytes(const eq_generation *g)
{
    return (size_t)g->width * (size_t)g->height * 3;
}

static bool allocate(const eq_pipeline *pipeline, eq_generation *g)
{
    size_t n = (size_t)g->count, steps = (size_t)g->steps, attributes = (size_t)g->attribute_count;
    g->pixels = malloc(n * eq_generation_image_bytes(g));
    g->timesteps = calloc(steps, sizeof *g->timesteps);
    g->predictions = calloc(attributes + 1, sizeof *g->predictions);
    g->mean_per_step = calloc(attributes + 1, sizeof *g->mean_per_step);
    g->strengths = calloc(attributes + 1, sizeof *g->strengths);
    g->cells = malloc((n * (size_t)g->target_count + 1) * sizeof *g->cells);
    g->moved = calloc(n, 1);
    g->indices = malloc(n * sizeof *g->indices);
    g->batches = calloc(n, sizeof *g->batches);
    g->replaces = malloc(n * sizeof *g->replaces);
    if (!g->pixels || !g->timesteps || !g->predictions || !g->mean_per_step || !g->strengths || !g->cells ||
        !g->moved || !g->indices || !g->batches || !g->replaces)
        return false;
    for (size_t a = 0; a < attributes; a++) {
        size_t classes = (size_t)pipeline->attributes[a].classes;
        g->predictions[a] = calloc(n * classes, sizeof(float));
        g->mean_per_step[a] = calloc(steps * classes, sizeof(double));
        if (!g->predictions[a] || !g->mean_per_step[a])
            return false;
    }
    return true;
}

eq_status eq_generation_new(eq_pipeline *pipeline, const eq_run_settings *settings, const eq_targets *targets,
                            int64_t count, int64_t first_index, eq_generation *out)
{
    int side = eq_model_image_size(&pipeline->model);
    *out = (eq_generation){.count = count,
                           .width = side,
                           .height = side,
                           .coupled = settings->group,
                           .steps = settings->plan.steps,
                           .attribute_count = pipeline->adp_count,
                           .target_count = targets->count};
    if (!allocate(pipeline, out)) {
        eq_generation_free(out);
        return eq_fail_memory(pipeline->ctx, "the generated images");
    }
    for (int i = settings->plan.calls - 1; i >= 0; i--) /* where a step of several calls begins */
        out->timesteps[settings->plan.call[i].step] = settings->plan.call[i].timestep;
    for (int64_t i = 0; i < count; i++) {
        out->indices[i] = first_index + i;
        out->replaces[i] = -1;
    }
    for (int64_t i = 0; i < count * targets->count; i++)
        out->cells[i] = -1;
    return EQ_OK;
}

void eq_generation_free(eq_generation *g)
{
    for (int a = 0; a < g->attribute_count; a++) {
        if (g->predictions)
            free(g->predictions[a]);
        if (g->mean_per_step)
            free(g->mean_per_step[a]);
    }
    free(g->predictions);
    free(g->mean_per_step);
    free(g->strengths);
    free(g->pixels);
    free(g->timesteps);
    free(g->cells);
    free(g->moved);
    free(g->indices);
    free(g->batches);
    free(g->replaces);
    *g = (eq_generation){0};
}

void eq_generation_copy_images(const eq_pipeline *pipeline, const eq_generation *from, int64_t i, int64_t n,
                               eq_generation *to, int64_t j)
{
    size_t image = eq_generation_image_bytes(to);
    memcpy(to->pixels + (size_t)j * image, from->pixels + (size_t)i * image, (size_t)n * image);
    for (int a = 0; a < to->attribute_count; a++) {
        int classes = pipeline->attributes[a].classes;
        memcpy(to->predictions[a] + j * classes, from->predictions[a] + i * classes,
               (size_t)(n * classes) * sizeof(float));
    }
}

void eq_generation_copy_row(const eq_pipeline *pipeline, const eq_generation *from, int64_t i, eq_generation *to,
                            int64_t j)
{
    eq_generation_copy_images(pipeline, from, i, 1, to, j);
    for (int t = 0; t < to->target_count; t++)
        to->cells[t * to->count + j] = from->cells[t * from->count + i];
    to->moved[j] = from->moved[i];
    to->indices[j] = from->indices[i];
    to->batches[j] = from->batches[i];
    to->replaces[j] = from->replaces[i];
}
