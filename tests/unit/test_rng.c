/* Philox against the known answers of its authors, and the uses built on it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"

static void philox_known_answers(void **state)
{
    /* Random123's kat_vectors for philox4x32-10. */
    uint32_t out[4];
    eq_philox4x32((uint32_t[]){0, 0}, (uint32_t[]){0, 0, 0, 0}, out);
    assert_int_equal(out[0], 0x6627e8d5u);
    assert_int_equal(out[1], 0xe169c58du);
    assert_int_equal(out[2], 0xbc57ac4cu);
    assert_int_equal(out[3], 0x9b00dbd8u);
    eq_philox4x32((uint32_t[]){0xa4093822u, 0x299f31d0u},
                  (uint32_t[]){0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, out);
    assert_int_equal(out[0], 0xd16cfe09u);
    assert_int_equal(out[1], 0x94fdccebu);
    assert_int_equal(out[2], 0x5001e420u);
    assert_int_equal(out[3], 0x24126ea1u);
}

static void normals_have_unit_moments(void **state)
{
    enum { COUNT = 100000 };
    static float x[COUNT];
    eq_rng rng = eq_rng_make(7, 3, 1);
    eq_rng_normals(&rng, x, COUNT);
    double sum = 0, squares = 0;
    for (int i = 0; i < COUNT; i++) {
        sum += x[i];
        squares += (double)x[i] * x[i];
    }
    assert_true(fabs(sum / COUNT) < 0.015);
    assert_true(fabs(squares / COUNT - 1) < 0.02);
}

static void permutation_is_a_permutation(void **state)
{
    enum { COUNT = 1000 };
    uint32_t order[COUNT];
    uint8_t seen[COUNT] = {0};
    eq_rng rng = eq_rng_make(1, 0, 0);
    eq_rng_permutation(&rng, order, COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_true(order[i] < COUNT);
        assert_false(seen[order[i]]);
        seen[order[i]] = 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(normals_have_unit_moments),
        cmocka_unit_test(permutation_is_a_permutation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
