#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/path.h"
#include "train_adp.h"

/* --- labels --- */

/* pixels: [n, side, side, 3] of images first, first + 1, ... */
static eq_status classify(const eq_adp_recorded *images, int64_t first, int64_t n, const uint8_t *pixels)
{
    const eq_adp_run *r = images->run;
    int side = eq_model_image_size(&r->pipeline->model);
    return eq_classifier_pseudo_label(r->classifier, pixels, n, side, side, r->s->confidence, images->count,
                                      images->classes + first);
}

static eq_status look_up(eq_adp_run *r, const eq_labels *labels)
{
    eq_names names = {.name = r->data.names, .count = (size_t)r->learnt.count};
    int64_t *rows = malloc((size_t)r->learnt.count * sizeof *rows);
    if (!rows)
        return eq_fail_memory(r->call->ctx, "labels");
    eq_labels_match match;
    eq_status status = eq_labels_match_images(r->call->ctx, labels, &names, rows, &match);
    if (status == EQ_OK && match.matched == 0)
        status = eq_fail(r->call->ctx, EQ_BAD_INPUT, "%s names none of the images in %s", r->s->labels, r->s->images);
    for (int a = 0; status == EQ_OK && a < r->attribute_count; a++)
        for (int64_t i = 0; i < r->learnt.count; i++)
            r->learnt.classes[a * r->learnt.count + i] =
                rows[i] < 0 ? -1 : labels->classes[rows[i] * labels->attribute_count + a];
    free(rows);
    return status;
}

/* --- recording --- */

eq_status eq_adp_recorded_open(eq_adp_run *run, int64_t count, char *path, eq_adp_recorded *out)
{
    size_t labels = (size_t)run->attribute_count * (size_t)count + 1;
    *out = (eq_adp_recorded){.run = run, .count = count, .path = path, .classes = malloc(labels * sizeof(int))};
    return out->path && out->classes ? EQ_OK : eq_fail_memory(run->call->ctx, "labels");
}

void eq_adp_recorded_close(eq_adp_recorded *images)
{
    eq_h_store_close(&images->store);
    if (images->path && !images->keep)
        unlink(images->path);
    free(images->path);
    free(images->classes);
    *images = (eq_adp_recorded){0};
}

static void show_images(void *user, int64_t done, int64_t total)
{
    const eq_adp_recorded *images = user;
    double count = (double)images->count;
    eq_progress_set(images->run->call->progress, (double)done / (double)total * count, count, NULL);
}

/* How samples are labelled. */
static eq_status see_samples(void *user, int64_t first, int64_t n, uint8_t *pixels)
{
    return classify(user, first, n, pixels);
}

/* How images come in, and are labelled at once if by a classifier. */
static eq_status load_images(void *user, int64_t first, int64_t n, uint8_t *pixels)
{
    const eq_adp_recorded *images = user;
    eq_adp_run *r = images->run;
    EQ_TRY(eq_dataset_load(r->call->ctx, &r->data, r->s->images, first, n, pixels));
    return r->classifier ? classify(images, first, n, pixels) : EQ_OK;
}

eq_record_options eq_adp_record_options(eq_adp_recorded *images)
{
    const eq_adp_run *r = images->run;
    const eq_adp_settings *s = r->s;
    eq_record_options o = {.count = images->count,
                           .steps = (int)s->steps,
                           .every = (int)s->every,
                           .eta = s->eta,
                           .seed = (uint64_t)r->call->common.seed,
                           .micro_batch = s->micro_batch,
                           .bf16 = r->dtype == EQ_BF16,
                           .prompts = &s->prompt,
                           .prompt_count = s->prompt ? 1 : 0,
                           .negative_prompt = s->negative,
                           .cfg = eq_given(r->call, "cfg") ? s->cfg : 0,
                           .tokenizer = s->tokenizer,
                           .progress = show_images,
                           .progress_user = images};
    if (r->prompts.count > 0) {
        o.prompts = r->prompts.texts;
        o.prompt_count = r->prompts.count;
        o.prompt_images = r->prompts.images;
    }
    return o;
}

/* How many images there will be, and room for their labels. */
static eq_status prepare(eq_adp_run *r)
{
    const eq_adp_settings *s = r->s;
    eq_context *ctx = r->call->ctx;
    int side = eq_model_image_size(&r->pipeline->model);
    EQ_TRY(eq_make_folders(ctx, s->out));
    if (s->from != EQ_ADP_FROM_SAMPLES)
        EQ_TRY(eq_dataset_list(ctx, s->images, side, s->strict, s->count, &r->data));
    int64_t count = s->from == EQ_ADP_FROM_SAMPLES ? s->count : r->data.count;
    char *path = s->h_file ? strdup(s->h_file) : eq_path_join(s->out, "h-vectors.tmp");
    eq_status status = eq_adp_recorded_open(r, count, path, &r->learnt);
    r->learnt.keep = s->h_file != NULL;
    return status;
}

eq_status eq_adp_record_samples(eq_adp_recorded *images, const eq_record_options *options, const char *doing)
{
    eq_adp_run *r = images->run;
    eq_record_pixels see = {images, see_samples};
    eq_progress_begin(r->call->progress, doing, "images");
    EQ_TRY(eq_record_samples(r->pipeline, options, images->path, r->classifier ? &see : NULL));
    eq_progress_end(r->call->progress);
    return eq_h_store_open(r->call->ctx, images->path, &images->store);
}

static eq_status encode_images(eq_adp_recorded *images, const eq_record_options *options)
{
    eq_adp_run *r = images->run;
    eq_record_pixels load = {images, load_images};
    eq_progress_begin(r->call->progress, "encoding", "images");
    EQ_TRY(eq_record_images(r->pipeline, options, &load, r->s->from == EQ_ADP_FROM_INVERSION, images->path));
    eq_progress_end(r->call->progress);
    return eq_h_store_open(r->call->ctx, images->path, &images->store);
}

static eq_status record(eq_adp_run *r)
{
    eq_record_options o = eq_adp_record_options(&r->learnt);
    return r->s->from == EQ_ADP_FROM_SAMPLES ? eq_adp_record_samples(&r->learnt, &o, "sampling")
                                             : encode_images(&r->learnt, &o);
}

eq_status eq_adp_record_classified(eq_adp_run *r)
{
    EQ_TRY(prepare(r));
    return record(r);
}

eq_status eq_adp_record_prompted(eq_adp_run *r)
{
    EQ_TRY(prepare(r));
    eq_class_prompts_label(&r->prompts, r->learnt.classes);
    return record(r);
}

eq_status eq_adp_record_labelled(eq_adp_run *r, const eq_labels *labels)
{
    EQ_TRY(prepare(r));
    EQ_TRY(look_up(r, labels));
    return record(r);
}
