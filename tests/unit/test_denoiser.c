/* The denoiser: encode and decode are the whole network, however the images are cut into micro-batches and whatever is
 * kept in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <omp.h>

#include "diffusion/denoiser.h"
#include "unit/tiny.h"

enum { IMAGES = 7 };

static eq_context *ctx;
static eq_unet_config unet;
static eq_params *params;
static float *x; /* [IMAGES, TINY_PIXELS] */

static int setup(void **state)
{
    unet = tiny_unet();
    params = tiny_params(ctx, &unet, 1);
    x = tiny_normals(2, IMAGES * TINY_PIXELS);
    return params && x ? 0 : -1;
}

static int teardown(void **state)
{
    eq_params_free(params);
    free(x);
    return 0;
}

static eq_denoiser *make(int64_t count, int64_t micro_batch, size_t memory_bytes, eq_dtype dtype)
{
    eq_denoiser *denoiser;
    eq_denoiser_options options = {.count = count,
                                   .micro_batch = micro_batch,
                                   .memory_bytes = memory_bytes,
                                   .height = TINY_SIDE,
                                   .width = TINY_SIDE,
                                   .dtype = dtype};
    assert_ok(eq_denoiser_new(ctx, &unet, params, &options, &denoiser));
    return denoiser;
}

/* h moved by `shift` on its way; prediction [IMAGES, TINY_PIXELS] and h [IMAGES, TINY_H] out. */
static void encode_decode(eq_denoiser *d, float timestep, float shift, float *h, float *prediction)
{
    assert_ok(eq_denoiser_encode(d, x, timestep, h));
    for (int i = 0; i < IMAGES * TINY_H; i++)
        h[i] += shift;
    assert_ok(eq_denoiser_decode(d, x, timestep, h, prediction));
}

typedef struct result {
    float h[IMAGES * TINY_H], prediction[IMAGES * TINY_PIXELS];
} result;

static result *run_with(int64_t micro_batch, size_t memory_bytes, eq_dtype dtype, float shift)
{
    result *r = malloc(sizeof *r);
    eq_denoiser *d = make(IMAGES, micro_batch, memory_bytes, dtype);
    /* Another input first: what is kept must be this one's. */
    encode_decode(d, 900, 1, r->h, r->prediction);
    encode_decode(d, 321, shift, r->h, r->prediction);
    eq_denoiser_free(d);
    return r;
}

static void unchanged_h_is_the_whole_network(void **state)
{
    static const int64_t micro_batches[] = {1, 3, IMAGES};
    float whole[IMAGES * TINY_PIXELS];
    for (int m = 0; m < 3; m++) {
        eq_denoiser *d = make(IMAGES, micro_batches[m], 0, EQ_F32);
        assert_ok(eq_denoiser_run(d, x, 321, whole));
        eq_denoiser_free(d);
        result *r = run_with(micro_batches[m], 0, EQ_F32, 0);
        assert_memory_equal(r->prediction, whole, sizeof whole);
        free(r);
    }
}

static void micro_batches_do_not_matter(void **state)
{
    static const float shifts[] = {0, 0.7f};
    for (int s = 0; s < 2; s++) {
        result *all = run_with(IMAGES, 0, EQ_F32, shifts[s]);
        for (int64_t micro_batch = 1; micro_batch < IMAGES; micro_batch++) {
            result *kept = run_with(micro_batch, 0, EQ_F32, shifts[s]);
            result *again = run_with(micro_batch, 1, EQ_F32, shifts[s]);
            assert_true(tiny_relative_error(kept->h, all->h, IMAGES * TINY_H) < TINY_CALL_ERROR);
            assert_true(tiny_relative_error(kept->prediction, all->prediction, IMAGES * TINY_PIXELS) < TINY_CALL_ERROR);
            assert_memory_equal(again->prediction, kept->prediction, sizeof kept->prediction);
            free(kept);
            free(again);
        }
        free(all);
    }
}

/* Memory for some of the micro-batches: the rest is encoded again. */
static void some_are_kept(void **state)
{
    eq_denoiser *d = make(IMAGES, 2, 0, EQ_F32);
    size_t carry = eq_program_memory_use(eq_denoiser_program(d)).carry_bytes;
    eq_denoiser_free(d);
    assert_true(carry > 0);
    result *r = malloc(sizeof *r), *whole = run_with(2, 0, EQ_F32, 0.4f);
    static const struct {
        size_t carries;
        double passes; /* of 7 images in cuts of 2, 2, 2, 1 */
    } cases[] = {{0, 10.5}, {1, 10.5}, {2, 8.5}, {3, 7.5}, {4, 7}};
    for (int i = 0; i < 5; i++) {
        d = make(IMAGES, 2, cases[i].carries * carry + 1, EQ_F32);
        encode_decode(d, 321, 0.4f, r->h, r->prediction);
        assert_memory_equal(r->prediction, whole->prediction, sizeof whole->prediction);
        assert_near(eq_denoiser_passes(d), cases[i].passes, 0);
        eq_denoiser_free(d);
    }
    free(r);
    free(whole);
}

static void images_do_not_see_each_other(void **state)
{
    result *all = run_with(3, 0, EQ_F32, 0);
    eq_denoiser *d = make(1, 0, 0, EQ_F32);
    float alone[TINY_PIXELS];
    for (int i = 0; i < IMAGES; i++) {
        assert_ok(eq_denoiser_run(d, x + i * TINY_PIXELS, 321, alone));
        assert_true(tiny_relative_error(alone, all->prediction + i * TINY_PIXELS, TINY_PIXELS) < TINY_CALL_ERROR);
    }
    eq_denoiser_free(d);
    free(all);
}

static void bf16_is_close(void **state)
{
    result *exact = run_with(3, 0, EQ_F32, 0.5f), *half = run_with(3, 0, EQ_BF16, 0.5f);
    result *again = run_with(3, 1, EQ_BF16, 0.5f);
    double error = tiny_relative_error(half->prediction, exact->prediction, IMAGES * TINY_PIXELS);
    assert_true(error > 1e-5); /* it is another format */
    assert_true(error < 0.02);
    assert_memory_equal(again->prediction, half->prediction, sizeof half->prediction);
    free(exact);
    free(half);
    free(again);
}

/* A change of one image's h changes that image's prediction and no other's. */
static void h_reaches_the_output(void **state)
{
    eq_denoiser *d = make(IMAGES, 3, 0, EQ_F32);
    result *plain = run_with(3, 0, EQ_F32, 0), *r = malloc(sizeof *r);
    for (int changed = 0; changed < IMAGES; changed += 3) {
        assert_ok(eq_denoiser_encode(d, x, 321, r->h));
        for (int k = 0; k < TINY_H; k++)
            r->h[changed * TINY_H + k] += 0.5f;
        assert_ok(eq_denoiser_decode(d, x, 321, r->h, r->prediction));
        for (int i = 0; i < IMAGES; i++) {
            double error =
                tiny_relative_error(r->prediction + i * TINY_PIXELS, plain->prediction + i * TINY_PIXELS, TINY_PIXELS);
            if (i == changed)
                assert_true(error > 1e-3);
            else
                assert_true(error == 0);
        }
    }
    eq_denoiser_free(d);
    free(plain);
    free(r);
}

static void timesteps_matter(void **state)
{
    eq_denoiser *d = make(1, 0, 0, EQ_F32);
    float early[TINY_PIXELS], late[TINY_PIXELS];
    assert_ok(eq_denoiser_run(d, x, 10, early));
    assert_ok(eq_denoiser_run(d, x, 900, late));
    assert_true(tiny_relative_error(early, late, TINY_PIXELS) > 1e-3);
    eq_denoiser_free(d);
}

static void cuts_are_even(void **state)
{
    eq_denoiser *d = make(100, 0, 1, EQ_F32);
    assert_int_equal(eq_denoiser_micro_batch(d), 25);
    assert_int_equal(eq_denoiser_h_count(d), TINY_H);
    eq_shape shape = eq_denoiser_h_shape(d), expected = eq_shape_of(8, 8, 16);
    assert_true(eq_shape_equal(&shape, &expected));
    eq_denoiser_free(d);
    d = make(5, 64, 0, EQ_F32);
    assert_int_equal(eq_denoiser_micro_batch(d), 5);
    eq_denoiser_free(d);
}

static void faults(void **state)
{
    eq_denoiser *d;
    eq_denoiser_options options = {.count = 0, .height = 16, .width = 16, .dtype = EQ_F32};
    assert_fails(eq_denoiser_new(ctx, &unet, params, &options, &d), EQ_BAD_USAGE, "count must be 1 or more, not 0");
    assert_null(d);
    options = (eq_denoiser_options){.count = 1, .height = 16, .width = 15, .dtype = EQ_F32};
    assert_fails(eq_denoiser_new(ctx, &unet, params, &options, &d), EQ_BAD_USAGE, "multiple of 2");
    options.width = 0;
    assert_fails(eq_denoiser_new(ctx, &unet, params, &options, &d), EQ_BAD_USAGE, "not 0 x 16");
    eq_unet_config other = unet; /* parameters of another network */
    other.block_out_channels[1] = 24;
    options.width = 16;
    assert_fails(eq_denoiser_new(ctx, &other, params, &options, &d), EQ_FAILED, "the network wants");
    other = unet;
    other.layers_per_block = 2;
    assert_fails(eq_denoiser_new(ctx, &other, params, &options, &d), EQ_FAILED, "the network has no parameter");
}

static void cancelled(void **state)
{
    eq_context *mine = eq_context_new();
    eq_denoiser *d;
    eq_denoiser_options options = {.count = 2, .height = 16, .width = 16, .dtype = EQ_F32};
    assert_int_equal(eq_denoiser_new(mine, &unet, params, &options, &d), EQ_OK);
    float *h = calloc(2 * TINY_H, sizeof *h), *prediction = calloc(2 * TINY_PIXELS, sizeof *h);
    eq_cancel(mine);
    assert_int_equal(eq_denoiser_encode(d, x, 1, h), EQ_CANCELLED);
    assert_int_equal(eq_denoiser_decode(d, x, 1, h, prediction), EQ_CANCELLED);
    assert_int_equal(eq_denoiser_run(d, x, 1, prediction), EQ_CANCELLED);
    free(h);
    free(prediction);
    eq_denoiser_free(d);
    eq_context_free(mine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unchanged_h_is_the_whole_network),
        cmocka_unit_test(micro_batches_do_not_matter),
        cmocka_unit_test(some_are_kept),
        cmocka_unit_test(images_do_not_see_each_other),
        cmocka_unit_test(bf16_is_close),
        cmocka_unit_test(h_reaches_the_output),
        cmocka_unit_test(timesteps_matter),
        cmocka_unit_test(cuts_are_even),
        cmocka_unit_test(faults),
        cmocka_unit_test(cancelled),
    };
    ctx = eq_context_new();
    omp_set_num_threads(1); /* the networks are tiny: threads would mostly wait for each other */
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    eq_context_free(ctx);
    return failed;
}
