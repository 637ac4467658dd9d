/* Classes dealt out by quota: exact counts, and an order that the seed and the target's number decide. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guidance/quota.h"
#include "unit/tiny.h"

enum { N = 101, CLASSES = 3 };

static eq_context *ctx;

static void deal(int number, uint64_t seed, int64_t n, int *cell)
{
    const eq_attribute age = tiny_age();
    eq_targets targets = {0};
    assert_ok(eq_targets_add(ctx, &targets, "age=young:0.5,middle:0.2,old:0.3", &age, 1));
    assert_ok(eq_quota_deal(ctx, &targets.items[0], number, seed, n, cell));
    eq_targets_free(&targets);
}

static void counts_are_exact(void **state)
{
    for (int n = 1; n <= N; n++) {
        int cell[N], count[CLASSES] = {0}, quota[CLASSES];
        deal(0, 7, n, cell);
        for (int i = 0; i < n; i++)
            count[cell[i]]++;
        eq_quota((const double[]){0.5, 0.2, 0.3}, CLASSES, n, quota);
        assert_memory_equal(count, quota, sizeof count);
    }
}

static void order_follows_the_seed(void **state)
{
    int one[N], same[N], other_seed[N], other_number[N];
    deal(0, 7, N, one);
    deal(0, 7, N, same);
    deal(0, 8, N, other_seed);
    deal(1, 7, N, other_number);
    assert_memory_equal(one, same, sizeof one);
    assert_memory_not_equal(one, other_seed, sizeof one);
    assert_memory_not_equal(one, other_number, sizeof one);
}

int main(void)
{
    ctx = eq_context_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_exact),
        cmocka_unit_test(order_follows_the_seed),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
