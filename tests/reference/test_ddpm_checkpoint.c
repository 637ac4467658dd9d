/* The DDPM U-Net under SDEdit's names against the numbers of that implementation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reference/network.h"

static eq_context *ctx;
static network ddpm;

/* The fixture gives a timestep an image; the denoiser takes one for all, so images go one by one. */
static void check_calls(eq_dtype dtype, const char *backend, double limit)
{
    const eq_tensor *x = eq_tensor_file_find(&ddpm.reference, "x"), *t = eq_tensor_file_find(&ddpm.reference, "t");
    assert_non_null(x);
    assert_non_null(t);
    int64_t n = x->shape.dim[0], count = eq_shape_count(&x->shape) / n;
    assert_int_equal(eq_shape_count(&t->shape), n);
    eq_denoiser *denoiser = network_denoiser(ctx, &ddpm, 1, dtype, backend);
    int64_t h_count = eq_denoiser_h_count(denoiser);
    float *inputs = network_expected(&ddpm, "x", n * count), *eps = network_expected(&ddpm, "eps", n * count);
    float *h = network_expected(&ddpm, "h", n * h_count);
    float *our_eps = calloc((size_t)(n * count), sizeof(float)), *our_h = calloc((size_t)(n * h_count), sizeof(float));
    for (int64_t i = 0; i < n; i++) {
        float timestep = (float)((const int64_t *)t->data)[i];
        assert_ok(eq_denoiser_encode(denoiser, inputs + i * count, timestep, our_h + i * h_count));
        assert_ok(eq_denoiser_decode(denoiser, inputs + i * count, timestep, our_h + i * h_count, our_eps + i * count));
    }
    double h_error = relative_error(our_h, h, n * h_count), eps_error = relative_error(our_eps, eps, n * count);
    print_message("%s, %s: relative error of h %.2e, of eps %.2e\n", eq_dtype_name(dtype), backend ? backend : "best",
                  h_error, eps_error);
    assert_true(h_error < limit);
    assert_true(eps_error < limit);
    eq_denoiser_free(denoiser);
    free(inputs);
    free(eps);
    free(h);
    free(our_eps);
    free(our_h);
}

static void calls_reference_kernels(void **state)
{
    check_calls(EQ_F32, "ref", 1e-5);
}

static void calls_best_kernels(void **state)
{
    check_calls(EQ_F32, NULL, 1e-5);
}

static void calls_bf16(void **state)
{
    check_calls(EQ_BF16, NULL, 2e-2);
}

static int open_network(void **state)
{
    network_open(ctx, "ddpm-sdedit", "model.ckpt", EQ_FAMILY_DDPM, &ddpm);
    return 0;
}

static int close_network(void **state)
{
    network_close(&ddpm);
    return 0;
}

int main(void)
{
    if (!fixture_exists("ddpm-sdedit"))
        return FIXTURES_SKIP;
    ctx = eq_context_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_reference_kernels),
        cmocka_unit_test(calls_best_kernels),
        cmocka_unit_test(calls_bf16),
    };
    int failed = cmocka_run_group_tests(tests, open_network, close_network);
    eq_context_free(ctx);
    return failed;
}
