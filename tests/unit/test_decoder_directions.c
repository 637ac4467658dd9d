/* Directions found through the decoder: they are the steepest way there is for their own attribute, leave the others
 * alone, and keep their length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "diffusion/forward.h"
#include "diffusion/prediction.h"
#include "kernels/program.h"
#include "ops/ops.h"
#include "train/decoder_directions.h"
#include "unit/tiny.h"

enum { N = 3, T = 400, CLASSES = 5 };
static eq_context *ctx;

static eq_params *classifier_params(const eq_classifier_config *config)
{
    eq_params *params = eq_params_new(ctx);
    assert_ok(eq_classifier_declare(params, config));
    assert_ok(eq_params_allocate(params));
    eq_params_initialise(params, 7);
    return params;
}

/* One head at timestep T whose direction has the length 3. */
static void make_adp(const eq_attribute *attribute, eq_adp *adp)
{
    assert_ok(tiny_adp(ctx, attribute, 1, T, 0, eq_shape_of(8, 8, 16), 1, 2, adp));
    adp->direction = calloc((size_t)attribute->classes * TINY_H, sizeof(float));
    adp->accuracy = calloc(1, sizeof(float));
    adp->direction[0] = 3;
    adp->accuracy[0] = 1;
}

/* The network and the classifier, and the mean cross-entropies towards every class of each attribute. */
typedef struct probe {
    eq_program *program;
    eq_unet unet;
    eq_value labels[CLASSES], loss[CLASSES];
    int class[CLASSES];
    float *h; /* [N, TINY_H] as encoded */
} probe;

static probe open_probe(const eq_model *model, const eq_classifier_file *classifier, const float *images)
{
    probe p;
    eq_graph *g = eq_graph_new(ctx, EQ_F32);
    assert_ok(eq_unet_build(&(eq_builder){g, model->params}, &model->unet, N, TINY_SIDE, TINY_SIDE, &p.unet));
    double alpha = model->schedule.alphas_cumprod[T];
    eq_prediction map = eq_prediction_at(&model->schedule, alpha);
    eq_value x0 =
        eq_add(g, eq_scale(g, p.unet.sample, (float)map.x0_x), eq_scale(g, p.unet.prediction, (float)map.x0_m));
    eq_classifier_values values;
    assert_ok(eq_classifier_apply(&(eq_builder){g, classifier->params}, &classifier->config, x0, &values));
    int row = 0;
    for (int a = 0; a < classifier->config.attribute_count; a++)
        for (int c = 0; c < classifier->config.attributes[a].classes; c++, row++) {
            p.labels[row] = eq_graph_input(g, NULL, EQ_I32, eq_shape_of(N));
            p.class[row] = c;
            p.loss[row] = eq_cross_entropy(g, values.logits[a], p.labels[row]);
            eq_graph_output(g, p.loss[row], NULL);
        }
    assert_ok(eq_program_compile(g, &(eq_program_options){.frozen_params = true}, &p.program));
    for (int64_t i = 0; i < N; i++) {
        float *x = (float *)eq_program_data(p.program, p.unet.sample) + i * TINY_PIXELS;
        eq_rng rng = eq_rng_make(11, (uint64_t)i, T);
        eq_rng_normals(&rng, x, TINY_PIXELS);
        eq_add_noise(alpha, TINY_PIXELS, images + i * TINY_PIXELS, x, x);
        ((float *)eq_program_data(p.program, p.unet.timestep))[i] = T;
    }
    assert_ok(eq_program_run_stage(p.program, EQ_UNET_ENCODE));
    p.h = malloc(N * TINY_H * sizeof(float));
    memcpy(p.h, eq_program_data(p.program, p.unet.h), N * TINY_H * sizeof(float));
    return p;
}

/* How the log-odds of rows a against b rise along d, [TINY_H], by central differences. */
static double rise(probe *p, const float *d, int a, int b)
{
    const float epsilon = 0.03f;
    double odds[2];
    for (int side = 0; side < 2; side++) {
        float *h = eq_program_data(p->program, p->unet.h);
        for (int i = 0; i < N; i++)
            for (int k = 0; k < TINY_H; k++)
                h[i * TINY_H + k] = p->h[i * TINY_H + k] + (side ? epsilon : -epsilon) * d[k];
        for (int row = 0; row < CLASSES; row++)
            for (int i = 0; i < N; i++)
                ((int32_t *)eq_program_data(p->program, p->labels[row]))[i] = p->class[row];
        assert_ok(eq_program_run_stage(p->program, EQ_UNET_DECODE));
        odds[side] = *(float *)eq_program_data(p->program, p->loss[b]) -
                     (double)*(float *)eq_program_data(p->program, p->loss[a]);
    }
    return (odds[1] - odds[0]) / (2 * epsilon);
}

static double length(const float *x, int count)
{
    double sum = 0;
    for (int k = 0; k < count; k++)
        sum += (double)x[k] * x[k];
    return sqrt(sum);
}

/* A random direction of d's length, at right angles to it. */
static float *across(const float *d, uint64_t seed)
{
    float *r = tiny_normals(seed, TINY_H);
    double along = 0, norm = length(d, TINY_H);
    for (int k = 0; k < TINY_H; k++)
        along += (double)r[k] * d[k] / (norm * norm);
    for (int k = 0; k < TINY_H; k++)
        r[k] -= (float)along * d[k];
    double scale = norm / length(r, TINY_H);
    for (int k = 0; k < TINY_H; k++)
        r[k] *= (float)scale;
    return r;
}

static void make_world(eq_model *model, eq_params *unet, eq_classifier_file *classifier)
{
    eq_schedule_config schedule = eq_schedule_config_default();
    *model = (eq_model){.unet = tiny_unet(), .params = unet};
    assert_ok(eq_schedule_new(ctx, &schedule, NULL, &model->schedule));
    *classifier = (eq_classifier_file){
        .config = {.trunk = &eq_trunk_resnet,
                   .size = TINY_SIDE,
                   .stages = 2,
                   .channels = {4, 8},
                   .blocks = 1,
                   .attribute_count = 2,
                   .attributes = {tiny_gender(), tiny_age()}},
    };
    classifier->params = classifier_params(&classifier->config);
}

static void steepest_for_their_own(void **state)
{
    eq_unet_config config = tiny_unet();
    eq_model model;
    eq_classifier_file classifier;
    make_world(&model, tiny_params(ctx, &config, 1), &classifier);
    float *images = tiny_normals(5, N * TINY_PIXELS);
    eq_adp adps[2];
    make_adp(&classifier.config.attributes[1], &adps[0]); /* in another order than the classifier's */
    make_adp(&classifier.config.attributes[0], &adps[1]);
    eq_decoder_directions job = {.model = &model,
                                 .classifier = &classifier,
                                 .images = images,
                                 .count = N,
                                 .batch = N,
                                 .dtype = EQ_F32,
                                 .seed = 11};
    assert_ok(eq_decoder_directions_find(ctx, &job, adps, 2));
    assert_near(length(adps[0].direction, 3 * TINY_H), 3, 1e-4);
    assert_near(length(adps[1].direction, 2 * TINY_H), 3, 1e-4);

    probe p = open_probe(&model, &classifier, images);
    const float *male = adps[1].direction + TINY_H; /* rows: female, male, young, middle, old */
    double own = rise(&p, male, 1, 0);
    assert_true(own > 0);
    assert_near(rise(&p, male, 3, 2) / own, 0, 0.02); /* no age comes with it */
    assert_near(rise(&p, male, 4, 2) / own, 0, 0.02);
    for (uint64_t seed = 0; seed < 4; seed++) {
        float *other = across(male, seed);
        assert_true(fabs(rise(&p, other, 1, 0)) < own);
        free(other);
    }
    for (int c = 0; c < 3; c++) {
        const float *d = adps[0].direction + c * TINY_H;
        assert_near(rise(&p, d, 1, 0) / rise(&p, d, 2 + c, 2 + (c + 1) % 3), 0, 0.02);
        assert_true(rise(&p, d, 2 + c, 2 + (c + 1) % 3) > 0);
    }

    free(p.h);
    eq_program_free(p.program);
    for (int i = 0; i < 2; i++)
        eq_adp_free(&adps[i]);
    free(images);
    eq_params_free(classifier.params);
    eq_params_free(model.params);
    eq_schedule_free(&model.schedule);
}

static void other_rows_are_removed(void **state)
{
    /* Rows 1 and 3 are parallel; of row 0, only what is neither along (1, 1, 0, 0) nor along (0, 0, 1, 0) stays. */
    static const double rows[4][4] = {{2, 0, 5, 7}, {1, 1, 0, 0}, {0, 0, 4, 0}, {3, 3, 0, 0}};
    static const double expected[4] = {1, -1, 0, 7};
    double own[4], work[16];
    eq_remove_other_rows(&rows[0][0], 4, 0, 1, 4, own, work);
    for (int k = 0; k < 4; k++)
        assert_near(own[k], expected[k], 1e-12);
}

static void what_does_not_fit(void **state)
{
    eq_unet_config config = tiny_unet();
    eq_model model;
    eq_classifier_file classifier;
    make_world(&model, tiny_params(ctx, &config, 1), &classifier);
    static const char *const classes[] = {"no", "yes"};
    const eq_attribute glasses = {"glasses", 2, classes};
    eq_adp adp;
    make_adp(&glasses, &adp);
    eq_decoder_directions job = {.model = &model, .classifier = &classifier, .count = N, .batch = N};
    assert_fails(eq_decoder_directions_find(ctx, &job, &adp, 1), EQ_BAD_USAGE, "does not tell \"glasses\"");
    job.batch = N + 1;
    assert_fails(eq_decoder_directions_find(ctx, &job, &adp, 1), EQ_BAD_USAGE, "need 4 images or more, not 3");
    classifier.config.size = 32;
    assert_fails(eq_decoder_directions_find(ctx, &job, &adp, 1), EQ_BAD_USAGE, "16 pixels a side, not of 32");
    model.latent = true;
    assert_fails(eq_decoder_directions_find(ctx, &job, &adp, 1), EQ_BAD_USAGE, "a model of pixels");
    eq_adp_free(&adp);
    eq_params_free(classifier.params);
    eq_params_free(model.params);
    eq_schedule_free(&model.schedule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(steepest_for_their_own),
                                       cmocka_unit_test(other_rows_are_removed), cmocka_unit_test(what_does_not_fit)};
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
