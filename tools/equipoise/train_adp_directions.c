#include <stdlib.h>

#include "base/path.h"
#include "io/image.h"
#include "models.h"
#include "train/decoder_directions.h"
#include "train_adp.h"

/* Means settle with few; every image costs a pass back through the decoder for each class. */
enum { IMAGES = 64, BATCH = 16 };

static bool possible(const eq_adp_run *r, const char *classifier)
{
    const eq_model *model = &r->pipeline->model;
    char *own = classifier ? eq_path_join(classifier, "classifier.json") : NULL;
    bool known = own && eq_path_exists(own);
    free(own);
    return known && r->s->images && !model->latent && !eq_model_prompted(model) &&
           eq_classifier_size(r->classifier) == eq_model_image_size(model);
}

static void show_timesteps(void *user, int64_t done, int64_t total)
{
    eq_adp_run *r = user;
    eq_progress_set(r->call->progress, (double)done, (double)total, NULL);
}

/* images: [count, side, side, 3] in [-1, 1] */
static eq_status load_images(eq_adp_run *r, int64_t count, int side, float *images)
{
    size_t size = (size_t)count * (size_t)side * (size_t)side * 3;
    uint8_t *pixels = malloc(size);
    if (!pixels)
        return eq_fail_memory(r->call->ctx, "images");
    eq_status status = eq_dataset_load(r->call->ctx, &r->data, r->s->images, 0, count, pixels);
    if (status == EQ_OK)
        eq_pixels_to_float(pixels, size, images);
    free(pixels);
    return status;
}

static eq_status through_decoder(eq_adp_run *r, const char *folder, eq_adp *adps, int count)
{
    eq_context *ctx = r->call->ctx;
    int side = eq_model_image_size(&r->pipeline->model);
    int64_t images = r->learnt.count < IMAGES ? r->learnt.count : IMAGES;
    eq_classifier_file classifier = {0};
    float *x = malloc((size_t)images * (size_t)side * (size_t)side * 3 * sizeof *x);
    eq_status status = x ? load_images(r, images, side, x) : eq_fail_memory(ctx, "images");
    if (status == EQ_OK)
        status = eq_classifier_file_open(ctx, folder, &classifier);
    if (status == EQ_OK) {
        eq_decoder_directions job = {.model = &r->pipeline->model,
                                     .classifier = &classifier,
                                     .images = x,
                                     .count = images,
                                     .batch = images < BATCH ? images : BATCH,
                                     .dtype = r->dtype,
                                     .seed = (uint64_t)r->call->common.seed,
                                     .progress = show_timesteps,
                                     .user = r};
        eq_progress_begin(r->call->progress, "directions", "timesteps");
        status = eq_decoder_directions_find(ctx, &job, adps, count);
        eq_progress_end(r->call->progress);
        eq_classifier_file_close(&classifier);
    }
    free(x);
    return status;
}

eq_status eq_adp_directions(eq_adp_run *r, eq_adp *adps, int count)
{
    int wish = r->s->directions;
    char *folder = NULL;
    if (r->s->classifier)
        EQ_TRY(eq_classifier_folder(r->call->ctx, r->model, r->s->classifier, &folder));
    bool can = possible(r, folder);
    eq_status status = EQ_OK;
    if (wish == EQ_ADP_DIRECTIONS_DECODER && !can)
        status = eq_fail(r->call->ctx, EQ_BAD_USAGE,
                         "--directions decoder needs a model of pixels, --images, and a --classifier folder of this "
                         "tool for images of the model's size");
    if (status == EQ_OK && can && wish != EQ_ADP_DIRECTIONS_MEANS && count > 0)
        status = through_decoder(r, folder, adps, count);
    free(folder);
    return status;
}
