#include "run/grade.h"

#include "base/clock.h"

#include <stdlib.h>

/* The targets in the evaluator's classes; those of attributes that it does not know are left out with a warning. */
static eq_status align_targets(eq_context *ctx, const eq_targets *targets, const eq_attribute *known, int known_count,
                               eq_targets *out)
{
    out->items = calloc((size_t)targets->count + 1, sizeof *out->items);
    if (!out->items)
        return eq_fail_memory(ctx, "targets");
    for (int t = 0; t < targets->count; t++) {
        eq_status status = eq_target_align(ctx, &targets->items[t], known, known_count, &out->items[out->count]);
        if (status == EQ_BAD_USAGE)
            eq_log(ctx, EQ_LOG_WARNING, "the evaluator cannot grade a target: %s", eq_last_error(ctx));
        else if (status != EQ_OK)
            return status;
        else
            out->count++;
    }
    return EQ_OK;
}

static eq_status grade(eq_context *ctx, eq_classifier *evaluator, const char *name, const eq_generation *g,
                       const eq_targets *targets, const eq_reference_set *reference, eq_grade *out)
{
    int count;
    const eq_attribute *attributes = eq_classifier_attributes(evaluator, &count);
    out->attribute_count = count;
    EQ_TRY(eq_probabilities_new(ctx, attributes, count, g->count, &out->probabilities));
    EQ_TRY(
        eq_classifier_run(evaluator, g->pixels, g->count, g->width, g->height, out->probabilities, NULL, NULL, NULL));
    eq_evaluation_input input = {.n = (int)g->count,
                                 .evaluator = name,
                                 .attribute_count = count,
                                 .attributes = attributes,
                                 .probabilities = (const float *const *)out->probabilities,
                                 .confusions = eq_classifier_confusions(evaluator),
                                 .targets = targets->items,
                                 .target_count = targets->count,
                                 .reference = reference};
    return eq_evaluate(ctx, &input, &out->evaluation);
}

eq_status eq_grade_generation(eq_context *ctx, eq_classifier *evaluator, const char *name,
                              const eq_generation *generation, const eq_targets *targets,
                              const eq_reference_set *reference, eq_grade *out)
{
    *out = (eq_grade){0};
    double start = eq_seconds();
    int known_count;
    const eq_attribute *known = eq_classifier_attributes(evaluator, &known_count);
    eq_targets aligned = {0};
    eq_status status = align_targets(ctx, targets, known, known_count, &aligned);
    if (status == EQ_OK)
        status = grade(ctx, evaluator, name, generation, &aligned, reference, out);
    eq_targets_free(&aligned);
    out->seconds = eq_seconds() - start;
    if (status != EQ_OK)
        eq_grade_free(out);
    return status;
}

bool eq_grade_labelled(const eq_classifier *evaluator, const eq_pipeline *pipeline, const eq_targets *targets)
{
    for (int t = 0; t < targets->count; t++)
        for (int i = 0; i < targets->items[t].attribute_count; i++) {
            int a = eq_attribute_find(pipeline->attributes, pipeline->adp_count, targets->items[t].attributes[i].name);
            if (a >= 0 && strcmp(pipeline->adps[a].labeller, eq_classifier_hash(evaluator)) == 0)
                return true;
        }
    return false;
}

void eq_grade_free(eq_grade *grade)
{
    eq_probabilities_free(grade->probabilities, grade->attribute_count);
    eq_evaluation_free(&grade->evaluation);
    *grade = (eq_grade){0};
}
