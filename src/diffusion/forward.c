#include "diffusion/forward.h"

#include <math.h>
#include <string.h>

/* out = a x0 + b noise. */
static void mix(double a, double b, size_t count, const float *x0, const float *noise, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (float)(a * x0[i] + b * noise[i]);
}

void eq_add_noise(double alpha_cumprod, size_t count, const float *x0, const float *noise, float *x_t)
{
    mix(sqrt(alpha_cumprod), sqrt(1 - alpha_cumprod), count, x0, noise, x_t);
}

void eq_prediction_target(eq_prediction_type type, double alpha_cumprod, size_t count, const float *x0,
                          const float *noise, float *target)
{
    switch (type) {
    case EQ_PREDICT_EPSILON: memmove(target, noise, count * sizeof *target); break;
    case EQ_PREDICT_V: mix(-sqrt(1 - alpha_cumprod), sqrt(alpha_cumprod), count, x0, noise, target); break;
    case EQ_PREDICT_SAMPLE: memmove(target, x0, count * sizeof *target); break;
    }
}

static const char *const weighting_names[] = {
    [EQ_WEIGHT_UNIFORM] = "uniform",
    [EQ_WEIGHT_MIN_SNR] = "min-snr",
    [EQ_WEIGHT_P2] = "p2",
};
enum { WEIGHTINGS = sizeof weighting_names / sizeof weighting_names[0] };

const char *eq_loss_weighting_name(eq_loss_weighting weighting)
{
    return weighting_names[weighting];
}

eq_status eq_loss_weighting_find(eq_context *ctx, const char *name, eq_loss_weighting *out)
{
    for (int i = 0; i < WEIGHTINGS; i++) {
        if (strcmp(name, weighting_names[i]) == 0) {
            *out = (eq_loss_weighting)i;
            return EQ_OK;
        }
    }
    return eq_fail(ctx, EQ_BAD_USAGE, "loss weighting: expected uniform, min-snr or p2, found \"%s\"", name);
}

double eq_loss_weight(eq_loss_weighting weighting, eq_prediction_type type, double alpha_cumprod)
{
    const double min_snr_gamma = 5, p2_k = 1, p2_gamma = 1;
    double snr = eq_snr(alpha_cumprod);

    double on_x0 = 0;
    switch (weighting) {
    case EQ_WEIGHT_UNIFORM: return 1;
    case EQ_WEIGHT_MIN_SNR: on_x0 = fmin(snr, min_snr_gamma); break;
    case EQ_WEIGHT_P2: on_x0 = snr / pow(p2_k + snr, p2_gamma); break;
    }
    switch (type) {
    case EQ_PREDICT_EPSILON: return on_x0 / snr;
    case EQ_PREDICT_V: return on_x0 / (snr + 1);
    case EQ_PREDICT_SAMPLE: break;
    }
    return on_x0;
}
