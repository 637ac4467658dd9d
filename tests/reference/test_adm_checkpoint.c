/* guided-diffusion's U-Net against the numbers of that implementation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reference/network.h"

static eq_context *ctx;
static network adm;

/* Every "out_t<timestep>", with the h before it, for all images of x together. */
static void check_calls(eq_dtype dtype, const char *backend, double limit)
{
    const eq_tensor *x = eq_tensor_file_find(&adm.reference, "x");
    assert_non_null(x);
    int64_t n = x->shape.dim[0];
    eq_denoiser *denoiser = network_denoiser(ctx, &adm, n, dtype, backend);
    int64_t h_count = n * eq_denoiser_h_count(denoiser);
    int64_t out_count = eq_shape_count(&x->shape) / adm.unet.in_channels * adm.unet.out_channels;
    float *inputs = network_expected(&adm, "x", eq_shape_count(&x->shape));
    float *our_h = calloc((size_t)h_count, sizeof(float)), *our_out = calloc((size_t)out_count, sizeof(float));
    int calls = 0;
    for (size_t i = 0; i < adm.reference.count; i++) {
        int timestep;
        char h_name[64];
        if (sscanf(adm.reference.entries[i].name, "out_t%d", &timestep) != 1)
            continue;
        snprintf(h_name, sizeof h_name, "h_t%d", timestep);
        float *h = network_expected(&adm, h_name, h_count);
        float *out = network_expected(&adm, adm.reference.entries[i].name, out_count);
        assert_ok(eq_denoiser_encode(denoiser, inputs, (float)timestep, our_h));
        assert_ok(eq_denoiser_decode(denoiser, inputs, (float)timestep, our_h, our_out));
        double h_error = relative_error(our_h, h, h_count), out_error = relative_error(our_out, out, out_count);
        print_message("%s, %s, t = %d: relative error of h %.2e, of the output %.2e\n", eq_dtype_name(dtype),
                      backend ? backend : "best", timestep, h_error, out_error);
        assert_true(h_error < limit);
        assert_true(out_error < limit);
        free(h);
        free(out);
        calls++;
    }
    assert_true(calls > 0);
    eq_denoiser_free(denoiser);
    free(inputs);
    free(our_h);
    free(our_out);
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
    network_open(ctx, "guided-diffusion", "model.pt", EQ_FAMILY_ADM, &adm);
    return 0;
}

static int close_network(void **state)
{
    network_close(&adm);
    return 0;
}

int main(void)
{
    if (!fixture_exists("guided-diffusion"))
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
