/* Measures of fairness against values worked out by hand, and intervals against what theory gives. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/fairness.h"

static void assert_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.17g, expected %.17g", value, expected);
}

static void measures_by_hand(void **state)
{
    /* [2 groups, 2 classes, called] */
    const double table[] = {8, 2, 1, 9, /* */ 5, 5, 0, 10};
    double m[EQ_FAIRNESS_MEASURES];
    eq_fairness_measure_table(table, 2, 2, m);
    assert_near(m[EQ_FAIRNESS_ACCURACY], 32.0 / 40, 1e-15);
    assert_near(m[EQ_FAIRNESS_WORST_GROUP], 0.5, 1e-15);
    assert_near(m[EQ_FAIRNESS_ACCURACY_GAP], 17.0 / 20 - 15.0 / 20, 1e-15);
    assert_near(m[EQ_FAIRNESS_ODDS_GAP], 0.8 - 0.5, 1e-15);
    assert_near(m[EQ_FAIRNESS_PARITY_GAP], 9.0 / 20 - 5.0 / 20, 1e-15);
}

static void odds_look_at_every_class_and_answer(void **state)
{
    /* [3 groups, 3 classes, called]: the middle group's third class is called the first in 3 of 4 cases, where it is
     * 1 of 4 elsewhere; its second class is told better than elsewhere. */
    const double table[] = {4, 0, 0, 0, 2,       2, 1, 0, 3, /* */ 4, 0, 0, 0, 4,
                            0, 3, 0, 1, /* */ 4, 0, 0, 0, 2, 2,       1, 0, 3};
    double m[EQ_FAIRNESS_MEASURES];
    eq_fairness_measure_table(table, 3, 3, m);
    assert_near(m[EQ_FAIRNESS_ACCURACY], (9 + 9 + 9) / 36.0, 1e-15);
    assert_near(m[EQ_FAIRNESS_WORST_GROUP], 0.25, 1e-15);
    assert_near(m[EQ_FAIRNESS_ACCURACY_GAP], 0, 1e-15);
    assert_near(m[EQ_FAIRNESS_ODDS_GAP], 0.5, 1e-15);
    /* called the third: 5, 1, 5 of 12 */
    assert_near(m[EQ_FAIRNESS_PARITY_GAP], 4.0 / 12, 1e-15);
}

static void the_perfect_classifier_repeats_what_groups_are(void **state)
{
    const double table[] = {30, 0, 0, 10, /* */ 5, 0, 0, 15};
    double m[EQ_FAIRNESS_MEASURES];
    eq_fairness_measure_table(table, 2, 2, m);
    assert_near(m[EQ_FAIRNESS_ACCURACY], 1, 0);
    assert_near(m[EQ_FAIRNESS_WORST_GROUP], 1, 0);
    assert_near(m[EQ_FAIRNESS_ACCURACY_GAP], 0, 0);
    assert_near(m[EQ_FAIRNESS_ODDS_GAP], 0, 0);
    assert_near(m[EQ_FAIRNESS_PARITY_GAP], 0.5, 1e-15);
}

/* 400 images, 100 a cell of 2 groups and 2 classes, in mixed order. */
enum { IMAGES = 400, SEEDS = 5 };

typedef struct world {
    eq_context *ctx;
    int group[IMAGES], truth[IMAGES];
    int called[SEEDS][IMAGES];
    const int *rows[SEEDS];
    eq_fairness_test test;
} world;

static int make_world(void **state)
{
    world *w = calloc(1, sizeof *w);
    if (!w)
        return -1;
    *state = w;
    w->ctx = eq_context_new();
    for (int i = 0; i < IMAGES; i++) {
        w->group[i] = i % 2;
        w->truth[i] = i / 2 % 2;
    }
    for (int s = 0; s < SEEDS; s++) {
        w->rows[s] = w->called[s];
        memcpy(w->called[s], w->truth, sizeof w->truth);
    }
    w->test = (eq_fairness_test){.n = IMAGES, .groups = 2, .classes = 2, .group = w->group, .truth = w->truth};
    return 0;
}

static int drop_world(void **state)
{
    world *w = *state;
    eq_context_free(w->ctx);
    free(w);
    return 0;
}

/* Makes `wrong` of the 100 images of a cell come out as the other class. */
static void mistake(world *w, int seed, int group, int class, int wrong)
{
    for (int i = 0; i < IMAGES && wrong > 0; i++)
        if (w->group[i] == group && w->truth[i] == class) {
            w->called[seed][i] = 1 - class;
            wrong--;
        }
}

static void intervals_are_those_of_stratified_shares(void **state)
{
    world *w = *state;
    const int wrong[4] = {5, 20, 10, 50};
    double variance = 0;
    for (int c = 0; c < 4; c++) {
        mistake(w, 0, c / 2, c % 2, wrong[c]);
        double p = 1 - wrong[c] / 100.0;
        variance += p * (1 - p) / 100 / 16;
    }
    eq_fairness f;
    assert_int_equal(eq_fairness_grade(w->ctx, &w->test, w->rows, 1, &f), EQ_OK);
    for (int c = 0; c < 4; c++) {
        double p = 1 - wrong[c] / 100.0, half = 1.96 * sqrt(p * (1 - p) / 100);
        assert_near(f.cell_accuracy[c].value, p, 1e-12);
        assert_near(f.cell_accuracy[c].high - f.cell_accuracy[c].low, 2 * half, 0.1 * 2 * half + 0.01);
    }
    eq_estimate accuracy = f.measures[EQ_FAIRNESS_ACCURACY];
    assert_near(accuracy.value, 1 - 85.0 / 400, 1e-12);
    assert_near(accuracy.low, accuracy.value - 1.96 * sqrt(variance), 0.005);
    assert_near(accuracy.high, accuracy.value + 1.96 * sqrt(variance), 0.005);
    assert_near(f.measures[EQ_FAIRNESS_WORST_GROUP].value, 0.5, 1e-12);
    eq_fairness_free(&f);
}

static void measures_are_means_over_trainings(void **state)
{
    world *w = *state;
    mistake(w, 0, 0, 0, 100); /* the worst group is at 0 */
    mistake(w, 1, 1, 1, 20);  /* at 0.8 */
    eq_fairness f;
    assert_int_equal(eq_fairness_grade(w->ctx, &w->test, w->rows, SEEDS, &f), EQ_OK);
    assert_near(f.measures[EQ_FAIRNESS_WORST_GROUP].value, (0 + 0.8 + 3) / 5, 1e-12);
    assert_near(f.measures[EQ_FAIRNESS_ACCURACY].value, (0.75 + 0.95 + 3) / 5, 1e-12);
    assert_near(f.cell_accuracy[0].value, 0.8, 1e-12);
    assert_near(f.seed_values[EQ_FAIRNESS_WORST_GROUP], 0, 0);
    assert_near(f.seed_values[EQ_FAIRNESS_MEASURES + EQ_FAIRNESS_WORST_GROUP], 0.8, 1e-12);
    assert_near(f.seed_values[2 * EQ_FAIRNESS_MEASURES + EQ_FAIRNESS_WORST_GROUP], 1, 0);
    eq_fairness_free(&f);
}

static void trainings_vary_too(void **state)
{
    world *w = *state;
    for (int c = 0; c < 4; c++)
        mistake(w, 0, c / 2, c % 2, 100);
    eq_fairness f;
    assert_int_equal(eq_fairness_grade(w->ctx, &w->test, w->rows, 2, &f), EQ_OK);
    /* One all wrong, one all right: of two drawn, both are either in a quarter of the cases each. */
    assert_near(f.measures[EQ_FAIRNESS_ACCURACY].value, 0.5, 0);
    assert_near(f.measures[EQ_FAIRNESS_ACCURACY].low, 0, 0);
    assert_near(f.measures[EQ_FAIRNESS_ACCURACY].high, 1, 0);
    int zeros = 0;
    for (int r = 0; r < EQ_FAIRNESS_RESAMPLES; r++)
        zeros += f.draws[r * EQ_FAIRNESS_MEASURES + EQ_FAIRNESS_ACCURACY] == 0;
    assert_near((double)zeros / EQ_FAIRNESS_RESAMPLES, 0.25, 0.04);
    eq_fairness_free(&f);
}

static void differences_are_paired(void **state)
{
    world *w = *state;
    for (int s = 0; s < SEEDS; s++)
        mistake(w, s, 0, 1, 30);
    eq_fairness a, b;
    eq_estimate d;
    assert_int_equal(eq_fairness_grade(w->ctx, &w->test, w->rows, SEEDS, &a), EQ_OK);
    assert_int_equal(eq_fairness_grade(w->ctx, &w->test, w->rows, SEEDS, &b), EQ_OK);
    assert_int_equal(eq_fairness_difference(w->ctx, &a, &b, EQ_FAIRNESS_WORST_GROUP, &d), EQ_OK);
    assert_true(d.value == 0 && d.low == 0 && d.high == 0);
    eq_fairness_free(&b);
    /* Eight more mistakes of 100: within the interval, but certain all the same, as the other 92 are equal. */
    for (int s = 0; s < SEEDS; s++)
        mistake(w, s, 0, 1, 38);
    assert_int_equal(eq_fairness_grade(w->ctx, &w->test, w->rows, SEEDS, &b), EQ_OK);
    assert_true(a.measures[EQ_FAIRNESS_WORST_GROUP].low < b.measures[EQ_FAIRNESS_WORST_GROUP].value);
    assert_int_equal(eq_fairness_difference(w->ctx, &a, &b, EQ_FAIRNESS_WORST_GROUP, &d), EQ_OK);
    assert_near(d.value, 0.08, 1e-12);
    assert_near(d.low, 0.08 - 1.96 * sqrt(0.08 * 0.92 / 100), 0.01);
    assert_near(d.high, 0.08 + 1.96 * sqrt(0.08 * 0.92 / 100), 0.01);
    assert_true(d.low > 0);
    eq_fairness_free(&a);
    eq_fairness_free(&b);
}

static void empty_cells_are_refused(void **state)
{
    world *w = *state;
    for (int i = 0; i < IMAGES; i++)
        if (w->group[i] == 1)
            w->truth[i] = 0;
    eq_fairness f;
    assert_int_equal(eq_fairness_grade(w->ctx, &w->test, w->rows, SEEDS, &f), EQ_BAD_USAGE);
    assert_string_equal(eq_last_error(w->ctx), "group 1 has no image of class 1 to grade on");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measures_by_hand),
        cmocka_unit_test(odds_look_at_every_class_and_answer),
        cmocka_unit_test(the_perfect_classifier_repeats_what_groups_are),
        cmocka_unit_test_setup_teardown(intervals_are_those_of_stratified_shares, make_world, drop_world),
        cmocka_unit_test_setup_teardown(measures_are_means_over_trainings, make_world, drop_world),
        cmocka_unit_test_setup_teardown(trainings_vary_too, make_world, drop_world),
        cmocka_unit_test_setup_teardown(differences_are_paired, make_world, drop_world),
        cmocka_unit_test_setup_teardown(empty_cells_are_refused, make_world, drop_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
