/* The latent codec on a small autoencoder with random weights: tiles against the whole picture, encoding, faults. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "diffusion/latent.h"
#include "kernels/onednn/onednn.h"

enum { H = 40, W = 32, CHANNELS = 4, COLOURS = 3, SCALE = 8 };
enum { IMAGE_H = H * SCALE, IMAGE_W = W * SCALE, IMAGE = IMAGE_H * IMAGE_W * COLOURS };

static const eq_vae_config config = {.in_channels = COLOURS,
                                     .out_channels = COLOURS,
                                     .latent_channels = CHANNELS,
                                     .levels = 4,
                                     .block_out_channels = {8, 16, 16, 16},
                                     .layers_per_block = 1,
                                     .norm_num_groups = 4,
                                     .scaling_factor = 0.18215f};

static eq_context *ctx;
static eq_params *params;

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != EQ_OK)                                                                                           \
            fail_msg("%s: %s", #call, eq_last_error(ctx));                                                             \
    } while (0)

/* All weights random, so that no block is the identity; gammas around 1. */
static void make_params(void)
{
    params = eq_params_new(ctx);
    assert_non_null(params);
    assert_ok(eq_vae_declare(params, &config));
    assert_ok(eq_params_allocate(params));
    for (int i = 0; i < params->count; i++) {
        eq_param *param = &params->items[i];
        float *data = param->tensor.data, bound = 1.7f / sqrtf((float)param->fan_in);
        bool vector = param->tensor.shape.rank == 1;
        eq_rng rng = eq_rng_make(3, (uint64_t)i, 0);
        for (int64_t k = 0; k < eq_shape_count(&param->tensor.shape); k++)
            data[k] = vector ? (param->init == EQ_INIT_ONES) + 0.1f * eq_rng_normal(&rng)
                             : bound * (2 * eq_rng_uniform(&rng) - 1);
    }
}

static eq_latent_codec *new_codec(size_t memory_bytes, eq_dtype dtype)
{
    eq_latent_codec *codec;
    eq_latent_options options = {.dtype = dtype, .memory_bytes = memory_bytes};
    assert_ok(eq_latent_codec_new(ctx, &config, params, &options, &codec));
    return codec;
}

/* A picture that is not alike everywhere: smooth and weak at the left, rough and strong at the right, so that tiles
 * that normalised by themselves would differ. [H, W, CHANNELS] */
static float *uneven_latent(void)
{
    float *latent = malloc(H * W * CHANNELS * sizeof(float));
    eq_rng rng = eq_rng_make(7, 0, 0);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < CHANNELS; c++) {
                float right = (float)x / W, slope = sinf(0.3f * (float)(c + 1) + 0.2f * (float)y);
                latent[(y * W + x) * CHANNELS + c] = (1 - right) * slope + 2 * right * eq_rng_normal(&rng);
            }
    return latent;
}

static double mean_difference(const float *a, const float *b)
{
    double sum = 0;
    for (int i = 0; i < IMAGE; i++)
        sum += fabs((double)a[i] - b[i]);
    return sum / IMAGE;
}

/* How much more than the whole picture's the tiled one's neighbouring rows (or columns) differ, the worst line, mean
 * over the line: a seam would stand out. */
static double worst_seam(const float *tiled, const float *whole, bool rows)
{
    int lines = rows ? IMAGE_H : IMAGE_W, length = IMAGE / lines / COLOURS;
    double worst = 0;
    for (int line = 1; line < lines; line++) {
        double sum = 0;
        for (int k = 0; k < length; k++)
            for (int c = 0; c < COLOURS; c++) {
                int at = (rows ? line * IMAGE_W + k : k * IMAGE_W + line) * COLOURS + c;
                int before = at - (rows ? IMAGE_W : 1) * COLOURS;
                sum += fabs(((double)tiled[at] - tiled[before]) - ((double)whole[at] - whole[before]));
            }
        worst = fmax(worst, sum / (length * COLOURS));
    }
    return worst;
}

static double deviation(const float *image)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < IMAGE; i++) {
        sum += image[i];
        squares += (double)image[i] * image[i];
    }
    return sqrt(squares / IMAGE - sum / IMAGE * (sum / IMAGE));
}

/* Of pictures in [-1, 1] one step of 255 is 2/255; these numbers are brought to a like range. */
static void check_tiles(const float *latent, const float *whole, size_t whole_bytes, size_t memory_bytes,
                        eq_dtype dtype)
{
    float *tiled = malloc(IMAGE * sizeof(float));
    eq_latent_codec *codec = new_codec(memory_bytes, dtype);
    assert_ok(eq_latent_decode(codec, latent, 1, H, W, tiled));
    eq_latent_use use = eq_latent_codec_use(codec);
    double step = 2.0 / 255 * deviation(whole) / 0.5;
    double difference = mean_difference(tiled, whole) / step;
    double seam = fmax(worst_seam(tiled, whole, true), worst_seam(tiled, whole, false)) / step;
    print_message("%s, %.0f%% of the memory: %d tiles, %d sweeps, %d levels whole; mean difference %.4f steps of 255, "
                  "worst line %.4f\n",
                  eq_dtype_name(dtype), 100.0 * (double)use.arena_bytes / (double)whole_bytes, use.tiles, use.sweeps,
                  use.cut, difference, seam);
    assert_true(use.tiles > 1 && use.arena_bytes < whole_bytes);
    /* bfloat16 rounds features otherwise when statistics differ in their last bits. */
    double limit = dtype == EQ_BF16 ? 1 : 0.25;
    assert_true(difference < limit && seam < limit);
    eq_latent_codec_free(codec);
    free(tiled);
}

static void check_dtype(const float *latent, eq_dtype dtype)
{
    float *whole = malloc(IMAGE * sizeof(float));
    eq_latent_codec *codec = new_codec(0, dtype);
    assert_ok(eq_latent_decode(codec, latent, 1, H, W, whole));
    eq_latent_use use = eq_latent_codec_use(codec);
    assert_int_equal(use.tiles, 1);
    for (int part = 2; part <= 8; part *= 2)
        check_tiles(latent, whole, use.arena_bytes, use.arena_bytes / (size_t)part, dtype);
    eq_latent_codec_free(codec);
    free(whole);
}

static void tiles_agree_with_the_whole(void **state)
{
    float *latent = uneven_latent();
    check_dtype(latent, EQ_F32);
    if (eq_onednn_bf16_is_fast())
        check_dtype(latent, EQ_BF16);
    else
        print_message(
            "bf16 skipped: no instructions for it here, and plain kernels want room that tiles do not spare\n");
    free(latent);
}

/* --- encoding --- */

enum { ALL_LATENTS = H * W * CHANNELS };

/* As uneven as the latent: smooth and weak at the left, rough and strong at the right. [IMAGE_H, IMAGE_W, COLOURS] */
static float *uneven_image(void)
{
    float *image = malloc(IMAGE * sizeof(float));
    eq_rng rng = eq_rng_make(8, 0, 0);
    for (int i = 0; i < IMAGE; i++) {
        int x = i / COLOURS % IMAGE_W, y = i / COLOURS / IMAGE_W;
        float right = (float)x / IMAGE_W;
        image[i] = (1 - right) * sinf(0.05f * (float)y + (float)(i % COLOURS)) + right * eq_rng_normal(&rng);
    }
    return image;
}

/* The means' mean difference in steps of 255, where the means are brought to the range of pictures. */
static void check_encoded_tiles(const float *image, const float *whole, size_t whole_bytes, size_t memory_bytes,
                                eq_dtype dtype)
{
    float *tiled = malloc(2 * ALL_LATENTS * sizeof(float));
    double sum = 0, squares = 0, difference = 0;
    eq_latent_codec *codec = new_codec(memory_bytes, dtype);
    assert_ok(eq_latent_moments(codec, image, 1, IMAGE_H, IMAGE_W, tiled, tiled + ALL_LATENTS));
    eq_latent_use use = eq_latent_codec_encode_use(codec);
    for (int i = 0; i < ALL_LATENTS; i++) {
        sum += whole[i];
        squares += (double)whole[i] * whole[i];
        difference += fabs((double)tiled[i] - whole[i]) / ALL_LATENTS;
    }
    double step = 2.0 / 255 * sqrt(squares / ALL_LATENTS - sum / ALL_LATENTS * (sum / ALL_LATENTS)) / 0.5;
    print_message("encoding in %s, %.0f%% of the memory: %d tiles, %d sweeps, %d levels whole; mean difference %.4f "
                  "steps of 255\n",
                  eq_dtype_name(dtype), 100.0 * (double)use.arena_bytes / (double)whole_bytes, use.tiles, use.sweeps,
                  use.cut, difference / step);
    assert_true(use.tiles > 1 && use.arena_bytes < whole_bytes);
    assert_true(difference / step < (dtype == EQ_BF16 ? 1 : 0.25));
    eq_latent_codec_free(codec);
    free(tiled);
}

static void encoded_tiles_agree_with_the_whole(void **state)
{
    static const eq_dtype dtypes[] = {EQ_F32, EQ_BF16};
    float *image = uneven_image(), *whole = malloc(2 * ALL_LATENTS * sizeof(float));
    for (int i = 0; i < (eq_onednn_bf16_is_fast() ? 2 : 1); i++) {
        eq_latent_codec *codec = new_codec(0, dtypes[i]);
        assert_ok(eq_latent_moments(codec, image, 1, IMAGE_H, IMAGE_W, whole, whole + ALL_LATENTS));
        eq_latent_use use = eq_latent_codec_encode_use(codec);
        assert_int_equal(use.tiles, 1);
        for (size_t part = 2; part <= 8; part *= 2)
            check_encoded_tiles(image, whole, use.arena_bytes, use.arena_bytes / part, dtypes[i]);
        eq_latent_codec_free(codec);
    }
    free(image);
    free(whole);
}

/* Where no tile is small enough the smallest serves; one picture after another, of another size, too. */
static void sizes_change_and_limits_give_way(void **state)
{
    float *latent = uneven_latent(), *image = malloc(IMAGE * sizeof(float)), *again = malloc(IMAGE * sizeof(float));
    eq_latent_codec *codec = new_codec(1, EQ_F32);
    assert_ok(eq_latent_decode(codec, latent, 1, H, W, image));
    assert_true(eq_latent_codec_use(codec).tiles > 1);
    assert_ok(eq_latent_decode(codec, latent, 2, 1, 3, again));
    assert_int_equal(eq_latent_codec_use(codec).tiles, 1);
    assert_ok(eq_latent_decode(codec, latent, 1, H, W, again));
    assert_memory_equal(image, again, IMAGE * sizeof(float));
    eq_latent_codec_free(codec);
    free(latent);
    free(image);
    free(again);
}

static void samples_are_keyed(void **state)
{
    enum { N = 2, LATENTS = 16 * CHANNELS, SIDE = 4 * SCALE, PIXELS = SIDE * SIDE * COLOURS };
    float *images = malloc(N * PIXELS * sizeof(float));
    float mean[N * LATENTS], logvar[N * LATENTS], plain[N * LATENTS], sample[N * LATENTS], second[LATENTS];
    eq_rng rng = eq_rng_make(11, 0, 0);
    eq_rng_normals(&rng, images, N * PIXELS);
    eq_latent_codec *codec = new_codec(0, EQ_F32);
    const uint64_t seed = 5;
    assert_ok(eq_latent_moments(codec, images, N, SIDE, SIDE, mean, logvar));
    assert_ok(eq_latent_encode(codec, images, N, SIDE, SIDE, NULL, 0, plain));
    assert_ok(eq_latent_encode(codec, images, N, SIDE, SIDE, &seed, 40, sample));
    assert_ok(eq_latent_encode(codec, images + PIXELS, 1, SIDE, SIDE, &seed, 41, second));
    assert_memory_equal(second, sample + LATENTS, sizeof second);
    double sum = 0, squares = 0;
    for (int i = 0; i < N * LATENTS; i++) {
        assert_true(plain[i] == mean[i] * config.scaling_factor);
        double z = ((double)sample[i] / (double)config.scaling_factor - (double)mean[i]) / exp(0.5 * (double)logvar[i]);
        sum += z;
        squares += z * z;
    }
    /* Four standard errors of the mean and the mean square of 128 normals. */
    assert_true(fabs(sum / (N * LATENTS)) < 4 / sqrt(N * LATENTS));
    assert_true(fabs(squares / (N * LATENTS) - 1) < 4 * sqrt(2.0 / (N * LATENTS)));
    eq_latent_codec_free(codec);
    free(images);
}

static void variances_are_clamped(void **state)
{
    enum { SIDE = SCALE };
    eq_param *bias = eq_params_find(params, "quant_conv.bias");
    float *numbers = bias->tensor.data, kept[2] = {numbers[CHANNELS], numbers[CHANNELS + 1]};
    float image[SIDE * SIDE * COLOURS] = {0}, mean[CHANNELS], logvar[CHANNELS];
    numbers[CHANNELS] = 1e4f;
    numbers[CHANNELS + 1] = -1e4f;
    eq_latent_codec *codec = new_codec(0, EQ_F32);
    assert_ok(eq_latent_moments(codec, image, 1, SIDE, SIDE, mean, logvar));
    assert_true(logvar[0] == 20 && logvar[1] == -30);
    eq_latent_codec_free(codec);
    numbers[CHANNELS] = kept[0];
    numbers[CHANNELS + 1] = kept[1];
}

static void wrong_sizes_are_refused(void **state)
{
    float number = 0;
    eq_latent_codec *codec = new_codec(0, EQ_F32);
    assert_int_equal(eq_latent_moments(codec, &number, 1, SCALE, SCALE + 1, &number, NULL), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "multiple of 8"));
    assert_int_equal(eq_latent_decode(codec, &number, 1, 0, 4, &number), EQ_BAD_USAGE);
    assert_int_equal(eq_latent_decode(codec, &number, 1, 4, 1 << 20, &number), EQ_BAD_USAGE);
    eq_latent_codec_free(codec);
}

static void check_config(const char *text, const char *message)
{
    eq_vae_config read;
    assert_int_equal(eq_vae_config_parse(ctx, text, strlen(text), "config.json", &read),
                     message ? EQ_BAD_INPUT : EQ_OK);
    if (message && !strstr(eq_last_error(ctx), message))
        fail_msg("%s: expected \"%s\", got \"%s\"", text, message, eq_last_error(ctx));
}

static void configurations(void **state)
{
    eq_vae_config read;
    const char *text = "{\"block_out_channels\": [128, 256, 512, 512], \"layers_per_block\": 2}";
    assert_ok(eq_vae_config_parse(ctx, text, strlen(text), "config.json", &read));
    assert_true(read.scaling_factor == 0.18215f && read.levels == 4 && read.latent_channels == 4);
    assert_int_equal(eq_vae_scale(&read), 8);
    check_config("{}", "block_out_channels");
    check_config("{\"block_out_channels\": [33]}", "multiples of norm_num_groups");
    check_config("{\"block_out_channels\": [32], \"_class_name\": \"VQModel\"}", "VQModel");
    check_config("{\"block_out_channels\": [32], \"act_fn\": \"mish\"}", "mish");
    check_config("{\"block_out_channels\": [32], \"use_quant_conv\": false}", "use_quant_conv");
    check_config("{\"block_out_channels\": [32], \"shift_factor\": 0.1}", "shift_factor");
    check_config("{\"block_out_channels\": [32], \"shift_factor\": null}", NULL);
    check_config("{\"block_out_channels\": [32], \"scaling_factor\": 0}", "scaling_factor");
    check_config("{\"block_out_channels\": [32], \"up_block_types\": [\"AttnUpDecoderBlock2D\"]}",
                 "only UpDecoderBlock2D is supported");
    check_config("{\"block_out_channels\": [32], \"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\"]}",
                 "names 2 blocks");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_agree_with_the_whole),
        cmocka_unit_test(encoded_tiles_agree_with_the_whole),
        cmocka_unit_test(sizes_change_and_limits_give_way),
        cmocka_unit_test(samples_are_keyed),
        cmocka_unit_test(variances_are_clamped),
        cmocka_unit_test(wrong_sizes_are_refused),
        cmocka_unit_test(configurations),
    };
    ctx = eq_context_new();
    make_params();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_params_free(params);
    eq_context_free(ctx);
    return failed;
}
