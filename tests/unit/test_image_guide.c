/* A classifier as a guide: its gradient against finite differences, and its answers against those of labelling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <omp.h>

#include "eval/labelling.h"
#include "run/image_guide.h"
#include "temporary.h"
#include "unit/tiny_classifier.h"

static eq_context *ctx;
static char *path; /* of the classifier */

/* sum over images and classes of logits * dlogits */
static double weighted(const eq_guide *guide, const float *x, int64_t n, float *const *dlogits)
{
    float gender[2 * 40], age[3 * 40], *logits[2] = {gender, age};
    double sum = 0;
    assert_ok(guide->look(guide->user, x, n, logits));
    for (int64_t k = 0; k < 2 * n; k++)
        sum += (double)gender[k] * dlogits[0][k];
    for (int64_t k = 0; k < 3 * n; k++)
        sum += (double)age[k] * dlogits[1][k];
    return sum;
}

/* On images of the network's own size, larger and smaller: along the gradient and a random direction. */
static void guides_know_their_gradient(void **state)
{
    enum { N = 35 }; /* more than fit a batch */
    static const int sides[] = {TINY_SIDE, 24, 10};
    for (int s = 0; s < 3; s++) {
        eq_image_guide *owner;
        assert_ok(eq_image_guide_open(ctx, path, sides[s], N, &owner));
        eq_guide guide = eq_image_guide_view(owner);
        assert_int_equal(guide.attribute_count, 2);
        int total = N * sides[s] * sides[s] * 3;
        float *x = tiny_normals(2, (size_t)total), *dx = malloc((size_t)total * sizeof *dx);
        float *gender = tiny_normals(7, 2 * N), *age = tiny_normals(9, 3 * N), *dlogits[2] = {gender, age};
        assert_ok(guide.pull(guide.user, x, N, dlogits, dx));
        for (int round = 0; round < 2; round++) {
            float *v = tiny_normals(30, (size_t)total), *moved = malloc((size_t)total * sizeof *moved);
            if (round == 0)
                memcpy(v, dx, (size_t)total * sizeof *v);
            double length = 0, along = 0, size = 0;
            for (int k = 0; k < total; k++) {
                length += (double)v[k] * v[k];
                along += (double)v[k] * dx[k];
                size += (double)dx[k] * dx[k];
            }
            double step = 2e-3 * sqrt(total / length);
            for (int k = 0; k < total; k++)
                moved[k] = (float)(x[k] + step * v[k]);
            double above = weighted(&guide, moved, N, dlogits);
            for (int k = 0; k < total; k++)
                moved[k] = (float)(x[k] - step * v[k]);
            double below = weighted(&guide, moved, N, dlogits);
            assert_near((above - below) / (2 * step), along, 0.01 * sqrt(size * length / (round == 0 ? 1 : total)));
            free(v);
            free(moved);
        }
        free(x);
        free(dx);
        free(gender);
        free(age);
        eq_image_guide_free(owner);
    }
}

/* Of whole bytes it says what labelling says; of images of another size nearly, whose resampling rounds to bytes. */
static void guides_say_what_labelling_says(void **state)
{
    static const int sides[] = {TINY_SIDE, 32, 8};
    eq_classifier *classifier;
    assert_ok(eq_classifier_open(ctx, path, &classifier));
    for (int s = 0; s < 3; s++) {
        enum { N = 6 };
        int count = N * sides[s] * sides[s] * 3;
        eq_image_guide *owner;
        assert_ok(eq_image_guide_open(ctx, path, sides[s], N, &owner));
        eq_guide guide = eq_image_guide_view(owner);
        uint8_t *pixels = malloc((size_t)count);
        float *x = malloc((size_t)count * sizeof *x);
        eq_rng rng = eq_rng_make(5, 0, 1);
        for (int k = 0; k < count; k++) {
            pixels[k] = (uint8_t)fminf(fmaxf(128 + 60 * eq_rng_normal(&rng), 0), 255);
            x[k] = (float)pixels[k] / 127.5f - 1;
        }
        float gender[2 * N], age[3 * N], *logits[2] = {gender, age};
        float seen_gender[2 * N], seen_age[3 * N], *p[2] = {seen_gender, seen_age};
        assert_ok(guide.look(guide.user, x, N, logits));
        assert_ok(eq_classifier_run(classifier, pixels, N, sides[s], sides[s], p, NULL, NULL, NULL));
        for (int i = 0; i < N; i++) {
            double female = 1 / (1 + exp((double)gender[2 * i + 1] - gender[2 * i]));
            assert_near(female, seen_gender[2 * i], s == 0 ? 1e-5 : 0.02);
        }
        free(pixels);
        free(x);
        eq_image_guide_free(owner);
    }
    eq_classifier_close(classifier);
}

/* Few images take less memory, and are seen as in a crowd. */
static void few_images_take_little(void **state)
{
    enum { N = 5, SIDE = 24 };
    float *x = tiny_normals(4, N * SIDE * SIDE * 3), *gender = tiny_normals(7, 2 * N), *age = tiny_normals(9, 3 * N);
    float *dlogits[2] = {gender, age}, *dx[2];
    static const int64_t groups[2] = {2, 1000};
    size_t bytes[2];
    for (int i = 0; i < 2; i++) {
        eq_image_guide *owner;
        assert_ok(eq_image_guide_open(ctx, path, SIDE, groups[i], &owner));
        eq_guide guide = eq_image_guide_view(owner);
        dx[i] = malloc(N * SIDE * SIDE * 3 * sizeof(float));
        assert_ok(guide.pull(guide.user, x, N, dlogits, dx[i]));
        bytes[i] = eq_image_guide_bytes(owner);
        eq_image_guide_free(owner);
    }
    assert_true(bytes[0] < bytes[1] / 2);
    assert_true(tiny_relative_error(dx[0], dx[1], N * SIDE * SIDE * 3) < 1e-5);
    for (int i = 0; i < 2; i++)
        free(dx[i]);
    free(x);
    free(gender);
    free(age);
}

static int setup(void **state)
{
    if (temporary_setup(state) != 0)
        return -1;
    path = eq_path_join(*state, "guide");
    tiny_classifier(ctx, path, 2, 3);
    return 0;
}

static int teardown(void **state)
{
    free(path);
    return temporary_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guides_know_their_gradient),
        cmocka_unit_test(guides_say_what_labelling_says),
        cmocka_unit_test(few_images_take_little),
    };
    ctx = eq_context_new();
    omp_set_num_threads(1);
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    eq_context_free(ctx);
    return failed;
}
