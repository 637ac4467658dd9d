/* The autoencoder inside a single file of latent diffusion, its configuration taken from the shapes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "diffusion/latent.h"
#include "models/names_ldm_vae.h"
#include "reference/compare.h"
#include "reference/fixtures.h"

static eq_context *ctx;

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != EQ_OK)                                                                                           \
            fail_msg("%s: %s", #call, eq_last_error(ctx));                                                             \
    } while (0)

/* The reference decodes z as it is, without the scaling of diffusion. */
static void check_decoder(const char *name, eq_dtype dtype, double limit)
{
    eq_tensor_file weights, reference;
    eq_vae_config config;
    assert_ok(eq_tensor_file_open(ctx, fixture_path(name), &weights));
    assert_ok(eq_ldm_vae_config(ctx, &weights, &config));
    eq_params *params = eq_params_new(ctx);
    assert_non_null(params);
    assert_ok(eq_vae_declare(params, &config));
    eq_name_map names = eq_ldm_vae_names(&config);
    assert_ok(eq_weights_load(ctx, params, &weights, &names));
    assert_ok(eq_tensor_file_open(ctx, fixture_path("stable-diffusion-single-file/reference.safetensors"), &reference));

    eq_vae_config unscaled = config;
    unscaled.scaling_factor = 1;
    eq_latent_codec *codec;
    assert_ok(eq_latent_codec_new(ctx, &unscaled, params, &(eq_latent_options){.dtype = dtype}, &codec));
    float *z = channels_last(&reference, "z"), *expected = channels_last(&reference, "image");
    assert_non_null(z);
    assert_non_null(expected);
    const int64_t *in = eq_tensor_file_find(&reference, "z")->shape.dim; /* [n, c, h, w] */
    const eq_shape *out = &eq_tensor_file_find(&reference, "image")->shape;
    assert_int_equal(out->dim[2], eq_vae_scale(&config) * in[2]);
    assert_int_equal(out->dim[3], eq_vae_scale(&config) * in[3]);
    int64_t count = eq_shape_count(out);
    float *image = malloc((size_t)count * sizeof(float));
    assert_ok(eq_latent_decode(codec, z, in[0], in[2], in[3], image));
    double error = relative_error(image, expected, count);
    print_message("%s %s: relative error %.2e\n", name, eq_dtype_name(dtype), error);
    assert_true(error < limit);

    free(z);
    free(expected);
    free(image);
    eq_latent_codec_free(codec);
    eq_params_free(params);
    eq_tensor_file_close(&weights);
    eq_tensor_file_close(&reference);
}

static void safetensors(void **state)
{
    check_decoder("stable-diffusion-single-file/model.safetensors", EQ_F32, 1e-5);
    check_decoder("stable-diffusion-single-file/model.safetensors", EQ_BF16, 2e-2);
}

static void ckpt(void **state)
{
    check_decoder("stable-diffusion-single-file/model.ckpt", EQ_F32, 1e-5);
}

/* Also where another model's tensors are all there is. */
static void another_file_is_refused(void **state)
{
    eq_tensor_file file;
    eq_vae_config config;
    assert_ok(eq_tensor_file_open(ctx, fixture_path("stable-diffusion-single-file/reference.safetensors"), &file));
    assert_int_equal(eq_ldm_vae_config(ctx, &file, &config), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "no autoencoder under first_stage_model."));
    eq_tensor_file_close(&file);
}

int main(void)
{
    if (!fixture_exists("stable-diffusion-single-file"))
        return FIXTURES_SKIP;
    const struct CMUnitTest tests[] = {cmocka_unit_test(safetensors), cmocka_unit_test(ckpt),
                                       cmocka_unit_test(another_file_is_refused)};
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
