/* Recording h of a tiny random model: the groups in which images go do not show, and h is the network's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/path.h"
#include "io/image.h"
#include "run/pipeline.h"
#include "run/record.h"
#include "temporary.h"
#include "train/dataset.h"
#include "train/h_store.h"
#include "unit/tiny.h"

enum { IMAGES = 7, STEPS = 5 };

static eq_context *ctx;
static void *folder;
static eq_pipeline *pipeline;
static uint8_t pictures[IMAGES * TINY_PIXELS];

static int setup(void **state)
{
    if (temporary_setup(&folder) != 0)
        return -1;
    eq_unet_config unet = tiny_unet();
    char *model = eq_path_join(folder, "model");
    assert_ok(tiny_model(ctx, model, &unet, 3));
    assert_ok(eq_pipeline_open(ctx, model, &pipeline));
    free(model);
    eq_rng rng = eq_rng_make(4, 0, 0);
    for (size_t i = 0; i < sizeof pictures; i++)
        pictures[i] = (uint8_t)eq_rng_below(&rng, 256);
    return 0;
}

static int teardown(void **state)
{
    eq_pipeline_close(pipeline);
    return temporary_teardown(&folder);
}

/* Collects what is shown, and counts the groups. */
typedef struct shown {
    uint8_t pixels[IMAGES * TINY_PIXELS];
    int groups;
    int64_t next;
} shown;

static eq_status show(void *user, int64_t first, int64_t n, uint8_t *pixels)
{
    shown *s = user;
    assert_int_equal(first, s->next);
    memcpy(s->pixels + first * TINY_PIXELS, pixels, (size_t)(n * TINY_PIXELS));
    s->next += n;
    s->groups++;
    return EQ_OK;
}

static eq_status load(void *user, int64_t first, int64_t n, uint8_t *pixels)
{
    memcpy(pixels, pictures + first * TINY_PIXELS, (size_t)(n * TINY_PIXELS));
    return EQ_OK;
}

static eq_record_options options_of(int64_t micro_batch)
{
    return (eq_record_options){
        .count = IMAGES, .steps = STEPS, .every = 2, .eta = 0.5, .seed = 9, .micro_batch = micro_batch};
}

/* To rounding: float32's in the network, and half precision's last bit. */
static void assert_near_h(uint16_t a, uint16_t b)
{
    double x = (double)eq_f16_to_f32(a), y = (double)eq_f16_to_f32(b);
    if (!(fabs(x - y) <= fabs(x) / 1024 + TINY_TRAJECTORY_ERROR))
        fail_msg("h of %g and %g", x, y);
}

static void assert_same_h(const char *a, const char *b)
{
    eq_h_store x, y;
    assert_ok(eq_h_store_open(ctx, a, &x));
    assert_ok(eq_h_store_open(ctx, b, &y));
    assert_int_equal(x.images, y.images);
    assert_int_equal(x.timesteps, y.timesteps);
    assert_memory_equal(x.timestep, y.timestep, (size_t)x.timesteps * sizeof *x.timestep);
    for (int64_t i = 0; i < x.images * x.timesteps * TINY_H; i++)
        assert_near_h(x.h[i], y.h[i]);
    eq_h_store_close(&x);
    eq_h_store_close(&y);
}

static void groups_of_samples_do_not_show(void **state)
{
    char *one = eq_path_join(folder, "one"), *three = eq_path_join(folder, "three");
    static shown whole, cut;
    eq_record_options all = options_of(IMAGES), few = options_of(3);
    assert_ok(eq_record_samples(pipeline, &all, one, &(eq_record_pixels){&whole, show}));
    assert_ok(eq_record_samples(pipeline, &few, three, &(eq_record_pixels){&cut, show}));
    assert_int_equal(whole.groups, 1);
    assert_int_equal(cut.groups, 3);
    for (size_t i = 0; i < sizeof cut.pixels; i++)
        assert_in_range(whole.pixels[i], cut.pixels[i] - (cut.pixels[i] > 0), cut.pixels[i] + 1);
    assert_same_h(one, three);
    assert_ok(eq_record_samples(pipeline, &few, three, NULL)); /* nobody looks: the same h */
    assert_same_h(one, three);
    eq_h_store store;
    assert_ok(eq_h_store_open(ctx, three, &store));
    assert_int_equal(store.timesteps, 3);
    assert_int_equal(store.images, IMAGES);
    assert_true(store.timestep[0] > store.timestep[2]);
    const char *hash;
    assert_ok(eq_model_hash(ctx, &pipeline->model, &hash));
    assert_string_equal(store.model_hash, hash);
    eq_h_store_close(&store);
    free(one);
    free(three);
}

static void groups_of_images_do_not_show(void **state)
{
    char *one = eq_path_join(folder, "one"), *three = eq_path_join(folder, "three");
    eq_record_options all = options_of(IMAGES), few = options_of(3);
    for (int invert = 0; invert < 2; invert++) {
        assert_ok(eq_record_images(pipeline, &all, &(eq_record_pixels){NULL, load}, invert, one));
        assert_ok(eq_record_images(pipeline, &few, &(eq_record_pixels){NULL, load}, invert, three));
        assert_same_h(one, three);
    }
    free(one);
    free(three);
}

/* The first timestep of an inversion is the picture as it is: h of the network for it, to half precision. */
static void h_is_that_of_the_network(void **state)
{
    char *path = eq_path_join(folder, "h");
    eq_record_options o = options_of(2);
    assert_ok(eq_record_images(pipeline, &o, &(eq_record_pixels){NULL, load}, true, path));
    eq_h_store store;
    assert_ok(eq_h_store_open(ctx, path, &store));
    eq_denoiser *denoiser;
    eq_denoiser_options options = {.count = IMAGES, .height = TINY_SIDE, .width = TINY_SIDE};
    assert_ok(eq_denoiser_new(ctx, &pipeline->model.unet, pipeline->model.params, &options, &denoiser));
    float *x = malloc(sizeof pictures * sizeof *x), *h = malloc(IMAGES * TINY_H * sizeof *h);
    assert_true(x && h);
    for (size_t i = 0; i < sizeof pictures; i++)
        x[i] = (float)pictures[i] / 127.5f - 1.0f;
    assert_ok(eq_denoiser_encode(denoiser, x, (float)store.timestep[0], h));
    for (int64_t i = 0; i < IMAGES * TINY_H; i++)
        assert_near_h(store.h[i], eq_f32_to_f16(h[i]));
    free(x);
    free(h);
    eq_denoiser_free(denoiser);
    eq_h_store_close(&store);
    free(path);
}

static void prompts_of_a_model_without_text_are_refused(void **state)
{
    char *path = eq_path_join(folder, "refused");
    eq_record_options o = options_of(2);
    o.prompts = (const char *[]){"a portrait"};
    o.prompt_count = 1;
    assert_int_equal(eq_record_samples(pipeline, &o, path, NULL), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "takes no prompt"));
    assert_int_equal(eq_record_images(pipeline, &o, &(eq_record_pixels){NULL, load}, true, path), EQ_BAD_USAGE);
    assert_false(eq_path_exists(path));
    free(path);
}

static eq_status refuse(void *user, int64_t first, int64_t n, uint8_t *pixels)
{
    return first > 0 ? eq_fail(ctx, EQ_BAD_INPUT, "no picture %lld", (long long)first) : EQ_OK;
}

/* A failure in the middle leaves no file behind. */
static void failures_leave_nothing(void **state)
{
    char *path = eq_path_join(folder, "failed");
    eq_record_options o = options_of(2);
    assert_int_equal(eq_record_images(pipeline, &o, &(eq_record_pixels){NULL, refuse}, false, path), EQ_BAD_INPUT);
    assert_int_equal(eq_record_samples(pipeline, &o, path, &(eq_record_pixels){NULL, refuse}), EQ_BAD_INPUT);
    assert_string_equal(eq_last_error(ctx), "no picture 2");
    assert_false(eq_path_exists(path));
    free(path);
}

static void a_disk_too_small_is_told_at_once(void **state)
{
    char *path = eq_path_join(folder, "large");
    eq_h_writer writer;
    int64_t timestep = 1;
    int step = 0;
    assert_int_equal(
        eq_h_writer_open(ctx, path, &timestep, &step, 1, (int64_t)1 << 50, eq_shape_of(8, 8, 16), "", &writer),
        EQ_IO_ERROR);
    assert_non_null(strstr(eq_last_error(ctx), "GB are free there"));
    assert_false(eq_path_exists(path));
    free(path);
}

/* Names of readable images alone, their pixels later: as if all had been kept. */
static void listed_images_are_those_kept(void **state)
{
    char *images = eq_path_join(folder, "images");
    assert_ok(eq_make_folders(ctx, images));
    for (int i = 0; i < IMAGES; i++) {
        char name[32];
        snprintf(name, sizeof name, "images/%d.png", i);
        char *path = eq_path_join(folder, name);
        eq_image image = {TINY_SIDE, TINY_SIDE, pictures + i * TINY_PIXELS};
        assert_ok(i == 2 ? eq_file_write(ctx, path, "not a picture", 13) : eq_image_write_png(ctx, path, &image));
        free(path);
    }
    eq_dataset kept, listed;
    assert_ok(eq_dataset_open(ctx, images, 8, false, &kept));
    assert_ok(eq_dataset_list(ctx, images, 8, false, 4, &listed));
    assert_int_equal(kept.count, IMAGES - 1);
    assert_int_equal(listed.count, 4);
    assert_int_equal(listed.skipped, 1);
    uint8_t pixels[2 * 8 * 8 * 3];
    assert_ok(eq_dataset_load(ctx, &listed, images, 1, 2, pixels));
    assert_memory_equal(pixels, kept.pixels + 8 * 8 * 3, sizeof pixels);
    for (int i = 0; i < 4; i++)
        assert_string_equal(listed.names[i], kept.names[i]);
    eq_dataset_close(&listed);
    eq_dataset_close(&kept);
    free(images);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_of_samples_do_not_show), cmocka_unit_test(groups_of_images_do_not_show),
        cmocka_unit_test(h_is_that_of_the_network),      cmocka_unit_test(prompts_of_a_model_without_text_are_refused),
        cmocka_unit_test(failures_leave_nothing),        cmocka_unit_test(a_disk_too_small_is_told_at_once),
        cmocka_unit_test(listed_images_are_those_kept),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    eq_context_free(ctx);
    return failed;
}
