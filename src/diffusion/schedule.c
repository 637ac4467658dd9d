#include "diffusion/schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

eq_schedule_config eq_schedule_config_default(void)
{
    return (eq_schedule_config){
        .num_train_timesteps = 1000,
        .beta_kind = EQ_BETA_LINEAR,
        .beta_start = 0.0001,
        .beta_end = 0.02,
        .prediction = EQ_PREDICT_EPSILON,
        .variance = EQ_VARIANCE_SMALL,
        .clip_sample = true,
        .clip_sample_range = 1.0,
        .set_alpha_to_one = true,
        .steps_offset = 0,
        .spacing = EQ_SPACING_DEFAULT,
        .scheduler = "DDIMScheduler",
        .sampler = "ddim",
    };
}

static eq_status check_config(eq_context *ctx, const eq_schedule_config *config)
{
    int count = config->num_train_timesteps;
    if (count < 1 || count > EQ_MAX_TRAIN_TIMESTEPS)
        return eq_fail(ctx, EQ_BAD_USAGE, "num_train_timesteps: expected 1..%d, found %d", EQ_MAX_TRAIN_TIMESTEPS,
                       count);
    if (config->steps_offset < 0 || config->steps_offset >= count)
        return eq_fail(ctx, EQ_BAD_USAGE, "steps_offset: expected 0..%d, found %d", count - 1, config->steps_offset);
    if (!(config->clip_sample_range > 0) || !isfinite(config->clip_sample_range))
        return eq_fail(ctx, EQ_BAD_USAGE, "clip_sample_range: expected a number above 0, found %g",
                       config->clip_sample_range);
    return EQ_OK;
}

/* The i-th of count values in equal steps from first to last. */
static double between(double first, double last, int i, int count)
{
    return count == 1 ? first : first + (last - first) * i / (count - 1);
}

/* abar(s) of Nichol & Dhariwal 2021, eq. 17, but for its constant factor 1 / abar(0), which cancels in beta. */
static double cosine_alpha_cumprod(double s)
{
    const double half_pi = 1.57079632679489661923;
    double c = cos((s + 0.008) / 1.008 * half_pi);
    return c * c;
}

static void fill_betas(const eq_schedule_config *config, const double *trained_betas, double *betas)
{
    const double cosine_cap = 0.999;
    int count = config->num_train_timesteps;
    for (int t = 0; t < count; t++) {
        switch (config->beta_kind) {
        case EQ_BETA_LINEAR: betas[t] = between(config->beta_start, config->beta_end, t, count); break;
        case EQ_BETA_SCALED_LINEAR: {
            double root = between(sqrt(config->beta_start), sqrt(config->beta_end), t, count);
            betas[t] = root * root;
            break;
        }
        case EQ_BETA_COSINE: {
            double before = cosine_alpha_cumprod((double)t / count);
            double after = cosine_alpha_cumprod((double)(t + 1) / count);
            betas[t] = fmin(1 - after / before, cosine_cap);
            break;
        }
        case EQ_BETA_TRAINED: betas[t] = trained_betas[t]; break;
        }
    }
}

static eq_status accumulate_alphas(eq_context *ctx, const double *betas, int count, double *alphas_cumprod)
{
    double product = 1;
    for (int t = 0; t < count; t++) {
        if (!(betas[t] > 0 && betas[t] < 1))
            return eq_fail(ctx, EQ_BAD_USAGE, "beta at timestep %d: expected a number between 0 and 1, found %g", t,
                           betas[t]);
        /* 1 - abar divides in every formula of sampling, and abar in most. It must fall: too small a beta is lost in
         * rounding, too many large ones lead below the normal numbers. */
        double before = product;
        product *= 1 - betas[t];
        if (!(isnormal(product) && product < before))
            return eq_fail(ctx, EQ_BAD_USAGE,
                           "the betas up to timestep %d leave alphas_cumprod at %g: expected a number strictly between "
                           "0 and 1, and below the one before it",
                           t, product);
        alphas_cumprod[t] = product;
    }
    return EQ_OK;
}

eq_status eq_schedule_new(eq_context *ctx, const eq_schedule_config *config, const double *trained_betas,
                          eq_schedule *out)
{
    memset(out, 0, sizeof *out);
    EQ_TRY(check_config(ctx, config));
    if ((config->beta_kind == EQ_BETA_TRAINED) != (trained_betas != NULL))
        return eq_fail(ctx, EQ_BAD_USAGE, "trained betas: expected exactly with the beta schedule that uses them");

    size_t count = (size_t)config->num_train_timesteps;
    eq_schedule schedule = {.config = *config};
    schedule.betas = malloc(count * sizeof *schedule.betas);
    schedule.alphas_cumprod = malloc(count * sizeof *schedule.alphas_cumprod);
    if (!schedule.betas || !schedule.alphas_cumprod) {
        eq_schedule_free(&schedule);
        return eq_fail_memory(ctx, "a noise schedule");
    }
    fill_betas(config, trained_betas, schedule.betas);
    eq_status status = accumulate_alphas(ctx, schedule.betas, config->num_train_timesteps, schedule.alphas_cumprod);
    if (status != EQ_OK) {
        eq_schedule_free(&schedule);
        return status;
    }
    schedule.final_alpha_cumprod = config->set_alpha_to_one ? 1 : schedule.alphas_cumprod[0];
    *out = schedule;
    return EQ_OK;
}

void eq_schedule_free(eq_schedule *schedule)
{
    if (!schedule)
        return;
    free(schedule->betas);
    free(schedule->alphas_cumprod);
    memset(schedule, 0, sizeof *schedule);
}

double eq_schedule_alpha(const eq_schedule *schedule, int t)
{
    return t < 0 ? schedule->final_alpha_cumprod : schedule->alphas_cumprod[t];
}

double eq_snr(double alpha_cumprod)
{
    return alpha_cumprod / (1 - alpha_cumprod);
}
