/* The autoencoder against diffusers' numbers: a folder with vae/config.json. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "diffusion/latent.h"
#include "models/names_diffusers.h"
#include "reference/compare.h"
#include "reference/fixtures.h"

static eq_context *ctx;

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != EQ_OK)                                                                                           \
            fail_msg("%s: %s", #call, eq_last_error(ctx));                                                             \
    } while (0)

typedef struct fixture {
    eq_vae_config config;
    eq_params *params;
    eq_tensor_file weights, reference;
} fixture;

static void open_fixture(fixture *f)
{
    assert_ok(eq_vae_config_read(ctx, fixture_path("stable-diffusion-tiny/vae/config.json"), &f->config));
    f->params = eq_params_new(ctx);
    assert_non_null(f->params);
    assert_ok(eq_vae_declare(f->params, &f->config));
    assert_ok(eq_tensor_file_open(ctx, fixture_path("stable-diffusion-tiny/vae/diffusion_pytorch_model.safetensors"),
                                  &f->weights));
    assert_ok(eq_weights_load(ctx, f->params, &f->weights, &eq_names_diffusers));
    assert_ok(eq_tensor_file_open(ctx, fixture_path("stable-diffusion-tiny/reference.safetensors"), &f->reference));
}

static void close_fixture(fixture *f)
{
    eq_params_free(f->params);
    eq_tensor_file_close(&f->weights);
    eq_tensor_file_close(&f->reference);
}

static eq_latent_codec *new_codec(const fixture *f, eq_dtype dtype, const char *backend)
{
    eq_latent_codec *codec;
    eq_latent_options options = {.dtype = dtype, .backend = backend};
    assert_ok(eq_latent_codec_new(ctx, &f->config, f->params, &options, &codec));
    return codec;
}

static const eq_shape *shape_of(const fixture *f, const char *name)
{
    const eq_tensor *tensor = eq_tensor_file_find(&f->reference, name);
    assert_non_null(tensor);
    return &tensor->shape; /* [n, c, h, w] */
}

static void check(const fixture *f, const char *name, const float *ours, eq_dtype dtype, double limit)
{
    float *expected = channels_last(&f->reference, name);
    assert_non_null(expected);
    double error = relative_error(ours, expected, eq_shape_count(shape_of(f, name)));
    print_message("%s %s: relative error %.2e\n", name, eq_dtype_name(dtype), error);
    free(expected);
    assert_true(error < limit);
}

static void check_encoder(const fixture *f, eq_dtype dtype, const char *backend, double limit)
{
    eq_latent_codec *codec = new_codec(f, dtype, backend);
    const eq_shape *in = shape_of(f, "image_in");
    size_t count = (size_t)eq_shape_count(shape_of(f, "vae_mean"));
    float *images = channels_last(&f->reference, "image_in");
    float *mean = malloc(count * sizeof(float)), *logvar = malloc(count * sizeof(float));
    assert_ok(eq_latent_moments(codec, images, in->dim[0], in->dim[2], in->dim[3], mean, logvar));
    check(f, "vae_mean", mean, dtype, limit);
    check(f, "vae_logvar", logvar, dtype, limit);
    free(images);
    free(mean);
    free(logvar);
    eq_latent_codec_free(codec);
}

static void check_decoder(const fixture *f, eq_dtype dtype, const char *backend, double limit)
{
    eq_latent_codec *codec = new_codec(f, dtype, backend);
    const eq_shape *in = shape_of(f, "latents_ddim_8"), *out = shape_of(f, "image_ddim_8");
    int scale = eq_vae_scale(&f->config);
    assert_int_equal(out->dim[2], scale * in->dim[2]);
    assert_int_equal(out->dim[3], scale * in->dim[3]);
    float *latents = channels_last(&f->reference, "latents_ddim_8");
    float *images = malloc((size_t)eq_shape_count(out) * sizeof(float));
    assert_ok(eq_latent_decode(codec, latents, in->dim[0], in->dim[2], in->dim[3], images));
    check(f, "image_ddim_8", images, dtype, limit);
    free(latents);
    free(images);
    eq_latent_codec_free(codec);
}

static void reference_kernels(void **state)
{
    check_encoder(*state, EQ_F32, "ref", 1e-5);
    check_decoder(*state, EQ_F32, "ref", 1e-5);
}

static void best_kernels(void **state)
{
    check_encoder(*state, EQ_F32, NULL, 1e-5);
    check_decoder(*state, EQ_F32, NULL, 1e-5);
}

static void best_kernels_bf16(void **state)
{
    check_encoder(*state, EQ_BF16, NULL, 2e-2);
    check_decoder(*state, EQ_BF16, NULL, 2e-2);
}

int main(void)
{
    if (!fixture_exists("stable-diffusion-tiny"))
        return FIXTURES_SKIP;
    fixture f;
    ctx = eq_context_new();
    open_fixture(&f);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(reference_kernels, &f),
        cmocka_unit_test_prestate(best_kernels, &f),
        cmocka_unit_test_prestate(best_kernels_bf16, &f),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    close_fixture(&f);
    eq_context_free(ctx);
    return failed;
}
