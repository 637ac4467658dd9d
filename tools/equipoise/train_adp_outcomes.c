#include <stdlib.h>
#include <unistd.h>

#include "base/path.h"
#include "train/outcome_fit.h"
#include "train_adp.h"

/* The model's own samples, as generate draws them when it is not told otherwise: all noise fresh. */
static const double fresh_noise = 1;

typedef struct outcomes {
    eq_adp_run *run;
    int64_t count;
    int *classes; /* [attribute_count, count], -1: unknown; owned */
    char *path;   /* of their h; owned */
    eq_h_store store;
} outcomes;

static eq_status see_samples(void *user, int64_t first, int64_t n, uint8_t *pixels)
{
    outcomes *o = user;
    int side = eq_model_image_size(&o->run->pipeline->model);
    return eq_classifier_pseudo_label(o->run->classifier, pixels, n, side, side, o->run->s->confidence, o->count,
                                      o->classes + first);
}

static void show_images(void *user, int64_t done, int64_t total)
{
    outcomes *o = user;
    eq_progress_set(o->run->call->progress, (double)done / (double)total * (double)o->count, (double)o->count, NULL);
}

static eq_status draw(outcomes *o)
{
    const eq_adp_settings *s = o->run->s;
    eq_record_options record = {.count = o->count,
                                .steps = (int)s->steps,
                                .every = (int)s->every,
                                .eta = fresh_noise,
                                .seed = (uint64_t)o->run->call->common.seed + 1, /* others than may have been learnt */
                                .micro_batch = s->micro_batch,
                                .bf16 = s->dtype == 1,
                                .prompts = &s->prompt,
                                .prompt_count = s->prompt ? 1 : 0,
                                .negative_prompt = s->negative,
                                .cfg = eq_given(o->run->call, "cfg") ? s->cfg : 0,
                                .tokenizer = s->tokenizer,
                                .progress = show_images,
                                .progress_user = o};
    eq_record_pixels see = {o, see_samples};
    eq_progress_begin(o->run->call->progress, "own samples", "images");
    EQ_TRY(eq_record_samples(o->run->pipeline, &record, o->path, &see));
    eq_progress_end(o->run->call->progress);
    return eq_h_store_open(o->run->call->ctx, o->path, &o->store);
}

static eq_status fit_all(const outcomes *o, eq_adp *adps, int count)
{
    const eq_adp_run *r = o->run;
    for (int i = 0; i < count; i++) {
        int a = eq_attribute_find(r->attributes, r->attribute_count, adps[i].attribute.name);
        EQ_TRY(eq_adp_fit_outcomes(r->call->ctx, &o->store, o->classes + a * o->count, &adps[i]));
    }
    return EQ_OK;
}

eq_status eq_adp_outcomes(eq_adp_run *r, eq_adp *adps, int count)
{
    outcomes o = {.run = r, .count = r->s->own_samples};
    if (o.count == 0 || count == 0)
        return EQ_OK;
    o.path = eq_path_join(r->s->out, "own-samples.tmp");
    o.classes = malloc((size_t)r->attribute_count * (size_t)o.count * sizeof *o.classes);
    eq_status status = o.path && o.classes ? draw(&o) : eq_fail_memory(r->call->ctx, "samples");
    if (status == EQ_OK)
        status = fit_all(&o, adps, count);
    eq_h_store_close(&o.store);
    if (o.path)
        unlink(o.path);
    free(o.path);
    free(o.classes);
    return status;
}
