/* Images that do not fit their quota are drawn anew until all do, or too many were drawn. */
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "run/session_parts.h"

enum { LEAST_DRAWN = 8 };

/* How many images to draw for `wanted`, going by how many of those drawn so far were of use. */
static int64_t next_draw(const eq_session_state *r, int64_t wanted, int64_t left)
{
    const eq_verification *v = &r->result->verification;
    double use = v->drawn > 0 ? fmax((double)v->replaced / (double)v->drawn, 0.1) : 0.8;
    int64_t most = r->settings.group > LEAST_DRAWN ? r->settings.group : LEAST_DRAWN;
    int64_t n = (int64_t)ceil((double)wanted / use);
    n = n < LEAST_DRAWN ? LEAST_DRAWN : n > most ? most : n;
    return n < left ? n : left;
}

/* Images that were drawn in addition, sampled into `fresh`, go where they fit. */
static eq_status put_in_place(eq_session_state *r, eq_generation *fresh, eq_tally *tally)
{
    eq_verification *v = &r->result->verification;
    eq_generation *g = &r->result->generation;
    int64_t *rows = malloc((size_t)tally->surplus_count * sizeof *rows), count = 0;
    if (!rows)
        return eq_fail_memory(r->ctx, "a list of images");
    int64_t first_batch = g->batches[g->count - 1] + 1;
    for (int64_t i = 0; i < fresh->count; i++)
        fresh->batches[i] = first_batch + v->rounds;
    eq_status status = eq_verifier_replace(r->ctx, &r->verifier, r->session->pipeline, fresh, tally, g, rows, &count);
    eq_run_record record = eq_session_record(r);
    if (status == EQ_OK)
        status = eq_run_folder_add(r->ctx, r->session->out, &record, rows, count);
    free(rows);
    g->unet_passes += fresh->unet_passes;
    g->guidance_seconds += fresh->guidance_seconds;
    v->unet_passes += fresh->unet_passes;
    v->drawn += fresh->count;
    v->replaced += count;
    v->rounds++;
    return status == EQ_OK ? eq_session_checkpoint(r, NULL) : status;
}

/* All rows of `fresh`, from the pool as far as it has them; what those had cost counts here, too. */
static eq_status draw(eq_session_state *r, const eq_targets *missing, eq_generation *fresh)
{
    const eq_session *s = r->session;
    eq_image_pool *pool = r->rejects && !r->begun.file.path ? s->pool : NULL;
    double seconds = 0;
    int64_t had = pool ? eq_image_pool_take(pool, s->pipeline, fresh, &seconds) : 0;
    r->earlier_seconds += seconds;
    if (had == fresh->count)
        return EQ_OK;
    double start = eq_seconds(), passes = fresh->unet_passes;
    EQ_TRY(eq_session_sample(r, missing, fresh->indices[had], fresh->count - had, had, fresh));
    return pool ? eq_image_pool_keep(pool, s->pipeline, fresh, had, fresh->unet_passes - passes, eq_seconds() - start)
                : EQ_OK;
}

static eq_status draw_round(eq_session_state *r, eq_tally *tally, int64_t n)
{
    const eq_session *s = r->session;
    eq_generation fresh;
    eq_targets missing;
    int64_t first = r->options.first_index + r->options.count + r->result->verification.drawn;
    EQ_TRY(eq_verifier_missing(r->ctx, &r->verifier, tally, s->targets, &missing));
    eq_status status = eq_generation_new(s->pipeline, &r->settings, s->targets, n, first, &fresh);
    if (status == EQ_OK)
        status = draw(r, &missing, &fresh);
    if (status == EQ_OK)
        status = put_in_place(r, &fresh, tally);
    eq_generation_free(&fresh);
    eq_targets_free(&missing);
    return status;
}

eq_status eq_session_verify(eq_session_state *r)
{
    eq_verification *v = &r->result->verification;
    if (!r->classifier)
        return EQ_OK;
    v->done = true;
    int64_t limit = (int64_t)ceil(v->limit * (double)r->options.count);
    for (bool told = false;; told = true) {
        eq_tally tally;
        EQ_TRY(eq_verifier_tally(r->ctx, &r->verifier, &r->result->generation, &tally));
        v->exact = tally.surplus_count == 0;
        r->unfit = tally.surplus_count;
        eq_status status = EQ_OK;
        bool enough = v->exact || v->drawn >= limit;
        if (!enough && !told)
            eq_session_tell(r, "replacing");
        if (!enough)
            status = draw_round(r, &tally, next_draw(r, tally.surplus_count, limit - v->drawn));
        eq_tally_free(&tally);
        if (status != EQ_OK || enough)
            return status;
    }
}
