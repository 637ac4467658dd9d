#include <math.h>

#include "base/path.h"
#include "run/comparison_parts.h"

static const char *const verdicts[] = {NULL, "best", "within noise", "apart"};

/* null: not known */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *classifier_json(const char *path, const eq_classifier *classifier)
{
    return classifier ? json_pack("{s:o, s:s, s:i}", "path", eq_json_text(path), "hash", eq_classifier_hash(classifier),
                                  "features", eq_classifier_feature_count(classifier))
                      : json_null();
}

static json_t *measures_json(const eq_estimate *estimates, const eq_verdict *of)
{
    json_t *root = json_object();
    for (int i = 0; i < EQ_MEASURES; i++) {
        if (isnan(estimates[i].value))
            continue;
        json_t *measure = json_pack("{s:o, s:o, s:o}", "value", number(estimates[i].value), "low",
                                    number(estimates[i].low), "high", number(estimates[i].high));
        if (of && verdicts[of[i]])
            json_object_set_new(measure, "verdict", json_string(verdicts[of[i]]));
        json_object_set_new(root, eq_measures[i].key, measure);
    }
    return root;
}

static eq_status cells_json(const eq_comparison *c, const eq_comparison_row *row, json_t *out)
{
    for (int i = 0; i < c->suite->seed_count; i++) {
        json_t *evaluation;
        EQ_TRY(eq_evaluation_json(c->ctx, &row->cells[i].evaluation, &evaluation));
        json_array_append_new(out, json_pack("{s:I, s:s, s:o, s:o}", "seed", (json_int_t)c->suite->seeds[i], "folder",
                                             row->cells[i].folder, "measures",
                                             measures_json(row->cells[i].measures, NULL), "evaluation", evaluation));
    }
    return EQ_OK;
}

static eq_status rows_json(const eq_comparison *c, int target, json_t *out)
{
    const eq_suite *s = c->suite;
    for (int m = 0; m < s->method_count; m++) {
        const eq_comparison_row *row = &c->rows[target * s->method_count + m];
        json_t *runs = json_array();
        json_array_append_new(out, json_pack("{s:s, s:s, s:b, s:o, s:o}", "name", s->methods[m].name, "method",
                                             s->methods[m].method, "tuned", (int)eq_comparison_tunes(c, m), "measures",
                                             measures_json(row->measures, row->verdicts), "runs", runs));
        EQ_TRY(cells_json(c, row, runs));
    }
    return EQ_OK;
}

static eq_status targets_json(const eq_comparison *c, json_t *out)
{
    for (int t = 0; t < c->suite->target_count; t++) {
        const eq_suite_target *target = &c->suite->targets[t];
        json_t *texts = json_array(), *rows = json_array();
        for (int i = 0; i < target->count; i++)
            json_array_append_new(texts, json_string(target->texts[i]));
        json_array_append_new(out,
                              json_pack("{s:s, s:o, s:o}", "name", target->name, "targets", texts, "methods", rows));
        EQ_TRY(rows_json(c, t, rows));
    }
    return EQ_OK;
}

static json_t *measure_list(void)
{
    json_t *list = json_array();
    for (int i = 0; i < EQ_MEASURES; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "key", eq_measures[i].key, "name", eq_measures[i].name,
                                              "better", eq_measures[i].better < 0 ? "lower" : "higher"));
    return list;
}

eq_status eq_comparison_json(const eq_comparison *c, json_t **out)
{
    const char *hash;
    json_t *targets = json_array(), *factors = json_array();
    EQ_TRY(eq_model_hash(c->ctx, &c->pipeline->model, &hash));
    for (int i = 0; i < c->suite->factor_count; i++)
        json_array_append_new(factors, json_real(c->suite->factors[i]));
    json_t *reference = c->reference_folder ? json_pack("{s:o, s:I, s:b}", "folder", eq_json_text(c->reference_folder),
                                                        "n", (json_int_t)c->reference.files.count, "drawn",
                                                        c->suite->reference.folder == NULL)
                                            : json_null();
    *out = json_pack("{s:s, s:s, s:O, s:{s:o, s:s}, s:o, s:o, s:o, s:o, s:s?, s:{s:I, s:I, s:o, s:O}, s:O, s:o, s:o}",
                     "format", "equipoise comparison 1", "version", EQUIPOISE_VERSION, "suite", c->suite->json.object,
                     "model", "folder", eq_json_text(c->options->model), "hash", hash, "evaluator",
                     classifier_json(c->options->evaluator, c->evaluator), "classifier",
                     classifier_json(c->options->classifier, c->classifier), "self_grading",
                     eq_self_grading_json(c->self_grading), "reference", reference, "likeness",
                     !c->reference_folder ? NULL
                     : c->has_frechet     ? "frechet"
                     : c->has_kid         ? "kid"
                                          : "none",
                     "tuning", "count", (json_int_t)c->suite->tuning_count, "seed", (json_int_t)c->suite->tuning_seed,
                     "factors", factors, "methods", c->tuning, "heads", c->heads, "measures", measure_list(), "targets",
                     targets);
    if (!*out)
        return eq_fail_memory(c->ctx, "comparison.json");
    eq_status status = targets_json(c, targets);
    if (status != EQ_OK)
        json_decref(*out);
    return status;
}
