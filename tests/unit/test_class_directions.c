/* Directions of classes: unsure heads borrow, all get one length. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "equipoise/context.h"
#include "train/class_directions.h"

static void unsure_heads_borrow(void **state)
{
    static const char *const names[] = {"a", "b"};
    const eq_attribute attribute = {"x", 2, names};
    eq_context *ctx = eq_context_new();
    eq_adp adp;
    assert_int_equal(eq_adp_new(ctx, &attribute, 3, eq_shape_of(1, 1, 2), 0, &adp), EQ_OK);
    adp.accuracy = calloc(3, sizeof(float));
    adp.direction = calloc(3 * 2 * 2, sizeof(float));
    adp.accuracy[0] = 1, adp.accuracy[1] = 0.76f, adp.accuracy[2] = 0.74f; /* halfway to certainty is 0.75 */
    static const float means[] = {3, 4, -3, -4, 0, 1, 0, -1, 9, 0, -9, 0};
    for (int k = 0; k < 12; k++)
        adp.direction[k] = means[k];
    eq_class_directions_clean(&adp);
    static const float expected[] = {3, 4, -3, -4, 0, 5, 0, -5, 0, 5, 0, -5};
    for (int k = 0; k < 12; k++)
        assert_true(fabsf(adp.direction[k] - expected[k]) < 1e-5f);
    eq_adp_free(&adp);
    eq_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(unsure_heads_borrow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
