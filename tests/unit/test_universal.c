/* Universal guidance: the gradient at predicted images against finite differences of the loss, and whole generations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <omp.h>

#include "eval/labelling.h"
#include "guidance/guidance.h"
#include "run/pipeline.h"
#include "temporary.h"
#include "unit/tiny_classifier.h"

enum { IMAGES = 5, PIXELS = 2 * 2 * 3 };

static eq_context *ctx;
static void *folder;

/* --- a linear classifier --- */

typedef struct linear {
    float weight[5][PIXELS]; /* two logits of gender, three of age */
} linear;

static const int first_row[2] = {0, 2};

static eq_status linear_look(void *user, const float *x0, int64_t n, float *const *logits)
{
    const linear *l = user;
    for (int64_t i = 0; i < n; i++)
        for (int a = 0; a < 2; a++)
            for (int k = 0; k < 2 + a; k++) {
                float sum = 0;
                for (int j = 0; j < PIXELS; j++)
                    sum += l->weight[first_row[a] + k][j] * x0[i * PIXELS + j];
                logits[a][i * (2 + a) + k] = sum;
            }
    return EQ_OK;
}

static eq_status linear_pull(void *user, const float *x0, int64_t n, float *const *dlogits, float *dx0)
{
    const linear *l = user;
    memset(dx0, 0, (size_t)n * PIXELS * sizeof *dx0);
    for (int64_t i = 0; i < n; i++)
        for (int a = 0; a < 2; a++)
            for (int k = 0; k < 2 + a; k++)
                for (int j = 0; j < PIXELS; j++)
                    dx0[i * PIXELS + j] += l->weight[first_row[a] + k][j] * dlogits[a][i * (2 + a) + k];
    return EQ_OK;
}

static linear classifier_weights(void)
{
    linear l;
    float *values = tiny_normals(17, 5 * PIXELS);
    memcpy(l.weight, values, sizeof l.weight);
    free(values);
    return l;
}

/* p [classes] of one image */
static void softmax_of(const linear *l, const float *x, int attribute, double tau, double *p)
{
    double sum = 0;
    for (int k = 0; k < 2 + attribute; k++) {
        double logit = 0;
        for (int j = 0; j < PIXELS; j++)
            logit += (double)l->weight[first_row[attribute] + k][j] * x[j];
        sum += p[k] = exp(logit / tau);
    }
    for (int k = 0; k < 2 + attribute; k++)
        p[k] /= sum;
}

/* N times the chi2 distance of the mean joint cell from the target: what an image's gradient is of. */
static double joint_loss(const linear *l, const eq_target *target, double tau, const float *x)
{
    double mean[6] = {0};
    for (int i = 0; i < IMAGES; i++) {
        double gender[2], age[3];
        softmax_of(l, x + i * PIXELS, 0, tau, gender);
        softmax_of(l, x + i * PIXELS, 1, tau, age);
        for (int c = 0; c < 6; c++)
            mean[c] += gender[c / 3] * age[c % 3] / IMAGES;
    }
    return IMAGES * eq_loss_find("chi2")->evaluate(mean, target->p, 6, NULL);
}

/* The cross-entropy towards "male", summed. */
static double class_loss(const linear *l, const eq_target *target, double tau, const float *x)
{
    double loss = 0, p[2];
    for (int i = 0; i < IMAGES; i++) {
        softmax_of(l, x + i * PIXELS, 0, tau, p);
        loss -= log(p[1]);
    }
    return loss;
}

static void check_gradient(const char *text, double (*loss)(const linear *, const eq_target *, double, const float *))
{
    const double tau = 1.7, strength = 3;
    linear l = classifier_weights();
    const eq_attribute attributes[2] = {tiny_gender(), tiny_age()};
    const eq_guide guide = {&l, 2, attributes, linear_look, linear_pull};
    eq_targets targets = {0};
    eq_guidance *run;
    eq_guidance_options options = {.method = &eq_method_universal,
                                   .loss = eq_loss_find("chi2"),
                                   .strength = strength,
                                   .temperature = tau,
                                   .last_step = 9,
                                   .guide = &guide};
    assert_ok(eq_targets_add(ctx, &targets, text, attributes, 2));
    assert_ok(eq_guidance_new(ctx, &options, NULL, 0, &targets, IMAGES, 10, &run));
    assert_true(eq_guidance_wants_x0(run, 9) && !eq_guidance_wants_x0(run, 10));
    float *x = tiny_normals(5, IMAGES * PIXELS), dx[IMAGES * PIXELS], expected[IMAGES * PIXELS];
    assert_ok(eq_guidance_apply_x0(run, 3, x, dx));
    for (int k = 0; k < IMAGES * PIXELS; k++) {
        const float epsilon = 0x1p-8f;
        float at = x[k];
        x[k] = at + epsilon;
        double above = loss(&l, targets.items, tau, x);
        x[k] = at - epsilon;
        double below = loss(&l, targets.items, tau, x);
        x[k] = at;
        expected[k] = (float)(strength * (above - below) / (2 * epsilon));
    }
    assert_true(tiny_relative_error(dx, expected, IMAGES * PIXELS) < 1e-3);
    for (int i = 0; i < IMAGES; i++)
        assert_true(run->moved[i]);
    free(x);
    eq_guidance_free(run);
    eq_targets_free(&targets);
}

static void gradients_at_images(void **state)
{
    check_gradient("gender*age=female/young:0.3,female/middle:0.1,female/old:0.1,male/young:0.2,male/middle:0.05,"
                   "male/old:0.25",
                   joint_loss);
    check_gradient("gender=female:0,male:1", class_loss);
}

static void unknown_attributes(void **state)
{
    linear l = classifier_weights();
    const eq_attribute gender = tiny_gender(), age = tiny_age();
    const eq_guide guide = {&l, 1, &gender, linear_look, linear_pull};
    eq_targets targets = {0};
    eq_guidance *run;
    eq_guidance_options options = {
        .method = &eq_method_universal, .loss = eq_loss_find("chi2"), .last_step = 9, .guide = &guide};
    assert_ok(eq_targets_add(ctx, &targets, "age=young:0.5,middle:0.5,old:0", &age, 1));
    assert_fails(eq_guidance_new(ctx, &options, NULL, 0, &targets, IMAGES, 10, &run), EQ_BAD_USAGE,
                 "does not know \"age\"");
    eq_targets_free(&targets);
}

/* --- generations --- */

static eq_pipeline *open_pipeline(const char *name)
{
    eq_unet_config unet = tiny_unet();
    eq_pipeline *pipeline;
    char *model = eq_path_join(folder, name);
    assert_ok(tiny_model(ctx, model, &unet, 3));
    assert_ok(eq_pipeline_open(ctx, model, &pipeline));
    free(model);
    return pipeline;
}

static double mean_female(const eq_generation *g, const char *classifier_path)
{
    eq_classifier *classifier;
    float gender[2 * 40], age[3 * 40], *p[2] = {gender, age};
    double sum = 0;
    assert_ok(eq_classifier_open(ctx, classifier_path, &classifier));
    assert_ok(eq_classifier_run(classifier, g->pixels, g->count, g->width, g->height, p, NULL, NULL, NULL));
    for (int i = 0; i < g->count; i++)
        sum += gender[2 * i] / (double)g->count;
    eq_classifier_close(classifier);
    return sum;
}

/* The model has no predictors; its own classifier guides. The set comes nearer to the target, images do not depend on
 * micro-batches, and a Jacobian costs three passes more. */
static void generations(void **state)
{
    eq_pipeline *pipeline = open_pipeline("model");
    eq_targets targets = {0};
    eq_attribute gender = tiny_gender();
    eq_generation plain, guided, again;
    char *classifier = eq_path_join(pipeline->model.folder, "classifier");
    eq_generate_options options = {.count = 10, .steps = 8, .seed = 2, .method = "universal", .micro_batch = 3};
    assert_ok(eq_targets_add(ctx, &targets, "gender=female:0.5,male:0.5", &gender, 1));
    assert_fails(eq_generate(pipeline, &options, &targets, &guided), EQ_BAD_USAGE, "no classifier of its own");
    tiny_classifier(ctx, classifier, 2, 3);
    eq_generate_options unguided = options;
    unguided.method = "none";
    assert_ok(eq_generate(pipeline, &unguided, &targets, &plain));
    double before = mean_female(&plain, classifier), away = before < 0.5 ? 0.9 : 0.1;
    targets.items[0].p[0] = away;
    targets.items[0].p[1] = 1 - away;
    for (int jacobian = 0; jacobian < 2; jacobian++) {
        /* At the usual strength the gradient through a random network is chaotic: rounding would decide. */
        options.strength = jacobian ? 1 : 0;
        options.jacobian = jacobian;
        options.micro_batch = 3;
        assert_ok(eq_generate(pipeline, &options, &targets, &guided));
        double after = mean_female(&guided, classifier);
        assert_true(fabs(after - away) < fabs(before - away) - 0.02);
        assert_near(guided.unet_passes, 10 * 8 * (jacobian ? 4 : 1), 0);
        assert_true(guided.moved[0]);
        options.micro_batch = 10;
        assert_ok(eq_generate(pipeline, &options, &targets, &again));
        int different = 0;
        for (int k = 0; k < 10 * TINY_PIXELS; k++)
            different += abs(guided.pixels[k] - again.pixels[k]) > 1;
        assert_int_equal(different, 0);
        eq_generation_free(&guided);
        eq_generation_free(&again);
    }
    options.method = "rejection";
    options.jacobian = 0;
    assert_fails(eq_generate(pipeline, &options, &targets, &guided), EQ_BAD_USAGE, "runs in folders");
    options.method = "none";
    options.jacobian = 1;
    assert_fails(eq_generate(pipeline, &options, &targets, &guided), EQ_BAD_USAGE, "no use for --jacobian");
    eq_generation_free(&plain);
    eq_targets_free(&targets);
    eq_pipeline_close(pipeline);
    free(classifier);
}

/* What is planned counts the classifier and the Jacobian. Where that is too much, fewer images go through the Jacobian
 * at a time, which they do not depend on; all stays within what was given. */
static void memory_counts_the_jacobian(void **state)
{
    eq_pipeline *pipeline = open_pipeline("bounded");
    eq_targets targets = {0};
    eq_attribute gender = tiny_gender();
    eq_generation without, with, bounded;
    char *classifier = eq_path_join(pipeline->model.folder, "classifier");
    eq_generate_options options = {.count = 8, .steps = 4, .seed = 2, .method = "universal"};
    assert_ok(eq_targets_add(ctx, &targets, "gender=female:0.8,male:0.2", &gender, 1));
    tiny_classifier(ctx, classifier, 2, 3);
    assert_ok(eq_generate(pipeline, &options, &targets, &without));
    options.jacobian = 1;
    assert_ok(eq_generate(pipeline, &options, &targets, &with));
    assert_true(without.guidance_bytes > 0);
    size_t jacobian = with.guidance_bytes - without.guidance_bytes;
    assert_true(jacobian > with.arena_bytes); /* it keeps what the way back needs */
    options.memory_bytes = with.process_bytes + with.held_bytes + without.guidance_bytes + 2 * jacobian - 1;
    assert_ok(eq_generate(pipeline, &options, &targets, &bounded));
    assert_true(bounded.guidance_bytes > without.guidance_bytes && bounded.guidance_bytes < with.guidance_bytes);
    assert_true(bounded.process_bytes + bounded.arena_bytes + bounded.weight_bytes + bounded.carry_bytes +
                    bounded.held_bytes + bounded.guidance_bytes <=
                options.memory_bytes);
    for (int k = 0; k < 8 * TINY_PIXELS; k++)
        assert_true(abs(with.pixels[k] - bounded.pixels[k]) <= 1);
    eq_generation_free(&bounded);
    options.memory_bytes = 1;
    assert_fails(eq_generate(pipeline, &options, &targets, &bounded), EQ_BAD_USAGE,
                 "classifier and the network's Jacobian");
    eq_generation_free(&without);
    eq_generation_free(&with);
    eq_targets_free(&targets);
    eq_pipeline_close(pipeline);
    free(classifier);
}

static int make_folder(void **state)
{
    return temporary_setup(&folder);
}

static int remove_folder(void **state)
{
    return temporary_teardown(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_at_images),
        cmocka_unit_test(unknown_attributes),
        cmocka_unit_test(generations),
        cmocka_unit_test(memory_counts_the_jacobian),
    };
    ctx = eq_context_new();
    omp_set_num_threads(1);
    int failed = cmocka_run_group_tests(tests, make_folder, remove_folder);
    eq_context_free(ctx);
    return failed;
}
