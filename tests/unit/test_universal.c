/* Universal guidance, layer by layer: the gradient at predicted images against finite differences of the loss, what the
 * sampling loop makes of it in closed form, the U-Net's Jacobian against finite differences, a classifier as a guide,
 * and whole generations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <omp.h>

#include "base/file.h"
#include "diffusion/jacobian.h"
#include "diffusion/sampling.h"
#include "eval/labelling.h"
#include "guidance/guidance.h"
#include "io/image.h"
#include "models/classifier_file.h"
#include "run/image_guide.h"
#include "run/pipeline.h"
#include "temporary.h"
#include "unit/tiny.h"

enum { IMAGES = 5, PIXELS = 2 * 2 * 3, SMALL = 3 };

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

/* --- the loop --- */

typedef struct constant {
    float gradient[SMALL * TINY_PIXELS];
    float seen[SMALL * TINY_PIXELS];
    int calls;
} constant;

static bool always(const void *user, int step)
{
    return true;
}

static eq_status give_constant(void *user, int step, const float *x0, float *dx0)
{
    constant *c = user;
    memcpy(c->seen, x0, sizeof c->seen);
    memcpy(dx0, c->gradient, sizeof c->gradient);
    c->calls++;
    return EQ_OK;
}

typedef struct network {
    eq_unet_config config;
    eq_params *params;
    eq_schedule schedule;
    eq_denoiser *denoiser;
    eq_jacobian *jacobian;
} network;

static network open_network(eq_prediction_type prediction, double clip, int64_t micro_batch)
{
    network n = {.config = tiny_unet()};
    eq_schedule_config schedule = eq_schedule_config_default();
    eq_denoiser_options options = {
        .count = SMALL, .micro_batch = micro_batch, .height = TINY_SIDE, .width = TINY_SIDE, .dtype = EQ_F32};
    schedule.prediction = prediction;
    schedule.clip_sample = clip > 0;
    schedule.clip_sample_range = clip > 0 ? clip : 1;
    n.params = tiny_params(ctx, &n.config, 4);
    assert_non_null(n.params);
    assert_ok(eq_schedule_new(ctx, &schedule, NULL, &n.schedule));
    assert_ok(eq_denoiser_new(ctx, &n.config, n.params, &options, &n.denoiser));
    assert_ok(eq_jacobian_new(ctx, &n.config, n.params, &options, &n.jacobian));
    return n;
}

static void close_network(network *n)
{
    eq_jacobian_free(n->jacobian);
    eq_denoiser_free(n->denoiser);
    eq_schedule_free(&n->schedule);
    eq_params_free(n->params);
}

/* A single step of DDIM from timestep 400 to x_0 itself. */
static void plan_once(network *n, eq_plan *plan)
{
    eq_plan_options options = {.sampler = &eq_sampler_ddim, .steps = 1};
    assert_ok(eq_plan_new(ctx, &options, &n->schedule, plan));
    plan->call[0].timestep = 400;
    plan->call[0].alpha_cumprod = n->schedule.alphas_cumprod[400];
    plan->call[0].alpha_cumprod_next = 1;
    plan->call[0].noise_scale = 0;
}

/* c: NULL: without the hook. x: [SMALL, TINY_PIXELS] out. Returns abar. */
static double sample_once(network *n, constant *c, eq_jacobian *jacobian, float *x)
{
    eq_plan plan;
    plan_once(n, &plan);
    eq_sampling sampling = {.denoiser = n->denoiser,
                            .plan = &plan,
                            .n = SMALL,
                            .height = TINY_SIDE,
                            .width = TINY_SIDE,
                            .channels = 3,
                            .output_channels = 3};
    if (c)
        sampling.x0_hook = (eq_x0_hook){c, always, give_constant, jacobian};
    eq_sampling_state state = {.x = x};
    float *start = tiny_normals(8, SMALL * TINY_PIXELS);
    memcpy(x, start, SMALL * TINY_PIXELS * sizeof *x);
    assert_ok(eq_sampling_continue(ctx, &sampling, &state));
    free(start);
    eq_plan_free(&plan);
    return n->schedule.alphas_cumprod[400];
}

static constant random_constant(void)
{
    constant c = {0};
    float *values = tiny_normals(6, SMALL * TINY_PIXELS);
    memcpy(c.gradient, values, sizeof c.gradient);
    free(values);
    return c;
}

/* x_0 moves by -(1 - abar) times the gradient, whatever the network predicts. */
static void images_move_against_the_gradient(void **state)
{
    static const eq_prediction_type types[] = {EQ_PREDICT_EPSILON, EQ_PREDICT_V, EQ_PREDICT_SAMPLE};
    static float plain[SMALL * TINY_PIXELS], guided[SMALL * TINY_PIXELS], expected[SMALL * TINY_PIXELS];
    for (int t = 0; t < 3; t++) {
        network n = open_network(types[t], 0, 2);
        constant c = random_constant();
        double alpha = sample_once(&n, NULL, NULL, plain);
        sample_once(&n, &c, NULL, guided);
        assert_int_equal(c.calls, 1);
        for (int k = 0; k < SMALL * TINY_PIXELS; k++) {
            guided[k] -= plain[k];
            expected[k] = (float)(-(1 - alpha) * c.gradient[k]);
        }
        assert_true(tiny_relative_error(guided, expected, SMALL * TINY_PIXELS) < 1e-4);
        close_network(&n);
    }
}

/* Where x_0 is clamped it does not react, and so neither does the noise. */
static void clamped_pixels_stay(void **state)
{
    static float plain[SMALL * TINY_PIXELS], guided[SMALL * TINY_PIXELS];
    network n = open_network(EQ_PREDICT_EPSILON, 0.5, 2);
    constant c = random_constant();
    sample_once(&n, NULL, NULL, plain);
    sample_once(&n, &c, NULL, guided);
    int clamped = 0;
    for (int k = 0; k < SMALL * TINY_PIXELS; k++) {
        bool is_clamped = fabsf(c.seen[k]) >= 0.5f;
        clamped += is_clamped;
        assert_int_equal(guided[k] == plain[k], is_clamped || c.gradient[k] == 0);
    }
    assert_true(clamped > 0 && clamped < SMALL * TINY_PIXELS);
    close_network(&n);
}

/* --- the Jacobian --- */

/* <u, J v> by finite differences is <J^T u, v>, for several v; and micro-batches do not matter. */
static void jacobian_against_finite_differences(void **state)
{
    enum { TOTAL = SMALL * TINY_PIXELS };
    const double epsilon = 2e-3, timestep = 300;
    network n = open_network(EQ_PREDICT_EPSILON, 0, 2), whole = open_network(EQ_PREDICT_EPSILON, 0, SMALL);
    float *x = tiny_normals(1, TOTAL), *u = tiny_normals(2, TOTAL), *moved = malloc(TOTAL * sizeof *moved);
    float *above = malloc(TOTAL * sizeof *above), *below = malloc(TOTAL * sizeof *below);
    float *pulled = malloc(TOTAL * sizeof *pulled), *again = malloc(TOTAL * sizeof *again);
    assert_ok(eq_jacobian_pull(n.jacobian, x, (float)timestep, u, pulled));
    assert_ok(eq_jacobian_pull(whole.jacobian, x, (float)timestep, u, again));
    assert_true(tiny_relative_error(pulled, again, TOTAL) < 1e-5);
    assert_near(eq_jacobian_passes(n.jacobian), 3 * SMALL, 0);
    for (uint64_t seed = 10; seed < 14; seed++) {
        float *v = tiny_normals(seed, TOTAL);
        for (int k = 0; k < TOTAL && seed == 13; k++)
            v[k] = k / TINY_PIXELS == 1 ? pulled[k] : 0; /* a direction in which there is much to see, of one image */
        double length = 0, expected = 0, found = 0;
        for (int k = 0; k < TOTAL; k++)
            length += (double)v[k] * v[k];
        double step = epsilon * sqrt(TOTAL / length);
        for (int k = 0; k < TOTAL; k++)
            moved[k] = (float)(x[k] + step * v[k]);
        assert_ok(eq_denoiser_run(n.denoiser, moved, (float)timestep, above));
        for (int k = 0; k < TOTAL; k++)
            moved[k] = (float)(x[k] - step * v[k]);
        assert_ok(eq_denoiser_run(n.denoiser, moved, (float)timestep, below));
        for (int k = 0; k < TOTAL; k++) {
            expected += u[k] * ((double)above[k] - below[k]) / (2 * step);
            found += (double)pulled[k] * v[k];
        }
        double scale = 0;
        for (int k = 0; k < TOTAL; k++)
            scale += (double)pulled[k] * pulled[k];
        assert_near(found, expected, 2e-3 * sqrt(scale * length / TOTAL) + 2e-3 * fabs(expected));
        free(v);
    }
    free(x);
    free(u);
    free(moved);
    free(above);
    free(below);
    free(pulled);
    free(again);
    close_network(&n);
    close_network(&whole);
}

/* With it the loop takes the gradient of x_0(x): x0_x g + x0_m J^T g. */
static void loop_uses_the_jacobian(void **state)
{
    enum { TOTAL = SMALL * TINY_PIXELS };
    static float plain[TOTAL], guided[TOTAL], expected[TOTAL];
    network n = open_network(EQ_PREDICT_EPSILON, 0, 2);
    constant c = random_constant();
    double alpha = sample_once(&n, NULL, NULL, plain);
    sample_once(&n, &c, n.jacobian, guided);
    float *x = tiny_normals(8, TOTAL), *pulled = malloc(TOTAL * sizeof *pulled);
    assert_ok(eq_jacobian_pull(n.jacobian, x, 400, c.gradient, pulled));
    for (int k = 0; k < TOTAL; k++) {
        double dx = (c.gradient[k] - sqrt(1 - alpha) * pulled[k]) / sqrt(alpha);
        expected[k] = (float)(-(1 - alpha) / sqrt(alpha) * dx); /* of the noise times -sqrt(1 - abar) / sqrt(abar) */
        guided[k] -= plain[k];
    }
    assert_true(tiny_relative_error(guided, expected, TOTAL) < 1e-4);
    free(x);
    free(pulled);
    close_network(&n);
}

static void prompts_are_refused(void **state)
{
    eq_unet_config config = tiny_unet();
    eq_jacobian *jacobian;
    config.cross_attention_dim = 8;
    eq_denoiser_options options = {.count = 1, .height = TINY_SIDE, .width = TINY_SIDE};
    assert_fails(eq_jacobian_new(ctx, &config, NULL, &options, &jacobian), EQ_BAD_USAGE, "without prompts");
}

/* --- a classifier as a guide --- */

static void save_classifier(const char *path, uint64_t seed)
{
    const eq_classifier_config config = {.trunk = eq_trunk_find("resnet"),
                                         .size = TINY_SIDE,
                                         .stages = 2,
                                         .channels = {4, 8},
                                         .blocks = 1,
                                         .attribute_count = 2,
                                         .attributes = {tiny_gender(), tiny_age()}};
    const eq_classifier_score scores[2] = {{.accuracy = NAN}, {.accuracy = NAN}};
    eq_params *params = eq_params_new(ctx);
    assert_ok(eq_classifier_declare(params, &config));
    assert_ok(eq_params_allocate(params));
    eq_params_initialise(params, seed);
    for (int64_t i = 0; i < params->total; i++)
        params->storage[i] *= 3;
    assert_ok(eq_classifier_file_save(ctx, path, &config, scores, params, EQ_F32));
    eq_params_free(params);
}

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
    char *path = eq_path_join(folder, "guide");
    save_classifier(path, 3);
    for (int s = 0; s < 3; s++) {
        eq_image_guide *owner;
        assert_ok(eq_image_guide_open(ctx, path, sides[s], &owner));
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
    free(path);
}

/* Of whole bytes it says what labelling says; of images of another size nearly, whose resampling rounds to bytes. */
static void guides_say_what_labelling_says(void **state)
{
    static const int sides[] = {TINY_SIDE, 32, 8};
    char *path = eq_path_join(folder, "guide");
    eq_classifier *classifier;
    assert_ok(eq_classifier_open(ctx, path, &classifier));
    for (int s = 0; s < 3; s++) {
        enum { N = 6 };
        int count = N * sides[s] * sides[s] * 3;
        eq_image_guide *owner;
        assert_ok(eq_image_guide_open(ctx, path, sides[s], &owner));
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
    free(path);
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
    save_classifier(classifier, 3);
    eq_generate_options unguided = options;
    unguided.method = "none";
    assert_ok(eq_generate(pipeline, &unguided, &targets, &plain));
    double before = mean_female(&plain, classifier), away = before < 0.5 ? 0.9 : 0.1;
    targets.items[0].p[0] = away;
    targets.items[0].p[1] = 1 - away;
    for (int jacobian = 0; jacobian < 2; jacobian++) {
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
        cmocka_unit_test(images_move_against_the_gradient),
        cmocka_unit_test(clamped_pixels_stay),
        cmocka_unit_test(jacobian_against_finite_differences),
        cmocka_unit_test(loop_uses_the_jacobian),
        cmocka_unit_test(prompts_are_refused),
        cmocka_unit_test(guides_know_their_gradient),
        cmocka_unit_test(guides_say_what_labelling_says),
        cmocka_unit_test(generations),
    };
    ctx = eq_context_new();
    omp_set_num_threads(1);
    int failed = cmocka_run_group_tests(tests, make_folder, remove_folder);
    eq_context_free(ctx);
    return failed;
}
