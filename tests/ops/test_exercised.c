/* The op table and the kernel table: each row well formed, and exercised by some test of this folder (which ctest has
 * run before this one). */
#include "ops/op_check.h"

#include <unistd.h>

static const char *folder;

static bool exercised(const char *op, const char *backend)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s%s%s", folder, op, backend ? "." : "", backend ? backend : "");
    return access(path, F_OK) == 0;
}

static const eq_op *find_op(const char *name)
{
    int count;
    const eq_op *const *ops = eq_op_table(&count);
    for (int i = 0; i < count; i++)
        if (strcmp(ops[i]->name, name) == 0)
            return ops[i];
    return NULL;
}

static void rows_are_well_formed(void **state)
{
    int ops, kernels;
    const eq_op *const *op = eq_op_table(&ops);
    const eq_kernel *const *kernel = eq_kernel_table(&kernels);
    for (int i = 0; i < ops; i++) {
        assert_non_null(op[i]->infer);
        assert_ptr_equal(find_op(op[i]->name), op[i]); /* no two of a name */
        bool reference = false;
        for (int k = 0; k < kernels; k++)
            reference = reference || (strcmp(kernel[k]->op, op[i]->name) == 0 &&
                                      strcmp(kernel[k]->backend, "ref") == 0 && !kernel[k]->supports);
        if (!reference)
            fail_msg("%s has no reference kernel that takes every node", op[i]->name);
    }
    for (int k = 0; k < kernels; k++) {
        if (!find_op(kernel[k]->op))
            fail_msg("there is a %s kernel for %s, which is no op", kernel[k]->backend, kernel[k]->op);
        for (int j = 0; j < k; j++)
            if (strcmp(kernel[j]->op, kernel[k]->op) == 0 && strcmp(kernel[j]->backend, "ref") == 0)
                fail_msg("a %s kernel for %s follows the reference and never runs", kernel[k]->backend, kernel[k]->op);
    }
}

static void all_ops_are_exercised(void **state)
{
    int count, missing = 0;
    const eq_op *const *ops = eq_op_table(&count);
    for (int i = 0; i < count; i++)
        if (!exercised(ops[i]->name, NULL)) {
            print_error("no test exercises %s\n", ops[i]->name);
            missing++;
        }
    assert_int_equal(missing, 0);
}

static void all_kernels_are_exercised(void **state)
{
    int count, missing = 0;
    const eq_kernel *const *kernels = eq_kernel_table(&count);
    for (int i = 0; i < count; i++)
        if (!exercised(kernels[i]->op, kernels[i]->backend)) {
            print_error("no test exercises the %s kernel of %s\n", kernels[i]->backend, kernels[i]->op);
            missing++;
        }
    assert_int_equal(missing, 0);
}

int main(void)
{
    folder = getenv("EQUIPOISE_EXERCISED");
    if (!folder)
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_well_formed),
        cmocka_unit_test(all_ops_are_exercised),
        cmocka_unit_test(all_kernels_are_exercised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
