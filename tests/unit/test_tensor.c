/* Number formats, shapes, and conversions of tensors. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "tensor/tensor.h"

/* The value of an f16 by its definition (IEEE 754-2019, section 3.4). */
static double half_value(uint16_t bits)
{
    int exponent = (bits >> 10) & 31, fraction = bits & 1023;
    double magnitude = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
    if (exponent == 31)
        magnitude = fraction ? NAN : INFINITY;
    return bits & 0x8000 ? -magnitude : magnitude;
}

static void every_half(void **state)
{
    for (uint32_t bits = 0; bits < 65536; bits++) {
        double expected = half_value((uint16_t)bits);
        float found = eq_f16_to_f32((uint16_t)bits), in_row;
        eq_f16_row_to_f32(&(uint16_t){(uint16_t)bits}, 1, &in_row);
        assert_true(isnan(expected) ? isnan(in_row) : memcmp(&in_row, &found, sizeof found) == 0);
        if (isnan(expected)) {
            assert_true(isnan(found));
            assert_true(isnan(eq_f16_to_f32(eq_f32_to_f16(found))));
            continue;
        }
        assert_true(found == expected && !signbit(found) == !signbit(expected));
        assert_int_equal(eq_f32_to_f16(found), bits);
    }
}

/* Between neighbours, the nearer one, and the even one from the middle. */
static void halves_round_to_nearest_even(void **state)
{
    for (uint16_t bits = 0; bits < 0x7bff; bits++) {
        double low = half_value(bits), high = half_value(bits + 1), middle = (low + high) / 2;
        uint16_t even = bits & 1 ? bits + 1 : bits;
        assert_int_equal(eq_f32_to_f16((float)middle), even);
        assert_int_equal(eq_f32_to_f16(nextafterf((float)middle, 0)), bits);
        assert_int_equal(eq_f32_to_f16(nextafterf((float)middle, INFINITY)), bits + 1);
        assert_int_equal(eq_f32_to_f16(-(float)middle), even | 0x8000);
    }
    assert_int_equal(eq_f32_to_f16(nextafterf(65520, 0)), 0x7bff);
    assert_int_equal(eq_f32_to_f16(65520), 0x7c00);
    assert_int_equal(eq_f32_to_f16(1e30f), 0x7c00);
    assert_int_equal(eq_f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(eq_f32_to_f16(1e-30f), 0);
}

static void bfloats_round_to_nearest_even(void **state)
{
    for (uint32_t bits = 0; bits < 0x7f80; bits++) {
        float low = eq_bf16_to_f32((uint16_t)bits), middle;
        uint32_t pattern = bits << 16 | 0x8000;
        memcpy(&middle, &pattern, sizeof middle);
        assert_int_equal(eq_f32_to_bf16(low), bits);
        assert_int_equal(eq_f32_to_bf16(middle), bits & 1 ? bits + 1 : bits);
        assert_int_equal(eq_f32_to_bf16(nextafterf(middle, 0)), bits);
        assert_int_equal(eq_f32_to_bf16(nextafterf(middle, INFINITY)), bits + 1);
    }
    assert_int_equal(eq_f32_to_bf16(-INFINITY), 0xff80);
    uint32_t nans[] = {0x7f800001, 0xffffffff, 0x7fc00000};
    for (int i = 0; i < 3; i++) {
        float nan;
        memcpy(&nan, &nans[i], sizeof nan);
        assert_true(isnan(eq_bf16_to_f32(eq_f32_to_bf16(nan))));
    }
}

static void conversions(void **state)
{
    float f32[] = {-1, 0.5f, 100};
    uint16_t bf16[] = {0xbf80, 0x3f00, 0x42c8}, f16[] = {0xbc00, 0x3800, 0x5640};
    double f64[] = {-1, 0.5, 100};
    int64_t i64[] = {-1, 3, 100};
    int32_t i32[] = {-1, 3, 100};
    int16_t i16[] = {-1, 3, 100};
    int8_t i8[] = {-1, 3, 100};
    uint8_t u8[] = {255, 3, 100}, flags[] = {1, 0, 1};
    static const float real[] = {-1, 0.5f, 100}, whole[] = {-1, 3, 100}, byte[] = {255, 3, 100}, flag[] = {1, 0, 1};
    const struct {
        eq_dtype dtype;
        void *data;
        const float *expected;
        size_t size;
        const char *name;
    } cases[] = {
        {EQ_F32, f32, real, 4, "f32"},     {EQ_BF16, bf16, real, 2, "bf16"}, {EQ_F16, f16, real, 2, "f16"},
        {EQ_F64, f64, real, 8, "f64"},     {EQ_I64, i64, whole, 8, "i64"},   {EQ_I32, i32, whole, 4, "i32"},
        {EQ_I16, i16, whole, 2, "i16"},    {EQ_I8, i8, whole, 1, "i8"},      {EQ_U8, u8, byte, 1, "u8"},
        {EQ_BOOL, flags, flag, 1, "bool"},
    };
    assert_int_equal(sizeof cases / sizeof cases[0], EQ_DTYPE_COUNT);
    for (int i = 0; i < EQ_DTYPE_COUNT; i++) {
        eq_tensor tensor = {cases[i].dtype, eq_shape_of(3), cases[i].data};
        float out[3];
        eq_tensor_to_f32(&tensor, out);
        assert_memory_equal(out, cases[i].expected, sizeof out);
        assert_int_equal(eq_dtype_size(cases[i].dtype), cases[i].size);
        assert_string_equal(eq_dtype_name(cases[i].dtype), cases[i].name);
        assert_int_equal(eq_tensor_bytes(&tensor), 3 * cases[i].size);
    }
}

static void shapes(void **state)
{
    eq_shape a = eq_shape_of(2, 3, 64, 64), b = eq_shape_of(2, 3, 64), scalar = {0};
    assert_int_equal(a.rank, 4);
    assert_int_equal(eq_shape_count(&a), 2 * 3 * 64 * 64);
    assert_int_equal(eq_shape_count(&scalar), 1);
    assert_false(eq_shape_equal(&a, &b));
    assert_true(eq_shape_equal(&a, &a));
    b = eq_shape_of(2, 3, 64, 65);
    assert_false(eq_shape_equal(&a, &b));
    assert_string_equal(eq_shape_format(&a).text, "[2, 3, 64, 64]");
    assert_string_equal(eq_shape_format(&scalar).text, "[]");
    eq_shape wide = eq_shape_of(INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN);
    assert_int_equal(strlen(eq_shape_format(&wide).text), 5 * 20 + 4 * 2 + 2); /* the longest there is */
}

static void checked_counts(void **state)
{
    const int64_t big = (int64_t)1 << 31;
    const struct {
        eq_shape shape;
        size_t size;
        bool good;
        int64_t count;
    } cases[] = {
        {{0}, 4, true, 1},
        {eq_shape_of(3, 4), 4, true, 12},
        {eq_shape_of(3, 0, 4), 4, true, 0},
        {eq_shape_of(INT64_MAX, 0), 8, false, 0}, /* the product would overflow on its way to 0 */
        {eq_shape_of(0, INT64_MAX, INT64_MAX), 8, true, 0},
        {eq_shape_of(-1), 4, false, 0},
        {eq_shape_of(-2, -3), 4, false, 0},
        {eq_shape_of(0, -1), 4, false, 0},
        {eq_shape_of(big, big), 1, true, big * big},
        {eq_shape_of(big, big), 2, false, 0},
        {eq_shape_of(big, big, 2), 1, false, 0},
        {eq_shape_of(INT64_MAX), 1, false, 0},
        {eq_shape_of(INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX), 8, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t count = -1;
        assert_int_equal(eq_shape_checked_count(&cases[i].shape, cases[i].size, &count), cases[i].good);
        if (cases[i].good)
            assert_int_equal(count, cases[i].count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half),
        cmocka_unit_test(halves_round_to_nearest_even),
        cmocka_unit_test(bfloats_round_to_nearest_even),
        cmocka_unit_test(conversions),
        cmocka_unit_test(shapes),
        cmocka_unit_test(checked_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
