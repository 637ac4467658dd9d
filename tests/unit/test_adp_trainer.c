/* Stores of h-vectors, and predictors trained on them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <omp.h>

#include "diffusion/sampling.h"
#include "io/safetensors.h"
#include "temporary.h"
#include "train/adp_trainer.h"
#include "unit/tiny.h"

static eq_context *ctx;

enum { IMAGES = 400, SIDE = 2, CHANNELS = 4, COUNT = SIDE * SIDE * CHANNELS, TIMESTEPS = 3 };
static const int64_t falling[TIMESTEPS] = {801, 401, 1};
static const int steps_of[TIMESTEPS] = {0, 2, 4};

/* Two classes that hardly overlap; every number of h has its own offset and scale, and the direction that tells the
 * classes apart changes from timestep to timestep. */
static void make_h(int t, const int *labels, float *h)
{
    for (int i = 0; i < IMAGES; i++) {
        eq_rng rng = eq_rng_make(3, (uint64_t)i, (uint32_t)t);
        for (int k = 0; k < COUNT; k++) {
            float signal = (k + t) % 3 == 0 && labels[i] >= 0 ? 1.2f * (float)(2 * (labels[i] % 2) - 1) : 0;
            h[i * COUNT + k] = 5.0f * (float)k + (signal + eq_rng_normal(&rng)) * (0.1f + (float)(k % 4));
        }
    }
}

static void make_labels(int *labels)
{
    for (int i = 0; i < IMAGES; i++) {
        eq_rng rng = eq_rng_make(4, (uint64_t)i, 0);
        labels[i] = i % 10 == 9 ? -1 : eq_rng_uniform(&rng) < 0.3f;
    }
}

/* Writes TIMESTEPS x IMAGES h-vectors. */
static char *write_store(const char *folder, const int *labels)
{
    char *path = eq_path_join(folder, "h.safetensors");
    float *h = malloc(IMAGES * COUNT * sizeof *h);
    eq_h_writer writer;
    assert_ok(eq_h_writer_open(ctx, path, falling, steps_of, TIMESTEPS, IMAGES, eq_shape_of(SIDE, SIDE, CHANNELS),
                               "cafe", &writer));
    for (int t = 0; t < TIMESTEPS; t++) {
        make_h(t, labels, h);
        assert_ok(eq_h_writer_add(&writer, h));
    }
    assert_ok(eq_h_writer_commit(&writer));
    free(h);
    return path;
}

/* --- stores --- */

static void stores_round_trip(void **state)
{
    int labels[IMAGES];
    make_labels(labels);
    char *path = write_store(*state, labels);
    float *h = malloc(IMAGES * COUNT * sizeof *h);
    eq_h_store store;
    assert_ok(eq_h_store_open(ctx, path, &store));
    assert_true(store.timesteps == TIMESTEPS && store.images == IMAGES && store.h_count == COUNT);
    assert_memory_equal(store.timestep, falling, sizeof falling);
    assert_string_equal(store.model_hash, "cafe");
    eq_shape shape = eq_shape_of(SIDE, SIDE, CHANNELS);
    assert_true(eq_shape_equal(&store.h_shape, &shape));
    for (int t = 0; t < TIMESTEPS; t++) {
        make_h(t, labels, h);
        for (int i = 0; i < IMAGES * COUNT; i++)
            assert_int_equal(store.h[t * IMAGES * COUNT + i], eq_f32_to_f16(h[i]));
    }
    eq_h_store_close(&store);
    free(h);
    free(path);
}

static void unfinished_stores_leave_no_file(void **state)
{
    char *path = eq_path_join(*state, "h.safetensors");
    float h[2 * COUNT] = {0};
    eq_h_writer writer;
    for (int i = 0; i < 2; i++) {
        assert_ok(eq_h_writer_open(ctx, path, falling, steps_of, 3, 2, eq_shape_of(SIDE, SIDE, CHANNELS), "", &writer));
        assert_ok(eq_h_writer_add(&writer, h));
        if (i == 0)
            assert_true(eq_h_writer_commit(&writer) != EQ_OK); /* two timesteps are missing */
        else
            eq_h_writer_abort(&writer);
        assert_false(eq_path_exists(path));
    }
    free(path);
}

static void foreign_stores(void **state)
{
    static const struct {
        const char *timesteps, *h_shape, *message;
    } cases[] = {
        {"[3, 2, 1]", "[1,1,4]", "do not fit"}, /* more than the tensor has: 2 timesteps */
        {"[3]", "[1,1,4]", "do not fit"},
        {"[3, 2]", "[1,1,5]", "do not fit"},
        {"[3, 2]", "[4]", "do not fit"},
        {"[3, 2]", "[1,1,1,4]", "h_shape is not an array of 1 to 3"},
        {"[3, 2]", "[-1,1,-4]", "do not fit"},
        {"[3, 2.5]", "[1,1,4]", "timesteps is not an array"},
        {"3", "[1,1,4]", "timesteps is not an array"},
        {"[3", "[1,1,4]", "timesteps is not an array"},
        {"[3, 3]", "[1,1,4]", "neither rise nor fall, at 3"},
        {"[3, -2]", "[1,1,4]", "neither rise nor fall, at -2"},
    };
    char *path = eq_path_join(*state, "h.safetensors");
    uint16_t numbers[2 * 3 * 4] = {0};
    eq_named_tensor tensor = {"h", {EQ_F16, eq_shape_of(2, 3, 4), numbers}};
    eq_h_store store;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        eq_metadata metadata[] = {{"timesteps", cases[i].timesteps}, {"h_shape", cases[i].h_shape}, {"model", ""}};
        assert_ok(eq_safetensors_write(ctx, path, &tensor, 1, metadata, 3));
        if (i == 0) /* a longer list than there is room for */
            assert_fails(eq_h_store_open(ctx, path, &store), EQ_BAD_INPUT, "timesteps is not an array of 1 to 2");
        else
            assert_fails(eq_h_store_open(ctx, path, &store), EQ_BAD_INPUT, cases[i].message);
    }
    eq_metadata metadata[] = {{"timesteps", "[2, 3]"}, {"h_shape", "[1,1,4]"}, {"model", ""}};
    assert_ok(eq_safetensors_write(ctx, path, &tensor, 1, metadata, 3));
    assert_ok(eq_h_store_open(ctx, path, &store));
    eq_h_store_close(&store);
    assert_ok(eq_safetensors_write(ctx, path, &tensor, 1, metadata, 2)); /* of no model */
    assert_fails(eq_h_store_open(ctx, path, &store), EQ_BAD_INPUT, "not a file of h-vectors");
    tensor.tensor.shape = eq_shape_of(2, 12);
    assert_ok(eq_safetensors_write(ctx, path, &tensor, 1, metadata, 3));
    assert_fails(eq_h_store_open(ctx, path, &store), EQ_BAD_INPUT, "not a file of h-vectors");
    free(path);
}

/* While sampling, h of the chosen steps is written and the images stay as they are. */
static void recording_a_run(void **state)
{
    enum { N = 3, STEPS = 5 };
    char *path = eq_path_join(*state, "h.safetensors");
    static const int64_t timesteps[] = {600, 0};
    static const int steps[] = {1, 4};
    eq_unet_config unet = tiny_unet();
    eq_params *params = tiny_params(ctx, &unet, 1);
    eq_schedule_config config = eq_schedule_config_default();
    eq_schedule schedule;
    eq_plan plan;
    eq_denoiser *denoiser;
    float plain[N * TINY_PIXELS], recorded[N * TINY_PIXELS];
    assert_ok(eq_schedule_new(ctx, &config, NULL, &schedule));
    assert_ok(eq_plan_new(ctx, &(eq_plan_options){.sampler = &eq_sampler_ddim, .steps = STEPS}, &schedule, &plan));
    eq_denoiser_options options = {.count = N, .micro_batch = 2, .height = 16, .width = 16, .dtype = EQ_F32};
    assert_ok(eq_denoiser_new(ctx, &unet, params, &options, &denoiser));
    eq_sampling sampling = {
        .denoiser = denoiser, .plan = &plan, .n = N, .height = 16, .width = 16, .channels = 3, .output_channels = 3};
    assert_ok(eq_sample(ctx, &sampling, plain));
    eq_h_writer writer;
    assert_ok(eq_h_writer_open(ctx, path, timesteps, steps, 2, N, eq_denoiser_h_shape(denoiser), "cafe", &writer));
    sampling.hook = eq_h_recorder(&writer);
    assert_ok(eq_sample(ctx, &sampling, recorded));
    assert_ok(eq_h_writer_commit(&writer));
    assert_memory_equal(plain, recorded, sizeof plain);

    eq_h_store store;
    float *h = malloc(N * TINY_H * sizeof *h);
    assert_ok(eq_h_store_open(ctx, path, &store));
    assert_true(store.timesteps == 2 && store.images == N && store.h_count == TINY_H);
    /* The last step starts from an image that another step makes; the first recorded one can be checked by hand. */
    float x[N * TINY_PIXELS], output[N * TINY_PIXELS];
    for (int i = 0; i < N; i++)
        eq_initial_noise(0, i, x + i * TINY_PIXELS, TINY_PIXELS);
    assert_ok(eq_denoiser_run(denoiser, x, 800, output));
    eq_sampler_step(&plan, 0,
                    &(eq_step){.pixels = N * 256, .channels = 3, .output_channels = 3, .x = x, .output = output});
    assert_ok(eq_denoiser_encode(denoiser, x, 600, h));
    for (int i = 0; i < N * TINY_H; i++)
        assert_int_equal(store.h[i], eq_f32_to_f16(h[i]));
    eq_h_store_close(&store);
    eq_denoiser_free(denoiser);
    eq_plan_free(&plan);
    eq_schedule_free(&schedule);
    eq_params_free(params);
    free(h);
    free(path);
}

/* --- training --- */

static void count_heads(void *user, int done, int heads)
{
    int *calls = user;
    assert_int_equal(heads, TIMESTEPS);
    assert_int_equal(done, ++*calls);
}

static eq_adp train(const eq_h_store *store, const eq_attribute *attribute, const int *labels, int hidden)
{
    eq_adp adp;
    eq_adp_training training = eq_adp_training_defaults();
    training.hidden = hidden;
    training.learning_rate = 0.02;
    training.batch = 32;
    int calls = 0;
    assert_ok(eq_adp_train(ctx, &training, store, attribute, labels, count_heads, &calls, &adp));
    assert_int_equal(calls, TIMESTEPS);
    return adp;
}

static void check_learning(const char *folder, int hidden)
{
    int labels[IMAGES];
    make_labels(labels);
    char *path = write_store(folder, labels);
    eq_attribute gender = tiny_gender();
    eq_h_store store;
    assert_ok(eq_h_store_open(ctx, path, &store));
    eq_adp adp = train(&store, &gender, labels, hidden);
    assert_int_equal(adp.heads, TIMESTEPS);
    assert_string_equal(adp.model_hash, "cafe");
    assert_string_equal(adp.attribute.class_names[1], "male");
    for (int i = 0; i < TIMESTEPS; i++) {
        assert_int_equal(adp.timesteps[i], falling[TIMESTEPS - 1 - i]); /* ascending */
        if (!(adp.accuracy[i] > 0.95f))
            fail_msg("held-out accuracy %g at timestep %d", (double)adp.accuracy[i], (int)adp.timesteps[i]);
    }
    /* Which head belongs to which timestep: on all images, with h as it is stored, unscaled. */
    float p[2], h[COUNT], work[64];
    double first_length = 0;
    for (int head = 0; head < TIMESTEPS; head++) {
        int right = 0, known = 0;
        double loss = 0, sum[2][COUNT] = {{0}}, count[2] = {0};
        for (int i = 0; i < IMAGES; i++) {
            for (int k = 0; k < COUNT; k++) {
                h[k] = eq_f16_to_f32(store.h[((TIMESTEPS - 1 - head) * IMAGES + i) * COUNT + k]);
                sum[labels[i] == 1][k] += labels[i] >= 0 ? h[k] : 0;
            }
            count[labels[i] == 1] += labels[i] >= 0;
            eq_adp_predict(&adp, head, 0, h, 1, p, work);
            known += labels[i] >= 0;
            right += labels[i] >= 0 && (p[1] > p[0]) == labels[i];
            loss -= labels[i] >= 0 ? log(p[labels[i]]) : 0;
        }
        assert_true(right > 0.95 * known);
        assert_true(loss < 0.1 * known); /* calibrated at its own temperature */
        /* Along the difference of the means, of all images; the head saw the training part. */
        const float *direction = adp.direction + 2 * head * COUNT;
        double along = 0, apart = 0, length = 0;
        for (int k = 0; k < COUNT; k++) {
            double difference = sum[1][k] / count[1] - sum[0][k] / count[0], d = direction[COUNT + k] - direction[k];
            along += difference * d;
            apart += difference * difference;
            length += d * d;
            assert_near((double)direction[COUNT + k] + direction[k], 0, 1e-4);
        }
        assert_true(along > 0.98 * sqrt(apart * length));
        if (head == 0)
            first_length = length;
        assert_near(length, first_length, 1e-3 * first_length);
    }
    eq_adp_free(&adp);
    eq_h_store_close(&store);
    free(path);
}

static void linear_heads_learn(void **state)
{
    check_learning(*state, 0);
}

static void mlp_heads_learn(void **state)
{
    check_learning(*state, 6);
}

/* Offsets and scales of h are of no consequence: heads see it standardised, and the scales are folded into the weights,
 * so that both give the same probabilities. (By powers of two, which f16 scales exactly; offsets would round.) */
static void scales_are_folded(void **state)
{
    int labels[IMAGES];
    make_labels(labels);
    char *paths[2] = {eq_path_join(*state, "a.safetensors"), eq_path_join(*state, "b.safetensors")};
    eq_attribute gender = tiny_gender();
    eq_h_store stores[2];
    eq_adp adps[2];
    float *h = malloc(IMAGES * COUNT * sizeof *h);
    for (int s = 0; s < 2; s++) {
        eq_h_writer writer;
        assert_ok(eq_h_writer_open(ctx, paths[s], falling, steps_of, TIMESTEPS, IMAGES,
                                   eq_shape_of(SIDE, SIDE, CHANNELS), "", &writer));
        for (int t = 0; t < TIMESTEPS; t++) {
            make_h(t, labels, h);
            for (int i = 0; i < IMAGES * COUNT; i++)
                h[i] *= s == 0 ? 1 : ldexpf(1, i % COUNT % 5 - 2);
            assert_ok(eq_h_writer_add(&writer, h));
        }
        assert_ok(eq_h_writer_commit(&writer));
        assert_ok(eq_h_store_open(ctx, paths[s], &stores[s]));
        adps[s] = train(&stores[s], &gender, labels, 0);
    }
    for (int t = 0; t < TIMESTEPS; t++)
        for (int k = 0; k < 2 * COUNT; k++) {
            float plain = adps[0].weight[t * 2 * COUNT + k];
            float scaled = adps[1].weight[t * 2 * COUNT + k] * ldexpf(1, k % COUNT % 5 - 2);
            assert_near(scaled, plain, 1e-5 + 1e-4 * fabsf(plain));
        }
    for (int t = 0; t < TIMESTEPS; t++)
        for (int i = 0; i < IMAGES; i += 7) {
            float p[2][2], work[64];
            for (int s = 0; s < 2; s++) {
                for (int k = 0; k < COUNT; k++)
                    h[k] = eq_f16_to_f32(stores[s].h[((TIMESTEPS - 1 - t) * IMAGES + i) * COUNT + k]);
                eq_adp_predict(&adps[s], t, 0, h, 1, p[s], work);
            }
            assert_near(p[0][0], p[1][0], 1e-4);
        }
    for (int s = 0; s < 2; s++) {
        eq_adp_free(&adps[s]);
        eq_h_store_close(&stores[s]);
        free(paths[s]);
    }
    free(h);
}

static void training_repeats(void **state)
{
    int labels[IMAGES], threads = omp_get_max_threads();
    make_labels(labels);
    char *path = write_store(*state, labels);
    eq_attribute gender = tiny_gender();
    eq_h_store store;
    assert_ok(eq_h_store_open(ctx, path, &store));
    eq_adp one = train(&store, &gender, labels, 0);
    omp_set_num_threads(2);
    eq_adp two = train(&store, &gender, labels, 0);
    omp_set_num_threads(threads);
    assert_true(tiny_relative_error(one.weight, two.weight, TIMESTEPS * 2 * COUNT) < 1e-5);
    assert_memory_equal(one.direction, two.direction, TIMESTEPS * 2 * COUNT * sizeof(float));
    assert_memory_equal(one.accuracy, two.accuracy, TIMESTEPS * sizeof(float));
    eq_adp_free(&one);
    eq_adp_free(&two);
    eq_h_store_close(&store);
    free(path);
}

/* Images whose label is not known have no part in it: whatever they hold, the heads are the same. */
static void unknown_labels_are_not_used(void **state)
{
    int labels[IMAGES];
    make_labels(labels);
    char *path = write_store(*state, labels);
    eq_attribute gender = tiny_gender();
    eq_h_store store;
    assert_ok(eq_h_store_open(ctx, path, &store));
    eq_adp plain = train(&store, &gender, labels, 0);
    uint16_t *altered = malloc(TIMESTEPS * IMAGES * COUNT * sizeof *altered);
    memcpy(altered, store.h, TIMESTEPS * IMAGES * COUNT * sizeof *altered);
    for (int t = 0; t < TIMESTEPS; t++)
        for (int i = 9; i < IMAGES; i += 10)
            for (int k = 0; k < COUNT; k++)
                altered[(t * IMAGES + i) * COUNT + k] = 0x7bff;
    store.h = altered;
    eq_adp other = train(&store, &gender, labels, 0);
    assert_memory_equal(plain.weight, other.weight, TIMESTEPS * 2 * COUNT * sizeof(float));
    eq_adp_free(&plain);
    eq_adp_free(&other);
    eq_h_store_close(&store);
    free(altered);
    free(path);
}

static void refusals(void **state)
{
    int labels[IMAGES], other[IMAGES];
    make_labels(labels);
    char *path = write_store(*state, labels);
    eq_attribute gender = tiny_gender(), age = tiny_age();
    eq_h_store store;
    eq_adp adp;
    eq_adp_training t = eq_adp_training_defaults();
    assert_ok(eq_h_store_open(ctx, path, &store));
    assert_fails(eq_adp_train(ctx, &t, &store, &age, labels, NULL, NULL, &adp), EQ_BAD_INPUT,
                 "class \"old\" has 0 training images");
    assert_null(adp.weight);
    memcpy(other, labels, sizeof labels);
    other[17] = 2;
    assert_fails(eq_adp_train(ctx, &t, &store, &gender, other, NULL, NULL, &adp), EQ_BAD_USAGE,
                 "image 17 has class 2; \"gender\" has 2");
    for (int i = 0; i < 7; i++) {
        t = eq_adp_training_defaults();
        switch (i) {
        case 0: t.batch = 0; break;
        case 1: t.epochs = 0; break;
        case 2: t.learning_rate = 0; break;
        case 3: t.held_out = 0.95; break;
        case 4: t.held_out = NAN; break;
        case 5: t.hidden = -1; break;
        case 6: t.weight_decay = -1; break;
        }
        assert_fails(eq_adp_train(ctx, &t, &store, &gender, labels, NULL, NULL, &adp), EQ_BAD_USAGE, "not ");
    }
    eq_context *mine = eq_context_new();
    eq_cancel(mine);
    t = eq_adp_training_defaults();
    assert_int_equal(eq_adp_train(mine, &t, &store, &gender, labels, NULL, NULL, &adp), EQ_CANCELLED);
    eq_context_free(mine);
    eq_h_store_close(&store);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stores_round_trip, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(unfinished_stores_leave_no_file, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(foreign_stores, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(recording_a_run, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(linear_heads_learn, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(mlp_heads_learn, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(scales_are_folded, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(training_repeats, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(unknown_labels_are_not_used, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(refusals, temporary_setup, temporary_teardown),
    };
    ctx = eq_context_new();
    omp_set_num_threads(1); /* the networks are tiny: threads would mostly wait for each other */
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
