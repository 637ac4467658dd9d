/* Labels, counts and distances by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/counts.h"

static void assert_near(double a, double b)
{
    assert_true(fabs(a - b) < 1e-7);
}

static void labels_counts_and_ambiguity(void **state)
{
    const float p[5 * 3] = {0.9f, 0.1f, 0, 0.4f, 0.4f, 0.2f, 0, 0, 1, 0.05f, 0.06f, 0.89f, 0.1f, 0.9f, 0};
    int labels[5], counts[3];
    double f[3], mean[3];
    eq_hard_labels(p, 5, 3, labels);
    const int expected[5] = {0, 0, 2, 2, 1};
    assert_memory_equal(labels, expected, sizeof(labels));
    eq_count_labels(labels, 5, 3, counts);
    assert_memory_equal(counts, ((int[]){2, 1, 2}), sizeof(counts));
    eq_count_frequency(counts, 3, f);
    assert_near(f[0], 0.4);
    assert_near(f[1], 0.2);
    assert_near(f[2], 0.4);
    eq_mean_probabilities(p, 5, 3, mean);
    assert_near(mean[0], 0.29);
    assert_near(mean[1], 0.292);
    assert_near(mean[2], 0.418);
    /* 0.9 itself, as the float it is, is not ambiguous. */
    assert_int_equal(eq_count_ambiguous(p, 5, 3), 2);
}

static void joint_cells(void **state)
{
    const int gender[4] = {0, 1, 1, 0}, age[4] = {2, 0, 1, 0}, glasses[4] = {1, 0, 1, 0};
    const int *labels[3] = {gender, age, glasses};
    int cells[4];
    eq_joint_labels(labels, (int[]){2, 3, 2}, 3, 4, cells);
    assert_memory_equal(cells, ((int[]){5, 6, 9, 0}), sizeof(cells));
}

static void distances(void **state)
{
    const double f[3] = {0.5, 0.5, 0}, q[3] = {0.25, 0.25, 0.5};
    assert_near(eq_fd(f, q, 3), sqrt(0.0625 + 0.0625 + 0.25));
    assert_near(eq_tv(f, q, 3), 0.5);
    assert_near(eq_kl(f, q, 3), log(2));
    assert_true(isinf(eq_kl(q, f, 3)));
    assert_true(eq_fd(q, q, 3) == 0 && eq_tv(q, q, 3) == 0 && eq_kl(q, q, 3) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_counts_and_ambiguity),
        cmocka_unit_test(joint_cells),
        cmocka_unit_test(distances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
