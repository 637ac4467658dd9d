/* AdamW against its formulas written down in double, the learning rate, and how checkpoints restore a trainer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <omp.h>

#include "io/safetensors.h"
#include "ops/ops.h"
#include "temporary.h"
#include "train/optimiser.h"
#include "train/trainer.h"
#include "unit/tiny.h"

static eq_context *ctx;

/* One parameter's update, Loshchilov & Hutter 2019, algorithm 2, with the average beside it. */
typedef struct plain {
    double p, m, v, average;
} plain;

static void plain_step(plain *x, const eq_optimiser_options *o, double rate, double gradient, int64_t t)
{
    x->m = o->beta1 * x->m + (1 - o->beta1) * gradient;
    x->v = o->beta2 * x->v + (1 - o->beta2) * gradient * gradient;
    double m = x->m / (1 - pow(o->beta1, (double)t)), v = x->v / (1 - pow(o->beta2, (double)t));
    x->p -= rate * (m / (sqrt(v) + o->epsilon) + o->weight_decay * x->p);
    double decay = fmin(o->ema_decay, (double)t / (double)(t + 9));
    x->average = decay * x->average + (1 - decay) * x->p;
}

static void check_steps(double clip_norm, double gradient_size)
{
    enum { COUNT = 40 };
    eq_optimiser_options o = eq_optimiser_defaults();
    o.learning_rate = 0.01;
    o.warmup_steps = 5;
    o.total_steps = 20;
    o.clip_norm = clip_norm;
    o.weight_decay = 0.1;
    o.ema_decay = 0.6;
    float *parameters = tiny_normals(1, COUNT);
    plain expected[COUNT];
    for (int i = 0; i < COUNT; i++)
        expected[i] = (plain){.p = parameters[i], .average = parameters[i]};
    eq_optimiser optimiser;
    assert_ok(eq_optimiser_open(ctx, &o, parameters, COUNT, &optimiser));
    for (int64_t t = 1; t <= 25; t++) {
        float *gradients = tiny_normals(100 + (uint64_t)t, COUNT);
        double square = 0;
        for (int i = 0; i < COUNT; i++) {
            gradients[i] *= (float)gradient_size;
            square += (double)gradients[i] * gradients[i];
        }
        double scale = clip_norm > 0 ? fmin(1, clip_norm / sqrt(square)) : 1;
        for (int i = 0; i < COUNT; i++)
            plain_step(&expected[i], &o, eq_learning_rate(&o, t - 1), gradients[i] * scale, t);
        double norm = eq_optimiser_step(&optimiser, parameters, gradients);
        assert_near(norm, sqrt(square), 1e-6 * norm);
        free(gradients);
        for (int i = 0; i < COUNT; i++) {
            assert_near(parameters[i], expected[i].p, 1e-6);
            assert_near(optimiser.average[i], expected[i].average, 1e-6);
        }
    }
    assert_int_equal(optimiser.step, 25);
    eq_optimiser_close(&optimiser);
    free(parameters);
}

static void steps_of_adamw(void **state)
{
    check_steps(0, 5);    /* never clipped */
    check_steps(1, 5);    /* always */
    check_steps(5.9, 1);  /* sometimes */
    check_steps(1, 1e-5); /* hardly a gradient */
}

static void learning_rates(void **state)
{
    eq_optimiser_options o = {.learning_rate = 2, .warmup_steps = 4, .total_steps = 24, .final_fraction = 0.1};
    for (int i = 0; i < 4; i++)
        assert_near(eq_learning_rate(&o, i), 0.5 * (i + 1), 1e-12);
    assert_near(eq_learning_rate(&o, 4), 2, 1e-12);
    assert_near(eq_learning_rate(&o, 14), 2 * (0.1 + 0.9 * 0.5), 1e-12); /* half way down the cosine */
    assert_near(eq_learning_rate(&o, 24), 0.2, 1e-12);
    assert_near(eq_learning_rate(&o, 1000), 0.2, 1e-12);
    for (int i = 5; i < 30; i++)
        assert_true(eq_learning_rate(&o, i) <= eq_learning_rate(&o, i - 1));
    o.warmup_steps = 0;
    assert_near(eq_learning_rate(&o, 0), 2, 1e-12);
    o.total_steps = 0; /* nothing to decay over */
    assert_near(eq_learning_rate(&o, 0), 0.2, 1e-12);
}

static void infinite_gradients_change_nothing(void **state)
{
    eq_optimiser_options o = eq_optimiser_defaults();
    float parameters[3] = {1, 2, 3}, before[3] = {1, 2, 3}, gradients[3] = {1, INFINITY, 0};
    eq_optimiser optimiser;
    assert_ok(eq_optimiser_open(ctx, &o, parameters, 3, &optimiser));
    assert_true(isinf(eq_optimiser_step(&optimiser, parameters, gradients)));
    gradients[1] = NAN;
    assert_true(isnan(eq_optimiser_step(&optimiser, parameters, gradients)));
    assert_memory_equal(parameters, before, sizeof before);
    assert_memory_equal(optimiser.average, before, sizeof before);
    assert_true(optimiser.first_moment[0] == 0 && optimiser.second_moment[0] == 0);
    assert_int_equal(optimiser.step, 2);
    eq_optimiser_close(&optimiser);
}

/* The same bits with any number of threads, in the norm of a million numbers too. */
static void threads_do_not_matter(void **state)
{
    enum { COUNT = 1000003 };
    eq_optimiser_options o = eq_optimiser_defaults();
    float *gradients = tiny_normals(3, COUNT), *parameters[2];
    double norms[2];
    int threads = omp_get_max_threads();
    for (int i = 0; i < 2; i++) {
        eq_optimiser optimiser;
        omp_set_num_threads(i == 0 ? 1 : 3);
        parameters[i] = tiny_normals(4, COUNT);
        assert_ok(eq_optimiser_open(ctx, &o, parameters[i], COUNT, &optimiser));
        norms[i] = eq_optimiser_step(&optimiser, parameters[i], gradients);
        eq_optimiser_close(&optimiser);
    }
    omp_set_num_threads(threads);
    assert_true(norms[0] == norms[1]);
    assert_memory_equal(parameters[0], parameters[1], COUNT * sizeof(float));
    assert_near(norms[0], sqrt(COUNT), 5);
    free(gradients);
    free(parameters[0]);
    free(parameters[1]);
}

/* --- trainers --- */

/* Fits w [1, 2] to y = 3 a - 2 b; x is what is fed. */
typedef struct toy {
    eq_params *params;
    eq_trainer trainer;
    float *x, *y;
} toy;

static toy open_toy(double learning_rate)
{
    toy t = {.params = eq_params_new(ctx)};
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    t.params->declaring = true;
    eq_params_value(t.params, graph, eq_shape_of(1, 2), EQ_INIT_ZEROS, 1, "w");
    eq_params_value(t.params, graph, eq_shape_of(5), EQ_INIT_ONES, 1, "unused");
    t.params->declaring = false;
    t.params->trainable = true;
    eq_graph_free(graph);
    assert_ok(eq_params_allocate(t.params));
    eq_params_initialise(t.params, 1);
    graph = eq_graph_new(ctx, EQ_F32);
    eq_value x = eq_graph_input(graph, "x", EQ_F32, eq_shape_of(4, 2));
    eq_value y = eq_graph_input(graph, "y", EQ_F32, eq_shape_of(4, 1));
    eq_value w = eq_params_value(t.params, graph, eq_shape_of(1, 2), EQ_INIT_ZEROS, 1, "w");
    eq_params_value(t.params, graph, eq_shape_of(5), EQ_INIT_ONES, 1, "unused");
    eq_value loss = eq_mse(graph, eq_linear(graph, x, w, EQ_NONE, EQ_NONE), y, EQ_NONE);
    eq_optimiser_options o = eq_optimiser_defaults();
    o.learning_rate = learning_rate;
    o.weight_decay = 0;
    o.warmup_steps = 0;
    o.total_steps = 400;
    o.ema_decay = 0.5;
    assert_ok(eq_trainer_open(ctx, t.params, graph, loss, &o, &t.trainer));
    t.x = eq_program_data(t.trainer.program, x);
    t.y = eq_program_data(t.trainer.program, y);
    return t;
}

static eq_status step_toy(toy *t, double *loss)
{
    eq_rng rng = eq_rng_make(1, (uint64_t)t->trainer.optimiser.step, 0);
    double norm;
    for (int i = 0; i < 4; i++) {
        t->x[2 * i] = eq_rng_normal(&rng);
        t->x[2 * i + 1] = eq_rng_normal(&rng);
        t->y[i] = 3 * t->x[2 * i] - 2 * t->x[2 * i + 1];
    }
    return eq_trainer_step(&t->trainer, loss, &norm);
}

static void close_toy(toy *t)
{
    eq_trainer_close(&t->trainer);
    eq_params_free(t->params);
}

static void a_toy_is_learnt(void **state)
{
    toy t = open_toy(0.1);
    double loss;
    for (int i = 0; i < 400; i++)
        assert_ok(step_toy(&t, &loss));
    assert_true(loss < 1e-3);
    assert_near(t.params->storage[0], 3, 0.02);
    assert_near(t.params->storage[1], -2, 0.02);
    for (int i = 2; i < 7; i++)
        assert_true(t.params->storage[i] == 1); /* the loss does not depend on it */
    float trained = t.params->storage[0], average = t.trainer.optimiser.average[0];
    eq_trainer_swap_average(&t.trainer);
    assert_true(t.params->storage[0] == average && t.trainer.optimiser.average[0] == trained);
    eq_trainer_swap_average(&t.trainer);
    assert_true(t.params->storage[0] == trained);
    close_toy(&t);
}

static void divergence_is_an_error(void **state)
{
    toy t = open_toy(0.1);
    double loss;
    assert_ok(step_toy(&t, &loss));
    t.params->storage[0] = INFINITY;
    assert_fails(step_toy(&t, &loss), EQ_FAILED, "training diverged at step 2");
    close_toy(&t);
}

static void checkpoints_resume_exactly(void **state)
{
    char *path = eq_path_join(*state, "checkpoint.safetensors");
    toy whole = open_toy(0.1), first = open_toy(0.1), second = open_toy(0.1);
    double loss;
    for (int i = 0; i < 30; i++)
        assert_ok(step_toy(&whole, &loss));
    for (int i = 0; i < 13; i++)
        assert_ok(step_toy(&first, &loss));
    assert_ok(eq_trainer_save(&first.trainer, path, "a, b"));
    assert_ok(eq_trainer_load(&second.trainer, path, "a, b"));
    assert_int_equal(second.trainer.optimiser.step, 13);
    for (int i = 13; i < 30; i++)
        assert_ok(step_toy(&second, &loss));
    size_t bytes = (size_t)whole.params->total * sizeof(float);
    assert_memory_equal(whole.params->storage, second.params->storage, bytes);
    assert_memory_equal(whole.trainer.optimiser.average, second.trainer.optimiser.average, bytes);
    assert_memory_equal(whole.trainer.optimiser.second_moment, second.trainer.optimiser.second_moment, bytes);
    assert_fails(eq_trainer_load(&second.trainer, path, "a, c"), EQ_BAD_INPUT, "(a, b, now a, c)");
    assert_fails(eq_trainer_load(&second.trainer, path, NULL), EQ_BAD_INPUT, "other settings");
    close_toy(&whole);
    close_toy(&first);
    close_toy(&second);
    free(path);
}

static void damaged_checkpoints(void **state)
{
    static const char *const steps[] = {"-5", "", "7x", "99999999999999999999", "NaN"};
    char *path = eq_path_join(*state, "checkpoint.safetensors");
    float numbers[7] = {0};
    eq_named_tensor tensors[4];
    static const char *const names[] = {"parameters", "first_moment", "second_moment", "average"};
    for (int i = 0; i < 4; i++)
        tensors[i] = (eq_named_tensor){names[i], {EQ_F32, eq_shape_of(7), numbers}};
    toy t = open_toy(0.1);
    for (int i = 0; i < 5; i++) {
        eq_metadata metadata[] = {{"step", steps[i]}, {"settings", ""}};
        assert_ok(eq_safetensors_write(ctx, path, tensors, 4, metadata, 2));
        assert_fails(eq_trainer_load(&t.trainer, path, ""), EQ_BAD_INPUT, "not a training checkpoint");
        assert_int_equal(t.trainer.optimiser.step, 0);
    }
    eq_metadata metadata[] = {{"step", "7"}, {"settings", ""}};
    assert_ok(eq_safetensors_write(ctx, path, tensors, 4, metadata, 1));
    assert_fails(eq_trainer_load(&t.trainer, path, ""), EQ_BAD_INPUT, "not a training checkpoint");
    assert_ok(eq_safetensors_write(ctx, path, tensors, 3, metadata, 2));
    assert_fails(eq_trainer_load(&t.trainer, path, ""), EQ_BAD_INPUT, "\"average\" is missing");
    tensors[2].tensor.shape = eq_shape_of(6); /* of another network */
    assert_ok(eq_safetensors_write(ctx, path, tensors, 4, metadata, 2));
    assert_fails(eq_trainer_load(&t.trainer, path, ""), EQ_BAD_INPUT, "second_moment");
    assert_fails(eq_trainer_load(&t.trainer, "/nowhere/x.safetensors", ""), EQ_BAD_INPUT, "/nowhere/x.safetensors");
    close_toy(&t);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_of_adamw),
        cmocka_unit_test(learning_rates),
        cmocka_unit_test(infinite_gradients_change_nothing),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(a_toy_is_learnt),
        cmocka_unit_test(divergence_is_an_error),
        cmocka_unit_test_setup_teardown(checkpoints_resume_exactly, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(damaged_checkpoints, temporary_setup, temporary_teardown),
    };
    ctx = eq_context_new();
    omp_set_num_threads(1); /* the networks are tiny: threads would mostly wait for each other */
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
