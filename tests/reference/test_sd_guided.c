/* The published guidance of Stable Diffusion through the tool's own sampling loop: classifier-free guidance, h of both
 * halves moved by the heads' KL gradient, against the numbers of the authors' method on diffusers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "diffusion/latent.h"
#include "guidance/adp_import.h"
#include "guidance/guidance.h"
#include "reference/compare.h"
#include "reference/fixtures.h"
#include "reference/sd_run.h"

static const char folder[] = "stable-diffusion-tiny";
/* The fixtures' README says so; the files do not: 60 times the gradient of 500 KL. */
static const double strength = 60.0 * 500.0 / (500.0 * 600.0);

static eq_context *ctx;
static eq_model model;
static eq_tensor_file reference;
static const char *const classes[] = {"first", "second"};
static eq_attribute gender = {"gender", 2, classes};

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != EQ_OK)                                                                                           \
            fail_msg("%s: %s", #call, eq_last_error(ctx));                                                             \
    } while (0)

static const eq_tensor *expected(const char *name)
{
    const eq_tensor *tensor = eq_tensor_file_find(&reference, name);
    if (!tensor)
        fail_msg("the fixture has no %s", name);
    return tensor;
}

/* The steps of "latents_<what>_<steps>". */
static int steps_of(const char *prefix)
{
    for (size_t i = 0; i < reference.count; i++)
        if (strncmp(reference.entries[i].name, prefix, strlen(prefix)) == 0)
            return atoi(reference.entries[i].name + strlen(prefix));
    fail_msg("the fixture has no %s...", prefix);
    return 0;
}

/* Guidance beside the run of the loop. It stays where it is: guidance points into it. */
typedef struct run {
    sd_run loop;
    eq_plan plan;
    eq_adp adp;
    eq_targets targets;
    eq_guidance *guidance;
    float *first_h, *first_move; /* h before the first step's guidance, and what it adds; [2n, h count] */
    int64_t h_total;
} run;

static void open_guidance(run *r)
{
    int steps = r->plan.steps;
    int64_t timesteps[EQ_ADP_IMPORT_HEADS];
    for (int i = 0; i < steps; i++)
        timesteps[i] = (int64_t)r->plan.call[steps - 1 - i].timestep;
    char path[128];
    snprintf(path, sizeof path, "%s/adp_gender.pt", folder);
    assert_ok(eq_adp_import(ctx, fixture_path(path), &gender, model.h_shape, timesteps, steps, &r->adp));
    assert_ok(eq_targets_add(ctx, &r->targets, "gender=first:0.5,second:0.5", &gender, 1));
    eq_guidance_options options = {.method = &eq_method_distribution,
                                   .loss = eq_loss_find("kl"),
                                   .rule = EQ_STRENGTH_SD,
                                   .strength = strength,
                                   .last_step = steps - 1};
    const eq_adp *adps[] = {&r->adp};
    assert_ok(eq_guidance_new(ctx, &options, adps, 1, &r->targets, 2 * r->loop.n, steps, &r->guidance));
}

static void open_run(run *r)
{
    *r = (run){0};
    eq_plan_options plan = {.sampler = &eq_sampler_ddim, .steps = steps_of("latents_guided_ddim_")};
    assert_ok(eq_plan_new(ctx, &plan, &model.schedule, &r->plan));
    assert_ok(sd_run_open(ctx, &model, &reference, &r->plan, EQ_F32, &r->loop));
    open_guidance(r);
    r->h_total = 2 * r->loop.n * eq_denoiser_h_count(r->loop.denoiser);
    r->first_h = malloc((size_t)r->h_total * sizeof *r->first_h);
    r->first_move = malloc((size_t)r->h_total * sizeof *r->first_move);
}

static void close_run(run *r)
{
    eq_guidance_free(r->guidance);
    eq_targets_free(&r->targets);
    eq_adp_free(&r->adp);
    sd_run_close(&r->loop);
    eq_plan_free(&r->plan);
    free(r->first_h);
    free(r->first_move);
}

static bool always(const void *user, int step)
{
    return true;
}

static eq_status guide(void *user, int step, double timestep, double beta, float *h)
{
    run *r = user;
    if (step == 0)
        memcpy(r->first_h, h, (size_t)r->h_total * sizeof *h);
    EQ_TRY(eq_guidance_apply(r->guidance, step, timestep, beta, h));
    for (int64_t k = 0; step == 0 && k < r->h_total; k++)
        r->first_move[k] = h[k] - r->first_h[k];
    return EQ_OK;
}

/* The latents at the end; malloc'ed. */
static float *sample(run *r, bool guided)
{
    float *x = channels_last(&reference, "latent_noise");
    if (guided)
        r->loop.sampling.hook = (eq_h_hook){r, always, guide, true};
    assert_ok(sd_run_sample(ctx, &r->loop, x));
    return x;
}

static void check(const char *what, const float *found, const char *name, double limit)
{
    float *wanted = channels_last(&reference, name);
    double error = relative_error(found, wanted, eq_shape_count(&expected(name)->shape));
    print_message("%s: relative error %.2e\n", what, error);
    if (!(error < limit))
        fail_msg("%s: relative error %g, at most %g", what, error, limit);
    free(wanted);
}

static void guided_trajectory(void **state)
{
    run r;
    open_run(&r);
    float *x = sample(&r, true);
    char name[64];
    snprintf(name, sizeof name, "latents_guided_ddim_%d", r.plan.steps);
    for (int64_t k = 0; k < r.h_total; k++)
        r.first_move[k] /= -(float)60;
    check("gradient at the first step", r.first_move, "guided_grad_step0", 1e-4); /* a difference of larger numbers */
    float *mean = malloc((size_t)(2 * r.plan.steps) * sizeof *mean);
    for (int i = 0; i < 2 * r.plan.steps; i++)
        mean[i] = (float)r.guidance->cell_mean[0][i];
    check("P per step", mean, "guided_p", 1e-5);
    check(name, x, name, 1e-4);
    free(mean);
    free(x);
    close_run(&r);
}

/* Without guidance, to the pixels. */
static void plain_images(void **state)
{
    run r;
    open_run(&r);
    float *x = sample(&r, false);
    char latents[64], image[64];
    snprintf(latents, sizeof latents, "latents_ddim_%d", r.plan.steps);
    snprintf(image, sizeof image, "image_ddim_%d", r.plan.steps);
    check(latents, x, latents, 1e-4);
    eq_latent_codec *codec;
    int side = model.unet.sample_size;
    float *pixels = malloc((size_t)eq_shape_count(&expected(image)->shape) * sizeof *pixels);
    assert_ok(eq_latent_codec_new(ctx, &model.vae, model.vae_params, &(eq_latent_options){.dtype = EQ_F32}, &codec));
    assert_ok(eq_latent_decode(codec, x, r.loop.n, side, side, pixels));
    check(image, pixels, image, 1e-4);
    eq_latent_codec_free(codec);
    free(pixels);
    free(x);
    close_run(&r);
}

int main(void)
{
    if (!fixture_exists(folder))
        return FIXTURES_SKIP;
    ctx = eq_context_new();
    char path[128];
    snprintf(path, sizeof path, "%s/reference.safetensors", folder);
    if (eq_tensor_file_open(ctx, fixture_path(path), &reference) != EQ_OK ||
        eq_model_open(ctx, fixture_path(folder), &model) != EQ_OK) {
        print_error("%s\n", eq_last_error(ctx));
        return 1;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(guided_trajectory), cmocka_unit_test(plain_images)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_model_close(&model);
    eq_tensor_file_close(&reference);
    eq_context_free(ctx);
    return failed;
}
