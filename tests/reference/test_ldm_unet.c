/* The U-Net of a Stable Diffusion single file, its configuration read from the weights, against diffusers' numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "models/ldm_unet.h"
#include "models/names_ldm.h"
#include "reference/compare.h"
#include "reference/conditional.h"
#include "reference/fixtures.h"

static eq_context *ctx;
static eq_tensor_file reference;

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != EQ_OK)                                                                                           \
            fail_msg("%s: %s", #call, eq_last_error(ctx));                                                             \
    } while (0)

/* A single file's U-Net. */
typedef struct model {
    eq_tensor_file file;
    eq_unet_config config;
    eq_params *params;
} model;

static void open_model(const char *name, model *out)
{
    assert_ok(eq_tensor_file_open(ctx, fixture_path(name), &out->file));
    assert_ok(eq_ldm_unet_config(ctx, &out->file, EQ_LDM_UNET_PREFIX, &out->config));
    out->config.context_length = (int)eq_tensor_file_find(&reference, "context")->shape.dim[1];
    out->params = eq_params_new(ctx);
    assert_ok(eq_unet_declare(out->params, &out->config));
    eq_ldm_names names = {&out->config, EQ_LDM_UNET_PREFIX};
    eq_name_map map = eq_ldm_name_map(&names);
    assert_ok(eq_weights_load(ctx, out->params, &out->file, &map));
}

static void close_model(model *m)
{
    eq_params_free(m->params);
    eq_tensor_file_close(&m->file);
}

static void check_call(const model *m, const char *backend, eq_dtype dtype, double limit)
{
    const eq_tensor *x_tensor = eq_tensor_file_find(&reference, "x");
    const eq_tensor *t = eq_tensor_file_find(&reference, "t"), *context = eq_tensor_file_find(&reference, "context");
    float *x = channels_last(&reference, "x"), *h = channels_last(&reference, "h");
    float *eps = channels_last(&reference, "eps");
    network net;
    assert_int_equal(t->dtype, EQ_I64);
    assert_ok(network_new(ctx, &m->config, m->params, &x_tensor->shape, dtype, backend, &net));
    float *our_h = malloc((size_t)net.h_count * sizeof(float)), *ours = malloc((size_t)net.out_count * sizeof(float));
    network_set_context(&net, context->data, context->shape.dim[0]);
    assert_ok(network_run(&net, x, (float)((const int64_t *)t->data)[0], our_h, ours));
    double h_error = relative_error(our_h, h, net.h_count), eps_error = relative_error(ours, eps, net.out_count);
    print_message("%s, %s: relative error of h %.2e, of eps %.2e\n", backend ? backend : "best", eq_dtype_name(dtype),
                  h_error, eps_error);
    assert_true(h_error < limit);
    assert_true(eps_error < limit);
    network_free(&net);
    free(x);
    free(h);
    free(eps);
    free(our_h);
    free(ours);
}

static void safetensors(void **state)
{
    model m = {0};
    open_model("stable-diffusion-single-file/model.safetensors", &m);
    check_call(&m, "ref", EQ_F32, 1e-5);
    check_call(&m, NULL, EQ_F32, 1e-5);
    check_call(&m, NULL, EQ_BF16, 2e-2);
    close_model(&m);
}

/* The same numbers come out of the older container. */
static void checkpoint(void **state)
{
    model m = {0};
    open_model("stable-diffusion-single-file/model.ckpt", &m);
    check_call(&m, NULL, EQ_F32, 1e-5);
    close_model(&m);
}

/* Without the U-Net's prefix there is none. */
static void another_prefix(void **state)
{
    eq_tensor_file file;
    eq_unet_config config;
    assert_ok(eq_tensor_file_open(ctx, fixture_path("stable-diffusion-single-file/model.safetensors"), &file));
    assert_int_equal(eq_ldm_unet_config(ctx, &file, "first_stage_model.", &config), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "0 output blocks"));
    eq_tensor_file_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safetensors),
        cmocka_unit_test(checkpoint),
        cmocka_unit_test(another_prefix),
    };
    if (!fixture_exists("stable-diffusion-single-file"))
        return FIXTURES_SKIP;
    ctx = eq_context_new();
    if (eq_tensor_file_open(ctx, fixture_path("stable-diffusion-single-file/reference.safetensors"), &reference) !=
        EQ_OK) {
        print_error("%s\n", eq_last_error(ctx));
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_tensor_file_close(&reference);
    eq_context_free(ctx);
    return failed;
}
