#include "run/pipeline.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/path.h"
#include "guidance/adp_file.h"
#include "guidance/adp_import.h"
#include "run/settings.h"

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Adds every *.safetensors of the folder, by name; a folder that is not there has none. */
static eq_status add_folder(eq_pipeline *pipeline, const char *folder)
{
    char *names[64];
    size_t count = 0;
    DIR *directory = opendir(folder);
    if (!directory && errno != ENOENT && errno != ENOTDIR)
        return eq_fail_system(pipeline->ctx, "read", folder, errno);
    if (!directory)
        return EQ_OK;
    for (struct dirent *entry; (entry = readdir(directory)) && count < 64;)
        if (eq_path_has_extension(entry->d_name, ".safetensors"))
            names[count++] = eq_path_join(folder, entry->d_name);
    closedir(directory);
    eq_status status = EQ_OK;
    for (size_t i = 0; i < count && status == EQ_OK; i++)
        if (!names[i])
            status = eq_fail_memory(pipeline->ctx, "a path");
    if (status == EQ_OK)
        qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < count; i++) {
        if (status == EQ_OK)
            status = eq_pipeline_add_predictor(pipeline, names[i]);
        free(names[i]);
    }
    return status;
}

/* Images are RGB; twice the channels come out of the U-Net where it predicts a variance too. */
static eq_status check_channels(eq_context *ctx, const eq_model *model)
{
    const eq_unet_config *unet = &model->unet;
    if (model->latent && model->vae.out_channels != 3)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: its autoencoder gives %d channels; images have 3", model->folder,
                       model->vae.out_channels);
    if (!model->latent && unet->in_channels != 3)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: its U-Net has %d channels in and %d out; a model of images has 3 in",
                       model->folder, unet->in_channels, unet->out_channels);
    if (unet->out_channels != unet->in_channels && unet->out_channels != 2 * unet->in_channels)
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: its U-Net has %d channels in and %d out; expected as many or twice as many", model->folder,
                       unet->in_channels, unet->out_channels);
    return EQ_OK;
}

eq_status eq_pipeline_open(eq_context *ctx, const char *folder, eq_pipeline **out)
{
    *out = NULL;
    eq_pipeline *pipeline = calloc(1, sizeof *pipeline);
    char *adps = eq_path_join(folder, "adp");
    eq_status status = EQ_OK;
    if (!pipeline || !adps) {
        status = eq_fail_memory(ctx, "a pipeline");
    } else {
        pipeline->ctx = ctx;
        status = eq_model_open(ctx, folder, &pipeline->model);
        if (status == EQ_OK)
            status = check_channels(ctx, &pipeline->model);
        if (status == EQ_OK)
            status = add_folder(pipeline, adps);
    }
    free(adps);
    if (status != EQ_OK) {
        eq_pipeline_close(pipeline);
        return status;
    }
    *out = pipeline;
    return EQ_OK;
}

void eq_pipeline_close(eq_pipeline *pipeline)
{
    if (!pipeline)
        return;
    for (int i = 0; i < pipeline->adp_count; i++) {
        eq_adp_free(&pipeline->adps[i]);
        free(pipeline->adp_paths[i]);
    }
    eq_networks_clear(&pipeline->networks);
    eq_encoded_release(pipeline->encoded);
    eq_model_close(&pipeline->model);
    free(pipeline);
}

eq_status eq_pipeline_use_vae(eq_pipeline *pipeline, const char *path)
{
    EQ_TRY(eq_model_use_vae(pipeline->ctx, &pipeline->model, path));
    return check_channels(pipeline->ctx, &pipeline->model);
}

/* Takes over the predictor, whether it succeeds or not. */
static eq_status add_heads(eq_pipeline *pipeline, const char *path, eq_adp *adp)
{
    int slot = eq_attribute_find(pipeline->attributes, pipeline->adp_count, adp->attribute.name);
    char *kept = strdup(path);
    const char *hash = "";
    /* Heads that are bound to no model are nothing to read all its weights for. */
    eq_status status = adp->model_hash[0] ? eq_model_hash(pipeline->ctx, &pipeline->model, &hash) : EQ_OK;
    if (status == EQ_OK)
        status = eq_adp_check_model(pipeline->ctx, adp, path, hash, &pipeline->model.h_shape);
    if (status == EQ_OK && !kept)
        status = eq_fail_memory(pipeline->ctx, "a path");
    if (status == EQ_OK && slot < 0 && pipeline->adp_count == EQ_MAX_ADPS)
        status = eq_fail(pipeline->ctx, EQ_BAD_USAGE, "%s: more than %d attribute predictors", path, EQ_MAX_ADPS);
    if (status != EQ_OK) {
        eq_adp_free(adp);
        free(kept);
        return status;
    }
    if (slot < 0) {
        slot = pipeline->adp_count++;
    } else {
        eq_adp_free(&pipeline->adps[slot]);
        free(pipeline->adp_paths[slot]);
    }
    pipeline->adps[slot] = *adp;
    pipeline->adp_paths[slot] = kept;
    pipeline->attributes[slot] = adp->attribute;
    return EQ_OK;
}

eq_status eq_pipeline_add_predictor(eq_pipeline *pipeline, const char *path)
{
    eq_adp adp;
    EQ_TRY(eq_adp_read(pipeline->ctx, path, &adp));
    return add_heads(pipeline, path, &adp);
}

/* --- published heads --- */

static int compare_timesteps(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The plan's timesteps, ascending, each once: samplers may call the network twice at one. */
static int plan_timesteps(const eq_plan *plan, int64_t *out)
{
    int count = 0;
    for (int i = 0; i < plan->calls; i++)
        out[i] = llround(plan->call[i].timestep);
    qsort(out, (size_t)plan->calls, sizeof *out, compare_timesteps);
    for (int i = 0; i < plan->calls; i++)
        if (count == 0 || out[count - 1] != out[i])
            out[count++] = out[i];
    return count;
}

/* The timesteps that the heads are taken to be trained for; malloc'ed. */
static eq_status training_timesteps(eq_pipeline *pipeline, int heads, const eq_generate_options *options, int64_t **out,
                                    int *count)
{
    eq_plan plan;
    EQ_TRY(eq_run_plan(pipeline, options, &plan));
    if (plan.steps != heads && plan.steps != heads + 1) {
        eq_generate_options trained = *options;
        bool published = heads == EQ_ADP_PUBLISHED_HEADS;
        trained.steps = published ? EQ_ADP_PUBLISHED_STEPS : heads;
        trained.spacing = published ? "paper" : options->spacing;
        trained.sampler = "ddim";
        eq_plan_free(&plan);
        EQ_TRY(eq_run_plan(pipeline, &trained, &plan));
    }
    *out = calloc((size_t)plan.calls, sizeof **out);
    if (*out)
        *count = plan_timesteps(&plan, *out);
    eq_plan_free(&plan);
    return *out ? EQ_OK : eq_fail_memory(pipeline->ctx, "timesteps");
}

static eq_status count_heads(eq_context *ctx, const char *path, int *out)
{
    eq_tensor_file file;
    EQ_TRY(eq_tensor_file_open(ctx, path, &file));
    *out = eq_adp_import_heads(&file);
    eq_tensor_file_close(&file);
    return EQ_OK;
}

eq_status eq_pipeline_import_predictor(eq_pipeline *pipeline, const char *path, const eq_attribute *attribute,
                                       const eq_generate_options *options)
{
    int heads, count = 0;
    int64_t *timesteps = NULL;
    eq_adp adp;
    EQ_TRY(count_heads(pipeline->ctx, path, &heads));
    if (heads > 0)
        EQ_TRY(training_timesteps(pipeline, heads, options, &timesteps, &count));
    eq_status status = eq_adp_import(pipeline->ctx, path, attribute, pipeline->model.h_shape, timesteps, count, &adp);
    free(timesteps);
    EQ_TRY(status);
    return add_heads(pipeline, path, &adp);
}

const eq_attribute *eq_pipeline_attributes(const eq_pipeline *pipeline, int *count)
{
    *count = pipeline->adp_count;
    return pipeline->attributes;
}
