/* Heads fitted to what becomes of samples. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "temporary.h"
#include "train/outcome_fit.h"
#include "unit/tiny.h"

static eq_context *ctx;

enum { IMAGES = 400, COUNT = 4, CLASSES = 2, RARE_EVERY = 10 };
static const int64_t timesteps[] = {801, 1}; /* as sampling meets them */
static const int steps_of[] = {0, 4};

/* Samples of which exactly the share 1 / (1 + exp(-(scale d + offset))) at logit difference d is of the second class.
 */
static void logistic_outcomes_give_back_scale_and_offset(void **state)
{
    enum { VALUES = 9, EACH = 4000 };
    static float z[VALUES * EACH * CLASSES];
    static int labels[VALUES * EACH];
    const double scale = 1, offset = -1.5;
    for (int v = 0; v < VALUES; v++) {
        double d = v - 4, share = 1 / (1 + exp(-(scale * d + offset)));
        for (int i = 0; i < EACH; i++) {
            z[(v * EACH + i) * CLASSES] = (float)(-d / 2);
            z[(v * EACH + i) * CLASSES + 1] = (float)(d / 2);
            labels[v * EACH + i] = i < share * EACH;
        }
    }
    double a, c[CLASSES];
    eq_outcome_fit(z, labels, VALUES * EACH, CLASSES, &a, c);
    assert_float_equal(a, scale, 0.01);
    assert_float_equal(c[1] - c[0], offset, 0.01);
}

static void unknown_labels_do_not_count(void **state)
{
    float z[60 * CLASSES] = {0};
    int labels[60];
    for (int i = 0; i < 60; i++)
        labels[i] = i < 30 ? -1 : i % 3 == 0;
    double a, c[CLASSES];
    eq_outcome_fit(z, labels, 60, CLASSES, &a, c);
    assert_float_equal(1 / (1 + exp(c[0] - c[1])), 1.0 / 3, 0.01);
}

/* Of the rare class 3 in 4 stand out, of the other 9 in 10 do not: that is told whatever the shares are. */
static void accuracy_counts_classes_alike(void **state)
{
    float z[44 * CLASSES] = {0};
    int labels[44];
    const double none[CLASSES] = {0}, fitted[CLASSES] = {log(40.0), log(4.0)};
    for (int i = 0; i < 44; i++) {
        labels[i] = i < 4;
        bool stands_out = i < 4 ? i < 3 : i < 8;
        z[i * CLASSES + 1] = stands_out ? 1 : -1;
    }
    assert_float_equal(eq_outcome_accuracy(z, labels, 44, CLASSES, 1, fitted), (0.75 + 0.9) / 2, 1e-6);
    labels[43] = -1;
    assert_float_equal(eq_outcome_accuracy(z, labels, 44, CLASSES, 8, none), (0.75 + 35.0 / 39) / 2, 1e-6);
    for (int i = 0; i < 44; i++)
        labels[i] = -1;
    assert_true(isnan(eq_outcome_accuracy(z, labels, 44, CLASSES, 1, none)));
}

/* One number of h follows the class at the late timestep, none at the early one; one in RARE_EVERY is of class 1. */
static char *write_store(const char *folder, const char *model, int *labels)
{
    char *path = eq_path_join(folder, "samples.safetensors");
    eq_h_writer writer;
    assert_ok(eq_h_writer_open(ctx, path, timesteps, steps_of, 2, IMAGES, eq_shape_of(1, 1, COUNT), model, &writer));
    for (int t = 0; t < 2; t++) {
        float h[IMAGES * COUNT];
        for (int i = 0; i < IMAGES; i++) {
            labels[i] = i % RARE_EVERY == 0;
            eq_rng rng = eq_rng_make(5, (uint64_t)i, (uint32_t)t);
            for (int k = 0; k < COUNT; k++)
                h[i * COUNT + k] = eq_rng_normal(&rng);
            if (t == 1)
                h[i * COUNT] += labels[i] ? 2.0f : -2.0f;
        }
        assert_ok(eq_h_writer_add(&writer, h));
    }
    assert_ok(eq_h_writer_commit(&writer));
    return path;
}

/* As if trained on a balanced set: at the late timestep its answer is right, at the early one "half and half". */
static void make_heads(const char *model, eq_adp *adp)
{
    static const char *const names[] = {"no", "yes"};
    eq_attribute attribute = {.name = "hat", .classes = CLASSES, .class_names = (const char **)names};
    assert_ok(eq_adp_new(ctx, &attribute, 2, eq_shape_of(1, 1, COUNT), 0, adp));
    adp->timesteps[0] = 1;
    adp->timesteps[1] = 801;
    adp->weight[0] = -2;
    adp->weight[COUNT] = 2;
    adp->temperature = 1;
    snprintf(adp->model_hash, sizeof adp->model_hash, "%s", model);
}

static double mean_answer(const eq_adp *adp, const eq_h_store *store, int t)
{
    double sum = 0;
    for (int i = 0; i < IMAGES; i++) {
        float h[COUNT], p[CLASSES], work[64];
        assert_true(eq_adp_work(adp, 1) <= sizeof work / sizeof work[0]);
        eq_f16_row_to_f32(store->h + (t * IMAGES + i) * COUNT, COUNT, h);
        eq_adp_predict(adp, eq_adp_head(adp, (double)timesteps[t]), 0, h, 1, p, work);
        sum += p[1];
    }
    return sum / IMAGES;
}

static void heads_answer_as_often_as_classes_come_about(void **state)
{
    int labels[IMAGES];
    char *path = write_store(*state, "cafe", labels);
    eq_h_store store;
    eq_adp adp;
    assert_ok(eq_h_store_open(ctx, path, &store));
    make_heads("cafe", &adp);
    assert_float_equal(mean_answer(&adp, &store, 0), 0.5, 1e-6);
    assert_ok(eq_adp_fit_outcomes(ctx, &store, labels, &adp));
    for (int t = 0; t < 2; t++)
        assert_float_equal(mean_answer(&adp, &store, t), 1.0 / RARE_EVERY, 0.01);
    assert_true(eq_adp_sight(&adp, 0) > 0.9);
    assert_float_equal(eq_adp_sight(&adp, 1), 0, 0.01);
    eq_adp_free(&adp);
    eq_h_store_close(&store);
    free(path);
}

static void expect_failure(const eq_h_store *store, const int *labels, eq_adp *adp, eq_status status, const char *say)
{
    float before = adp->bias[1];
    assert_int_equal(eq_adp_fit_outcomes(ctx, store, labels, adp), status);
    assert_non_null(strstr(eq_last_error(ctx), say));
    assert_true(adp->bias[1] == before);
}

static void what_does_not_fit_is_refused(void **state)
{
    int labels[IMAGES], none[IMAGES] = {0};
    char *path = write_store(*state, "cafe", labels);
    eq_h_store store;
    eq_adp adp;
    assert_ok(eq_h_store_open(ctx, path, &store));
    make_heads("cafe", &adp);
    expect_failure(&store, none, &adp, EQ_BAD_INPUT, "none of 400 samples is \"yes\" of \"hat\"");
    adp.timesteps[0] = 2;
    expect_failure(&store, labels, &adp, EQ_BAD_USAGE, "timestep 2");
    snprintf(adp.model_hash, sizeof adp.model_hash, "beef");
    expect_failure(&store, labels, &adp, EQ_BAD_USAGE, "not of the model");
    eq_adp_free(&adp);
    eq_h_store_close(&store);
    free(path);
}

int main(void)
{
    ctx = eq_context_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logistic_outcomes_give_back_scale_and_offset),
        cmocka_unit_test(unknown_labels_do_not_count),
        cmocka_unit_test(accuracy_counts_classes_alike),
        cmocka_unit_test_setup_teardown(heads_answer_as_often_as_classes_come_about, temporary_setup,
                                        temporary_teardown),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_refused, temporary_setup, temporary_teardown),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failures;
}
