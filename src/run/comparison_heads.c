/* Predictors of the suite's own: h is recorded once, from images that the classifier labels, and every method that asks
 * for it gets heads from as many images, with as many mistakes and of the kind that it wants. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "guidance/adp_file.h"
#include "run/comparison_parts.h"
#include "run/record.h"
#include "train/adp_trainer.h"
#include "train/dataset.h"
#include "train/label_choice.h"

typedef struct heads_run {
    eq_comparison *c;
    eq_dataset data;
    int attribute_count;
    const eq_attribute *attributes; /* the classifier's */
    int *labels;                    /* [attribute_count, images], -1: unknown */
    eq_h_store store;
    char *h_path;
} heads_run;

/* "heads/NAME/ATTRIBUTE.safetensors" below the comparison's folder. */
static eq_status heads_path(const eq_comparison *c, int method, const char *attribute, char **out)
{
    char *name = eq_format("heads/%s/%s.safetensors", c->suite->methods[method].name, attribute);
    eq_status status = name ? eq_comparison_path(c, name, out) : eq_fail_memory(c->ctx, "a path");
    free(name);
    return status;
}

static eq_status is_missing(const eq_comparison *c, int method, const char *attribute, bool *out)
{
    char *path;
    EQ_TRY(heads_path(c, method, attribute, &path));
    *out = !eq_path_exists(path);
    free(path);
    return EQ_OK;
}

static eq_status any_missing(const eq_comparison *c, bool *out)
{
    *out = false;
    for (int m = 0; m < c->suite->method_count; m++)
        for (int a = 0; c->suite->methods[m].has_heads && a < c->pipeline->adp_count && !*out; a++)
            if (eq_comparison_wants(c, c->pipeline->attributes[a].name, NULL))
                EQ_TRY(is_missing(c, m, c->pipeline->attributes[a].name, out));
    return EQ_OK;
}

/* --- recording --- */

static void show(void *user, int64_t done, int64_t total)
{
    const heads_run *r = user;
    eq_comparison_tell(r->c, "recording h", 0);
}

static eq_status load(void *user, int64_t first, int64_t n, uint8_t *pixels)
{
    heads_run *r = user;
    eq_comparison *c = r->c;
    int side = eq_model_image_size(&c->pipeline->model);
    EQ_TRY(eq_dataset_load(c->ctx, &r->data, c->heads_folder, first, n, pixels));
    return eq_classifier_pseudo_label(c->classifier, pixels, n, side, side, c->suite->heads_confidence, r->data.count,
                                      r->labels + first);
}

static eq_status record(heads_run *r)
{
    eq_comparison *c = r->c;
    EQ_TRY(
        eq_dataset_list(c->ctx, c->heads_folder, eq_model_image_size(&c->pipeline->model), true, INT64_MAX, &r->data));
    r->attributes = eq_classifier_attributes(c->classifier, &r->attribute_count);
    r->labels = calloc((size_t)r->attribute_count * (size_t)r->data.count + 1, sizeof *r->labels);
    if (!r->labels)
        return eq_fail_memory(c->ctx, "labels");
    eq_record_options o = {.count = r->data.count,
                           .steps = (int)c->suite->steps,
                           .every = (int)c->suite->heads_every,
                           .seed = (uint64_t)c->suite->tuning_seed,
                           .bf16 = c->bf16,
                           .progress = show,
                           .progress_user = r};
    eq_record_pixels pixels = {r, load};
    EQ_TRY(eq_comparison_path(c, "heads", &r->h_path));
    EQ_TRY(eq_make_folders(c->ctx, r->h_path));
    free(r->h_path);
    EQ_TRY(eq_comparison_path(c, "heads/h-vectors.tmp", &r->h_path));
    EQ_TRY(eq_record_images(c->pipeline, &o, &pixels, false, r->h_path));
    return eq_h_store_open(c->ctx, r->h_path, &r->store);
}

/* --- training --- */

static void show_training(void *user, int done, int heads)
{
    const heads_run *r = user;
    eq_comparison_tell(r->c, "training predictors", 0);
}

static eq_status write_heads(const eq_comparison *c, int method, const eq_adp *adp)
{
    char *path, *folder;
    EQ_TRY(heads_path(c, method, adp->attribute.name, &path));
    folder = eq_path_folder(path);
    eq_status status = folder ? eq_make_folders(c->ctx, folder) : eq_fail_memory(c->ctx, "a path");
    if (status == EQ_OK)
        status = eq_adp_write(c->ctx, path, adp);
    free(folder);
    free(path);
    return status;
}

/* attribute: the pipeline's. */
static eq_status train(heads_run *r, int method, const eq_attribute *attribute)
{
    eq_comparison *c = r->c;
    const eq_suite_heads *heads = &c->suite->methods[method].heads;
    uint64_t seed = (uint64_t)c->suite->tuning_seed;
    int a = eq_attribute_find(r->attributes, r->attribute_count, attribute->name);
    if (a < 0)
        return eq_fail(c->ctx, EQ_BAD_USAGE, "the classifier %s cannot label \"%s\" for predictors",
                       c->options->classifier, attribute->name);
    size_t n = (size_t)r->data.count;
    int *labels = malloc((n + 1) * sizeof *labels), classes = r->attributes[a].classes;
    if (!labels)
        return eq_fail_memory(c->ctx, "labels");
    memcpy(labels, r->labels + (size_t)a * n, n * sizeof *labels);
    if (heads->per_class > 0)
        eq_labels_limit(labels, r->data.count, classes, heads->per_class, seed);
    eq_labels_disturb(labels, r->data.count, classes, heads->label_noise, seed);
    eq_adp_training training = eq_adp_training_defaults();
    training.epochs = heads->epochs;
    training.hidden = heads->hidden;
    training.balance = true;
    training.seed = seed;
    eq_adp adp;
    eq_status status = eq_adp_train(c->ctx, &training, &r->store, &r->attributes[a], labels, show_training, r, &adp);
    free(labels);
    EQ_TRY(status);
    snprintf(adp.labeller, sizeof adp.labeller, "%s", eq_classifier_hash(c->classifier));
    status = write_heads(c, method, &adp);
    eq_adp_free(&adp);
    return status;
}

static eq_status train_missing(heads_run *r)
{
    eq_comparison *c = r->c;
    EQ_TRY(record(r));
    for (int m = 0; m < c->suite->method_count; m++)
        for (int a = 0; c->suite->methods[m].has_heads && a < c->pipeline->adp_count; a++) {
            bool missing = false;
            if (eq_comparison_wants(c, c->pipeline->attributes[a].name, NULL))
                EQ_TRY(is_missing(c, m, c->pipeline->attributes[a].name, &missing));
            if (missing)
                EQ_TRY(train(r, m, &c->pipeline->attributes[a]));
        }
    return EQ_OK;
}

/* --- using --- */

/* The mean accuracy over timesteps; NaN where it is not known. */
static double accuracy_of(const eq_adp *adp)
{
    double sum = 0;
    for (int i = 0; adp->accuracy && i < adp->heads; i++)
        sum += adp->accuracy[i];
    return adp->accuracy ? sum / adp->heads : NAN;
}

static eq_status open_heads(eq_comparison *c, int method)
{
    json_t *accuracies = json_object();
    json_object_set_new(c->heads, c->suite->methods[method].name, accuracies);
    EQ_TRY(eq_pipeline_open(c->ctx, c->options->model, &c->method_pipelines[method]));
    eq_pipeline *pipeline = c->method_pipelines[method];
    for (int a = 0; a < c->pipeline->adp_count; a++) {
        char *path;
        const char *name = c->pipeline->attributes[a].name;
        if (!eq_comparison_wants(c, name, NULL))
            continue;
        EQ_TRY(heads_path(c, method, name, &path));
        eq_status status = eq_pipeline_add_predictor(pipeline, path);
        free(path);
        EQ_TRY(status);
        c->factors[method][a] = 0;
        double accuracy = accuracy_of(&pipeline->adps[a]);
        json_object_set_new(accuracies, name, isfinite(accuracy) ? json_real(accuracy) : json_null());
    }
    return EQ_OK;
}

eq_status eq_comparison_train_heads(eq_comparison *c)
{
    bool missing;
    EQ_TRY(any_missing(c, &missing));
    if (missing && !c->classifier)
        return eq_fail(c->ctx, EQ_BAD_USAGE,
                       "predictors of the suite's own need a \"classifier\" that labels for them");
    if (missing) {
        heads_run r = {.c = c};
        eq_status status = train_missing(&r);
        eq_h_store_close(&r.store);
        if (r.h_path)
            unlink(r.h_path);
        eq_dataset_close(&r.data);
        free(r.h_path);
        free(r.labels);
        EQ_TRY(status);
    }
    for (int m = 0; m < c->suite->method_count; m++)
        if (c->suite->methods[m].has_heads)
            EQ_TRY(open_heads(c, m));
    return EQ_OK;
}
