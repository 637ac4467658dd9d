/* The same tensors out of different containers, written by PyTorch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fixtures.h"
#include "io/tensor_file.h"

static eq_context *ctx;

static eq_tensor_file open_fixture(const char *name, const char *container)
{
    eq_tensor_file file;
    if (eq_tensor_file_open(ctx, fixture_path(name), &file) != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
    assert_string_equal(file.container, container);
    assert_true(file.count > 0);
    return file;
}

static void assert_same(const eq_tensor *a, const eq_tensor *b, const char *name)
{
    if (a->dtype != b->dtype || !eq_shape_equal(&a->shape, &b->shape))
        fail_msg("%s: %s %s in one, %s %s in the other", name, eq_dtype_name(a->dtype), eq_shape_format(&a->shape).text,
                 eq_dtype_name(b->dtype), eq_shape_format(&b->shape).text);
    if (memcmp(a->data, b->data, eq_tensor_bytes(a)) != 0)
        fail_msg("%s: other numbers", name);
}

static void assert_same_files(const eq_tensor_file *a, const eq_tensor_file *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        const eq_tensor *other = eq_tensor_file_find(b, a->entries[i].name);
        if (!other)
            fail_msg("%s is in one file only", a->entries[i].name);
        assert_same(&a->entries[i].tensor, other, a->entries[i].name);
    }
}

static void legacy_and_zip_hold_the_same_heads(void **state)
{
    eq_tensor_file zip = open_fixture("guided-diffusion/adp_gender.pt", "PyTorch zip");
    eq_tensor_file legacy = open_fixture("guided-diffusion/adp_gender_legacy.pt", "PyTorch legacy");
    assert_same_files(&zip, &legacy);
    assert_non_null(eq_tensor_file_find(&zip, "linears.0.weight"));
    eq_tensor_file_close(&zip);
    eq_tensor_file_close(&legacy);
}

/* The checkpoint nests its tensors in "state_dict", beside plain values. */
static void checkpoint_and_safetensors_hold_the_same_model(void **state)
{
    eq_tensor_file zip = open_fixture("stable-diffusion-single-file/model.ckpt", "PyTorch zip");
    eq_tensor_file safe = open_fixture("stable-diffusion-single-file/model.safetensors", "safetensors");
    assert_same_files(&zip, &safe);
    eq_tensor_file_close(&zip);
    eq_tensor_file_close(&safe);
}

/* Stored without compression and aligned: nothing is copied. */
static void state_dicts_are_views_of_finite_numbers(void **state)
{
    static const char *const names[] = {"guided-diffusion/model.pt", "guided-diffusion/adp_race.pt",
                                        "ddpm-sdedit/model.ckpt", "stable-diffusion-tiny/adp_gender.pt"};
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        eq_tensor_file file = open_fixture(names[n], "PyTorch zip");
        for (size_t i = 0; i < file.count; i++) {
            const eq_tensor *tensor = &file.entries[i].tensor;
            assert_int_equal(tensor->dtype, EQ_F32);
            assert_int_equal((uintptr_t)tensor->data % sizeof(float), 0);
            int64_t count = eq_shape_count(&tensor->shape);
            double sum = 0;
            for (int64_t k = 0; k < count; k++)
                sum += ((const float *)tensor->data)[k];
            assert_true(sum - sum == 0);
        }
        eq_tensor_file_close(&file);
    }
}

int main(void)
{
    if (!fixture_exists("guided-diffusion/adp_gender_legacy.pt") || !fixture_exists("ddpm-sdedit") ||
        !fixture_exists("stable-diffusion-single-file"))
        return FIXTURES_SKIP;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(legacy_and_zip_hold_the_same_heads),
        cmocka_unit_test(checkpoint_and_safetensors_hold_the_same_model),
        cmocka_unit_test(state_dicts_are_views_of_finite_numbers),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
