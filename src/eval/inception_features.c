#include <stdlib.h>
#include <string.h>

#include "eval/features.h"
#include "kernels/program.h"
#include "models/inception.h"

enum { BATCH = 4 };

struct eq_inception {
    eq_context *ctx;
    eq_params *params;
    eq_value images, features; /* [BATCH, 299, 299, 3], [BATCH, feature count] */
    eq_program *program;
};

static eq_status load(eq_inception *inception, const char *path, eq_inception_config *config)
{
    eq_tensor_file file;
    inception->params = eq_params_new(inception->ctx);
    if (!inception->params)
        return eq_fail_memory(inception->ctx, "parameters");
    EQ_TRY(eq_tensor_file_open(inception->ctx, path, &file));
    eq_status status = eq_inception_load(inception->ctx, &file, config, inception->params);
    eq_tensor_file_close(&file);
    return status;
}

static eq_status compile(eq_inception *inception, const eq_inception_config *config)
{
    eq_graph *graph = eq_graph_new(inception->ctx, EQ_F32);
    if (!graph)
        return eq_fail_memory(inception->ctx, "a graph");
    inception->images =
        eq_graph_input(graph, "images", EQ_F32, eq_shape_of(BATCH, EQ_INCEPTION_SIZE, EQ_INCEPTION_SIZE, 3));
    inception->features = eq_inception_build(&(eq_builder){graph, inception->params}, config, inception->images);
    eq_graph_output(graph, inception->features, "features");
    return eq_program_compile(graph, &(eq_program_options){.frozen_params = true}, &inception->program);
}

eq_status eq_inception_open(eq_context *ctx, const char *path, eq_inception **out)
{
    *out = NULL;
    eq_inception_config config;
    eq_inception *inception = calloc(1, sizeof *inception);
    if (!inception)
        return eq_fail_memory(ctx, "Inception-v3");
    inception->ctx = ctx;
    eq_status status = load(inception, path, &config);
    if (status == EQ_OK)
        status = compile(inception, &config);
    if (status == EQ_OK)
        *out = inception;
    else
        eq_inception_close(inception);
    return status;
}

void eq_inception_close(eq_inception *inception)
{
    if (!inception)
        return;
    eq_program_free(inception->program);
    eq_params_free(inception->params);
    free(inception);
}

int eq_inception_feature_count(const eq_inception *inception)
{
    return (int)eq_shape_at(eq_program_graph(inception->program), inception->features)->dim[1];
}

/* x: [299, 299, 3] */
static eq_status read_image(eq_inception *inception, const char *folder, const char *name, float *x)
{
    char *path = eq_path_join(folder, name);
    if (!path)
        return eq_fail_memory(inception->ctx, "a path");
    eq_image image = {0};
    eq_status status = eq_image_read(inception->ctx, path, &image);
    if (status == EQ_OK)
        eq_inception_prepare(&image, x);
    eq_image_free(&image);
    free(path);
    return status;
}

eq_status eq_inception_run(eq_inception *inception, const char *folder, const eq_names *files,
                           eq_label_progress progress, void *user, float *features)
{
    size_t d = (size_t)eq_inception_feature_count(inception), image = (size_t)EQ_INCEPTION_SIZE * EQ_INCEPTION_SIZE * 3;
    for (size_t first = 0; first < files->count; first += BATCH) {
        size_t n = files->count - first < BATCH ? files->count - first : BATCH;
        float *x = eq_program_data(inception->program, inception->images);
        if (eq_cancelled(inception->ctx))
            return eq_fail(inception->ctx, EQ_CANCELLED, "cancelled");
        for (size_t i = 0; i < n; i++)
            EQ_TRY(read_image(inception, folder, files->name[first + i], x + i * image));
        EQ_TRY(eq_program_run(inception->program));
        memcpy(features + first * d, eq_program_data(inception->program, inception->features), n * d * sizeof(float));
        if (progress)
            progress(user, (int64_t)(first + n), (int64_t)files->count);
    }
    return EQ_OK;
}
