/* Assignments: against enumeration when small, by the absence of improving cycles when large. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "guidance/assignment.h"

static double total(const double *cost, int n, int k, const int *class_of)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += cost[i * k + class_of[i]];
    return sum;
}

static void assert_quotas(const int *class_of, int n, int k, const int *quota)
{
    int count[EQ_ASSIGNMENT_CLASSES] = {0};
    for (int i = 0; i < n; i++) {
        assert_in_range(class_of[i], 0, k - 1);
        count[class_of[i]]++;
    }
    assert_memory_equal(count, quota, sizeof(int) * (size_t)k);
}

/* The least cost of images from `image` on, with what is left of the quotas. */
static double enumerate(const double *cost, int n, int k, int *quota, int image)
{
    if (image == n)
        return 0;
    double best = DBL_MAX;
    for (int class = 0; class < k; class ++) {
        if (quota[class] == 0)
            continue;
        quota[class]--;
        double sum = cost[image * k + class] + enumerate(cost, n, k, quota, image + 1);
        quota[class]++;
        best = fmin(best, sum);
    }
    return best;
}

static void random_quota(eq_rng *rng, int n, int k, int *quota)
{
    memset(quota, 0, sizeof(int) * (size_t)k);
    for (int i = 0; i < n; i++)
        quota[eq_rng_below(rng, eq_rng_below(rng, 2) ? (uint32_t)k : (uint32_t)(k + 1) / 2)]++;
}

static void small_cases_match_enumeration(void **state)
{
    eq_rng rng = eq_rng_make(21, 0, 0);
    for (int trial = 0; trial < 1500; trial++) {
        int n = 1 + (int)eq_rng_below(&rng, 8), k = 1 + (int)eq_rng_below(&rng, 4), quota[4], class_of[8];
        double cost[32];
        bool ties = eq_rng_below(&rng, 3) == 0;
        for (int i = 0; i < n * k; i++)
            cost[i] = ties ? (double)eq_rng_below(&rng, 3) : 10 * eq_rng_normal(&rng);
        random_quota(&rng, n, k, quota);
        assert_int_equal(eq_assign(NULL, cost, n, k, quota, class_of), EQ_OK);
        assert_quotas(class_of, n, k, quota);
        assert_true(fabs(total(cost, n, k, class_of) - enumerate(cost, n, k, quota, 0)) < 1e-9);
    }
}

/* An assignment is optimal if and only if no cycle of classes gains by handing one image each on. */
static void assert_no_improving_cycle(const double *cost, int n, int k, const int *class_of)
{
    double *move = malloc(sizeof(double) * (size_t)(k * k));
    for (int i = 0; i < k * k; i++)
        move[i] = INFINITY;
    for (int i = 0; i < n; i++)
        for (int to = 0; to < k; to++) {
            int from = class_of[i];
            move[from * k + to] = fmin(move[from * k + to], cost[i * k + to] - cost[i * k + from]);
        }
    for (int via = 0; via < k; via++)
        for (int from = 0; from < k; from++)
            for (int to = 0; to < k; to++)
                move[from * k + to] = fmin(move[from * k + to], move[from * k + via] + move[via * k + to]);
    for (int class = 0; class < k; class ++)
        assert_true(!(move[class * k + class] < -1e-12));
    free(move);
}

static void check_large(int n, int k, int kind)
{
    eq_rng rng = eq_rng_make(22, (uint64_t)n, (uint32_t)kind);
    double *cost = malloc(sizeof(double) * (size_t)(n * k));
    int *class_of = malloc(sizeof(int) * (size_t)n), quota[EQ_ASSIGNMENT_CLASSES];
    for (int i = 0; i < n; i++)
        for (int j = 0; j < k; j++) {
            double x = eq_rng_uniform(&rng);
            if (kind == 1) /* everyone prefers the low classes */
                x += 0.3 * j;
            if (kind == 2) /* a chain: what suits one class nearly suits its neighbour */
                x = fabs((double)(i % k) - j + 0.1 * x);
            cost[i * k + j] = x;
        }
    random_quota(&rng, n, k, quota);
    assert_int_equal(eq_assign(NULL, cost, n, k, quota, class_of), EQ_OK);
    assert_quotas(class_of, n, k, quota);
    assert_no_improving_cycle(cost, n, k, class_of);
    free(cost);
    free(class_of);
}

static void large_cases_have_no_improving_cycle(void **state)
{
    for (int kind = 0; kind < 3; kind++) {
        check_large(2000, 24, kind);
        check_large(10000, 2, kind);
        check_large(300, 64, kind);
    }
    check_large(10000, 24, 0);
    check_large(100, EQ_ASSIGNMENT_CLASSES, 0);
}

static void images_stay_when_told_by_the_costs(void **state)
{
    /* Nine of ten images are in class 0, half should be: exactly the four cheapest to move do. */
    double cost[20];
    int class_of[10];
    for (int i = 0; i < 10; i++) {
        cost[2 * i] = i == 9 ? 1 : 0;
        cost[2 * i + 1] = i == 9 ? 0 : 5 - 0.1 * i;
    }
    assert_int_equal(eq_assign(NULL, cost, 10, 2, (int[]){5, 5}, class_of), EQ_OK);
    for (int i = 0; i < 10; i++)
        assert_int_equal(class_of[i], i >= 5);
}

static void extreme_costs(void **state)
{
    int class_of[3];
    const double tiny[6] = {4e-324, 0, 0, 4.9e-324, 0, 0};
    assert_int_equal(eq_assign(NULL, tiny, 3, 2, (int[]){2, 1}, class_of), EQ_OK);
    assert_int_equal(class_of[0], 1);
    const double huge[6] = {DBL_MAX, -DBL_MAX, -DBL_MAX, DBL_MAX, 0, 0};
    assert_int_equal(eq_assign(NULL, huge, 3, 2, (int[]){2, 1}, class_of), EQ_OK);
    assert_int_equal(class_of[0], 1);
    assert_int_equal(class_of[1], 0);
    assert_int_equal(class_of[2], 0);
}

static void bad_arguments(void **state)
{
    const double cost[4] = {0, 1, 1, 0}, broken[4] = {0, NAN, 1, 0};
    int class_of[2];
    assert_int_equal(eq_assign(NULL, cost, 2, 2, (int[]){1, 2}, class_of), EQ_BAD_USAGE);
    assert_int_equal(eq_assign(NULL, cost, 2, 2, (int[]){3, -1}, class_of), EQ_BAD_USAGE);
    assert_int_equal(eq_assign(NULL, cost, 2, 0, NULL, class_of), EQ_BAD_USAGE);
    assert_int_equal(eq_assign(NULL, cost, -1, 2, (int[]){0, 0}, class_of), EQ_BAD_USAGE);
    assert_int_equal(eq_assign(NULL, broken, 2, 2, (int[]){1, 1}, class_of), EQ_BAD_USAGE);
    assert_int_equal(eq_assign(NULL, NULL, 0, 2, (int[]){0, 0}, NULL), EQ_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_cases_match_enumeration),
        cmocka_unit_test(large_cases_have_no_improving_cycle),
        cmocka_unit_test(images_stay_when_told_by_the_costs),
        cmocka_unit_test(extreme_costs),
        cmocka_unit_test(bad_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
