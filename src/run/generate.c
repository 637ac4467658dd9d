/* A generation in memory: group after group. */
#include "base/clock.h"
#include "kernels/onednn/onednn.h"
#include "run/group.h"

typedef struct progress {
    const eq_generate_options *options;
    int64_t done_before, group, total; /* in steps of images */
} progress;

static void forward(void *user, int steps_done, int steps)
{
    const progress *p = user;
    if (p->options->progress)
        p->options->progress(p->options->progress_user, p->done_before + p->group * steps_done, p->total);
}

static eq_status sample_group(eq_pipeline *pipeline, const eq_run_settings *s, const eq_targets *targets, int64_t first,
                              int64_t n, int64_t batch, eq_generation *out)
{
    eq_group *group;
    EQ_TRY(eq_group_new(pipeline, s, targets, s->options->first_index + first, n, &group));
    progress p = {s->options, first * s->plan.steps, n, out->count * s->plan.steps};
    eq_status status = eq_group_sample(group, &(eq_group_watch){.progress = forward, .user = &p});
    if (status == EQ_OK) {
        eq_group_store(group, first, out);
        eq_group_account(group, out);
        for (int64_t i = first; i < first + n; i++)
            out->batches[i] = batch;
    }
    eq_group_free(group);
    return status;
}

eq_status eq_generate(eq_pipeline *pipeline, const eq_generate_options *options, const eq_targets *targets,
                      eq_generation *out)
{
    eq_run_settings s;
    double start = eq_seconds();
    *out = (eq_generation){0};
    EQ_TRY(eq_run_settings_resolve(pipeline, options, targets, &s));
    if (s.guidance.method->rejects) {
        eq_run_settings_free(&s);
        return eq_fail(pipeline->ctx, EQ_BAD_USAGE, "method rejection is for runs in folders");
    }
    eq_status status = eq_generation_new(pipeline, &s, targets, options->count, options->first_index, out);
    int64_t batch = 0;
    for (int64_t first = 0, n; first < options->count && status == EQ_OK; first += n, batch++) {
        n = eq_run_settings_group(&s, first);
        status = sample_group(pipeline, &s, targets, first, n, batch, out);
    }
    eq_run_settings_free(&s);
    if (status != EQ_OK) {
        eq_generation_free(out);
        return status;
    }
    out->seconds = eq_seconds() - start;
    return EQ_OK;
}

int eq_bf16_is_fast(void)
{
    return eq_onednn_bf16_is_fast();
}
