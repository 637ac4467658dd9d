/* The published heads out of their files, and the gradients that they gave the published code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compare.h"
#include "diffusion/timesteps.h"
#include "fixtures.h"
#include "guidance/adp_import.h"
#include "guidance/guidance.h"
#include "guidance/target.h"

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != EQ_OK)                                                                                           \
            fail_msg("%s: %s", #call, eq_last_error(ctx));                                                             \
    } while (0)

static eq_context *ctx;
static const eq_attribute gender = {"gender", 2, (const char *const[]){"class 0", "class 1"}};
static const eq_attribute race = {"race", 2, (const char *const[]){"class 0", "class 1"}};

/* The reference of guided-diffusion/, at the one timestep at which there are gradients. */
typedef struct reference {
    eq_tensor_file file;
    int timestep;
    double beta;
    float *h; /* [n, h, w, c] */
    int64_t n, count;
    eq_shape h_shape; /* [h, w, c] */
} reference;

static reference open_reference(void)
{
    reference r = {.timestep = -1};
    char name[32];
    float beta;
    assert_ok(eq_tensor_file_open(ctx, fixture_path("guided-diffusion/reference.safetensors"), &r.file));
    for (size_t i = 0; i < r.file.count; i++)
        if (sscanf(r.file.entries[i].name, "beta_%d", &r.timestep) == 1)
            eq_tensor_to_f32(&r.file.entries[i].tensor, &beta);
    assert_true(r.timestep >= 0);
    r.beta = beta;
    snprintf(name, sizeof name, "h_t%d", r.timestep);
    const eq_tensor *h = eq_tensor_file_find(&r.file, name);
    assert_non_null(h);
    r.h = channels_last(&r.file, name);
    r.n = h->shape.dim[0];
    r.h_shape = eq_shape_of(h->shape.dim[2], h->shape.dim[3], h->shape.dim[1]);
    r.count = eq_shape_count(&h->shape);
    return r;
}

static void close_reference(reference *r)
{
    free(r->h);
    eq_tensor_file_close(&r->file);
}

/* With the timesteps of the published run. */
static eq_adp import(const reference *r, const char *file, const eq_attribute *attribute)
{
    enum { STEPS = EQ_ADP_PUBLISHED_STEPS };
    int falling[STEPS], previous[STEPS];
    int64_t timesteps[STEPS];
    eq_schedule schedule;
    eq_adp adp;
    const eq_schedule_config config = eq_schedule_config_default();
    assert_ok(eq_schedule_new(ctx, &config, NULL, &schedule));
    assert_ok(eq_timesteps(ctx, &schedule, EQ_SPACING_PAPER, STEPS, falling, previous));
    for (int i = 0; i < STEPS; i++)
        timesteps[i] = falling[STEPS - 1 - i];
    assert_ok(eq_adp_import(ctx, fixture_path(file), attribute, r->h_shape, timesteps, STEPS, &adp));
    eq_schedule_free(&schedule);
    return adp;
}

static void both_containers_give_the_same_heads(void **state)
{
    reference r = open_reference();
    eq_adp a = import(&r, "guided-diffusion/adp_gender.pt", &gender);
    eq_adp b = import(&r, "guided-diffusion/adp_gender_legacy.pt", &gender);
    assert_int_equal(a.heads, b.heads);
    size_t rows = (size_t)a.heads * 2;
    assert_memory_equal(a.weight, b.weight, rows * (size_t)a.h_count * sizeof(float));
    assert_memory_equal(a.bias, b.bias, rows * sizeof(float));
    /* The timestep with gradients is one with a head of its own. */
    assert_int_equal(a.timesteps[eq_adp_head(&a, r.timestep)], r.timestep);
    eq_adp_free(&a);
    eq_adp_free(&b);
    close_reference(&r);
}

/* One head a timestep of the run, in ascending order. */
static void a_run_gives_its_heads_their_timesteps(void **state)
{
    eq_tensor_file file;
    assert_ok(eq_tensor_file_open(ctx, fixture_path("stable-diffusion-tiny/reference.safetensors"), &file));
    const eq_tensor *h = eq_tensor_file_find(&file, "guided_grad_step0"), *run = NULL;
    for (size_t i = 0; i < file.count; i++)
        if (strncmp(file.entries[i].name, "timesteps_ddim_", 15) == 0)
            run = &file.entries[i].tensor;
    assert_non_null(h);
    assert_non_null(run);
    int count = (int)run->shape.dim[0];
    float *falling = malloc((size_t)count * sizeof *falling);
    int64_t *timesteps = malloc((size_t)count * sizeof *timesteps);
    assert_true(falling && timesteps);
    eq_tensor_to_f32(run, falling);
    for (int i = 0; i < count; i++)
        timesteps[i] = (int64_t)falling[count - 1 - i];
    eq_adp adp;
    assert_ok(eq_adp_import(ctx, fixture_path("stable-diffusion-tiny/adp_gender.pt"), &gender,
                            eq_shape_of(h->shape.dim[2], h->shape.dim[3], h->shape.dim[1]), timesteps, count, &adp));
    assert_int_equal(adp.heads, count);
    for (int i = 0; i < count; i++)
        assert_int_equal(eq_adp_head(&adp, falling[i]), count - 1 - i);
    eq_adp_free(&adp);
    free(falling);
    free(timesteps);
    eq_tensor_file_close(&file);
}

/* Adds to sum [n, h, w, c] what the published step subtracts from h for one target, but for the step's factor. */
static void add_gradient(const reference *r, const eq_adp *heads, const char *target, double scale, float *sum)
{
    eq_targets targets = {0};
    assert_ok(eq_targets_add(ctx, &targets, target, &heads->attribute, 1));
    eq_guidance_options options = {
        .method = &eq_method_distribution, .loss = eq_loss_find("chi2"), .rule = EQ_STRENGTH_P2, .strength = scale};
    eq_guidance *run;
    assert_ok(eq_guidance_new(ctx, &options, &heads, 1, &targets, r->n, 1, &run));
    float *moved = malloc((size_t)r->count * sizeof *moved);
    assert_non_null(moved);
    memcpy(moved, r->h, (size_t)r->count * sizeof *moved);
    assert_ok(eq_guidance_apply(run, 0, r->timestep, r->beta, moved));
    double factor = 1.5 * pow(r->beta, 0.05);
    for (int64_t i = 0; i < r->count; i++)
        sum[i] += (float)(((double)r->h[i] - moved[i]) / factor);
    free(moved);
    eq_guidance_free(run);
    eq_targets_free(&targets);
}

static void assert_gradient(const reference *r, const char *name, const float *found)
{
    float *expected = channels_last(&r->file, name);
    assert_non_null(expected);
    double error = relative_error(found, expected, r->count);
    print_message("%s: %.2g\n", name, error);
    assert_true(error < 1e-5);
    free(expected);
}

static void gradients_are_the_published_ones(void **state)
{
    reference r = open_reference();
    eq_adp genders = import(&r, "guided-diffusion/adp_gender.pt", &gender);
    eq_adp races = import(&r, "guided-diffusion/adp_race.pt", &race);
    float *sum = calloc((size_t)r.count, sizeof *sum);
    assert_non_null(sum);
    add_gradient(&r, &genders, "gender=class 0:0.2,class 1:0.8", 15, sum);
    assert_gradient(&r, "grad_dist_gender_20_80", sum);
    memset(sum, 0, (size_t)r.count * sizeof *sum);
    add_gradient(&r, &genders, "gender=class 0:0.5,class 1:0.5", 15, sum);
    assert_gradient(&r, "grad_dist_gender_50_50", sum);
    add_gradient(&r, &races, "race=class 0:0.5,class 1:0.5", 7, sum);
    assert_gradient(&r, "grad_dist_gender_race_50_50", sum);
    free(sum);
    eq_adp_free(&genders);
    eq_adp_free(&races);
    close_reference(&r);
}

int main(void)
{
    if (!fixture_exists("guided-diffusion/adp_gender_legacy.pt") ||
        !fixture_exists("stable-diffusion-tiny/adp_gender.pt"))
        return FIXTURES_SKIP;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_containers_give_the_same_heads),
        cmocka_unit_test(a_run_gives_its_heads_their_timesteps),
        cmocka_unit_test(gradients_are_the_published_ones),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
