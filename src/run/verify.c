#include "run/verify.h"

#include <stdlib.h>

eq_status eq_verifier_new(eq_context *ctx, eq_classifier *classifier, const char *option, const eq_targets *targets,
                          eq_verifier *out)
{
    *out = (eq_verifier){.classifier = classifier};
    out->attributes = eq_classifier_attributes(classifier, &out->attribute_count);
    if (targets->count == 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "%s needs a target, such as gender=female:0.5,male:0.5", option);
    if (targets->count > EQ_MAX_ADPS)
        return eq_fail(ctx, EQ_BAD_USAGE, "%s takes at most %d targets, not %d", option, EQ_MAX_ADPS, targets->count);
    out->targets.items = calloc((size_t)targets->count, sizeof *out->targets.items);
    if (!out->targets.items)
        return eq_fail_memory(ctx, "targets");
    for (int t = 0; t < targets->count; t++) {
        eq_status status =
            eq_target_align(ctx, &targets->items[t], out->attributes, out->attribute_count, &out->targets.items[t]);
        if (status != EQ_OK) {
            eq_verifier_free(out);
            return eq_fail(ctx, status, "the classifier of %s cannot tell: %s", option, eq_last_error(ctx));
        }
        out->targets.count++;
    }
    return EQ_OK;
}

void eq_verifier_free(eq_verifier *verifier)
{
    eq_targets_free(&verifier->targets);
    *verifier = (eq_verifier){0};
}

/* --- labels --- */

/* An image as the classifier sees it. */
typedef struct seen {
    int64_t row;
    double sureness; /* the product of the probabilities of what it is taken for */
    int cell[EQ_MAX_ADPS];
} seen;

static void look(const eq_verifier *v, float *const *p, int64_t row, seen *out)
{
    out->row = row;
    out->sureness = 1;
    for (int t = 0; t < v->targets.count; t++) {
        const eq_target *target = &v->targets.items[t];
        out->cell[t] = 0;
        for (int a = 0; a < target->attribute_count; a++) {
            int known = eq_attribute_find(v->attributes, v->attribute_count, target->attributes[a].name);
            int classes = v->attributes[known].classes;
            int best = eq_most_probable(p[known] + row * classes, classes);
            out->cell[t] = out->cell[t] * classes + best; /* the last attribute's class runs fastest */
            out->sureness *= p[known][row * classes + best];
        }
    }
}

static int by_sureness(const void *a, const void *b)
{
    const seen *x = a, *y = b;
    if (x->sureness != y->sureness)
        return x->sureness > y->sureness ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

/* All rows in the order in which they are to be kept. out: malloc'ed [count] */
static eq_status look_at_all(eq_context *ctx, const eq_verifier *v, const eq_generation *g, seen **out)
{
    float **p;
    *out = NULL;
    EQ_TRY(eq_probabilities_new(ctx, v->attributes, v->attribute_count, g->count, &p));
    seen *all = malloc((size_t)g->count * sizeof *all);
    eq_status status =
        all ? eq_classifier_run(v->classifier, g->pixels, g->count, g->width, g->height, p, NULL, NULL, NULL)
            : eq_fail_memory(ctx, "labels");
    if (status == EQ_OK) {
        for (int64_t i = 0; i < g->count; i++)
            look(v, p, i, &all[i]);
        if (!v->first_come) /* else they are in order */
            qsort(all, (size_t)g->count, sizeof *all, by_sureness);
        *out = all;
    } else {
        free(all);
    }
    eq_probabilities_free(p, v->attribute_count);
    return status;
}

/* --- quotas --- */

static bool is_wanted(const eq_verifier *v, const eq_tally *tally, const seen *image)
{
    for (int t = 0; t < v->targets.count; t++)
        if (tally->missing[t][image->cell[t]] <= 0)
            return false;
    return true;
}

static void take(const eq_verifier *v, eq_tally *tally, const seen *image)
{
    for (int t = 0; t < v->targets.count; t++)
        tally->missing[t][image->cell[t]]--;
}

static eq_status start_tally(eq_context *ctx, const eq_verifier *v, int64_t count, eq_tally *out)
{
    *out = (eq_tally){.surplus = malloc((size_t)count * sizeof *out->surplus), .target_count = v->targets.count};
    bool complete = out->surplus != NULL;
    for (int t = 0; t < v->targets.count; t++) {
        out->missing[t] = calloc((size_t)v->targets.items[t].cells, sizeof(int));
        complete = complete && out->missing[t];
        if (out->missing[t])
            eq_target_quota(&v->targets.items[t], (int)count, out->missing[t]);
    }
    if (complete)
        return EQ_OK;
    eq_tally_free(out);
    return eq_fail_memory(ctx, "quotas");
}

eq_status eq_verifier_tally(eq_context *ctx, const eq_verifier *v, const eq_generation *generation, eq_tally *out)
{
    seen *all;
    EQ_TRY(start_tally(ctx, v, generation->count, out));
    eq_status status = look_at_all(ctx, v, generation, &all);
    if (status != EQ_OK) {
        eq_tally_free(out);
        return status;
    }
    for (int64_t i = 0; i < generation->count; i++) {
        if (is_wanted(v, out, &all[i]))
            take(v, out, &all[i]);
        else
            out->surplus[out->surplus_count++] = all[i].row;
    }
    free(all);
    return EQ_OK;
}

void eq_tally_free(eq_tally *tally)
{
    for (int t = 0; t < tally->target_count; t++)
        free(tally->missing[t]);
    free(tally->surplus);
    *tally = (eq_tally){0};
}

/* --- replacement --- */

eq_status eq_verifier_missing(eq_context *ctx, const eq_verifier *v, const eq_tally *tally, const eq_targets *targets,
                              eq_targets *out)
{
    *out = (eq_targets){.items = calloc((size_t)targets->count, sizeof *out->items)};
    if (!out->items)
        return eq_fail_memory(ctx, "targets");
    for (int t = 0; t < targets->count; t++) {
        eq_target theirs = v->targets.items[t]; /* the cells are the classifier's; p is lent for the alignment */
        double *p = malloc((size_t)theirs.cells * sizeof *p);
        eq_status status = p ? EQ_OK : eq_fail_memory(ctx, "targets");
        for (int c = 0; status == EQ_OK && c < theirs.cells; c++)
            p[c] = (double)tally->missing[t][c] / (double)tally->surplus_count;
        theirs.p = p;
        const eq_target *ours = &targets->items[t];
        if (status == EQ_OK)
            status = eq_target_align(ctx, &theirs, ours->attributes, ours->attribute_count, &out->items[t]);
        free(p);
        if (status != EQ_OK) {
            eq_targets_free(out);
            return status;
        }
        out->count++;
    }
    return EQ_OK;
}

eq_status eq_verifier_replace(eq_context *ctx, const eq_verifier *v, const eq_pipeline *pipeline,
                              const eq_generation *fresh, eq_tally *tally, eq_generation *generation, int64_t *replaced,
                              int64_t *replaced_count)
{
    seen *all;
    *replaced_count = 0;
    EQ_TRY(look_at_all(ctx, v, fresh, &all));
    for (int64_t i = 0; i < fresh->count && tally->surplus_count > 0; i++) {
        if (!is_wanted(v, tally, &all[i]))
            continue;
        take(v, tally, &all[i]);
        int64_t row = tally->surplus[--tally->surplus_count]; /* the least sure of all goes first */
        int64_t number = generation->replaces[row] >= 0 ? generation->replaces[row] : generation->indices[row];
        eq_generation_copy_row(pipeline, fresh, all[i].row, generation, row);
        generation->replaces[row] = number;
        replaced[(*replaced_count)++] = row;
    }
    free(all);
    return EQ_OK;
}

json_t *eq_verification_json(const eq_verification *v, const json_t *asked, const eq_generation *g)
{
    json_t *replaced = json_array();
    for (int64_t i = 0; i < g->count; i++)
        if (g->replaces[i] >= 0)
            json_array_append_new(replaced, json_integer((json_int_t)g->replaces[i]));
    return json_pack("{s:o, s:O, s:b, s:b, s:i, s:I, s:o, s:f}", "classifier", eq_json_text(v->classifier), "asked",
                     asked, "rejection", (int)v->rejection, "exact", (int)v->exact, "rounds", v->rounds, "drawn",
                     (json_int_t)v->drawn, "replaced", replaced, "unet_passes", v->unet_passes);
}
