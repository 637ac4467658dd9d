#include <stdlib.h>

#include "base/file.h"
#include "base/path.h"
#include "train_adp.h"

/* --- labels --- */

static eq_status allocate_classes(eq_adp_run *r)
{
    size_t count = (size_t)r->attribute_count * (size_t)r->count;
    r->classes = malloc((count + 1) * sizeof *r->classes);
    return r->classes ? EQ_OK : eq_fail_memory(r->call->ctx, "labels");
}

/* pixels: [n, side, side, 3] of images first, first + 1, ... */
static eq_status classify(eq_adp_run *r, int64_t first, int64_t n, const uint8_t *pixels)
{
    int side = eq_model_image_size(&r->pipeline->model);
    return eq_classifier_pseudo_label(r->classifier, pixels, n, side, side, r->s->confidence, r->count,
                                      r->classes + first);
}

static eq_status look_up(eq_adp_run *r, const eq_labels *labels)
{
    eq_names names = {.name = r->data.names, .count = (size_t)r->count};
    int64_t *rows = malloc((size_t)r->count * sizeof *rows);
    if (!rows)
        return eq_fail_memory(r->call->ctx, "labels");
    eq_labels_match match;
    eq_status status = eq_labels_match_images(r->call->ctx, labels, &names, rows, &match);
    if (status == EQ_OK && match.matched == 0)
        status = eq_fail(r->call->ctx, EQ_BAD_INPUT, "%s names none of the images in %s", r->s->labels, r->s->images);
    for (int a = 0; status == EQ_OK && a < r->attribute_count; a++)
        for (int64_t i = 0; i < r->count; i++)
            r->classes[a * r->count + i] = rows[i] < 0 ? -1 : labels->classes[rows[i] * labels->attribute_count + a];
    free(rows);
    return status;
}

/* --- recording --- */

static void show_images(void *user, int64_t done, int64_t total)
{
    eq_adp_run *r = user;
    eq_progress_set(r->call->progress, (double)done / (double)total * (double)r->count, (double)r->count, NULL);
}

/* How samples are labelled. */
static eq_status see_samples(void *user, int64_t first, int64_t n, uint8_t *pixels)
{
    return classify(user, first, n, pixels);
}

/* How images come in, and are labelled at once if by a classifier. */
static eq_status load_images(void *user, int64_t first, int64_t n, uint8_t *pixels)
{
    eq_adp_run *r = user;
    EQ_TRY(eq_dataset_load(r->call->ctx, &r->data, r->s->images, first, n, pixels));
    return r->classifier ? classify(r, first, n, pixels) : EQ_OK;
}

static eq_record_options record_options(eq_adp_run *r)
{
    const eq_adp_settings *s = r->s;
    eq_record_options o = {.count = r->count,
                           .steps = (int)s->steps,
                           .every = (int)s->every,
                           .eta = s->eta,
                           .seed = (uint64_t)r->call->common.seed,
                           .micro_batch = s->micro_batch,
                           .bf16 = s->dtype == 1,
                           .prompts = &s->prompt,
                           .prompt_count = s->prompt ? 1 : 0,
                           .negative_prompt = s->negative,
                           .cfg = eq_given(r->call, "cfg") ? s->cfg : 0,
                           .tokenizer = s->tokenizer,
                           .progress = show_images,
                           .progress_user = r};
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
    r->count = s->from == EQ_ADP_FROM_SAMPLES ? s->count : r->data.count;
    return allocate_classes(r);
}

static eq_status record(eq_adp_run *r)
{
    const eq_adp_settings *s = r->s;
    eq_record_options o = record_options(r);
    eq_record_pixels see = {r, see_samples}, load = {r, load_images};
    eq_progress_begin(r->call->progress, s->from == EQ_ADP_FROM_SAMPLES ? "sampling" : "encoding", "images");
    if (s->from == EQ_ADP_FROM_SAMPLES)
        EQ_TRY(eq_record_samples(r->pipeline, &o, r->h_path, r->classifier ? &see : NULL));
    else
        EQ_TRY(eq_record_images(r->pipeline, &o, &load, s->from == EQ_ADP_FROM_INVERSION, r->h_path));
    eq_progress_end(r->call->progress);
    return eq_h_store_open(r->call->ctx, r->h_path, &r->store);
}

eq_status eq_adp_record_classified(eq_adp_run *r)
{
    EQ_TRY(prepare(r));
    return record(r);
}

eq_status eq_adp_record_prompted(eq_adp_run *r)
{
    EQ_TRY(prepare(r));
    eq_class_prompts_label(&r->prompts, r->classes);
    return record(r);
}

eq_status eq_adp_record_labelled(eq_adp_run *r, const eq_labels *labels)
{
    EQ_TRY(prepare(r));
    EQ_TRY(look_up(r, labels));
    return record(r);
}
