#include "diffusion/prediction.h"

#include <math.h>

const char *eq_prediction_name(eq_prediction_type type)
{
    switch (type) {
    case EQ_PREDICT_EPSILON: return "epsilon";
    case EQ_PREDICT_V: return "v_prediction";
    case EQ_PREDICT_SAMPLE: return "sample";
    }
    return "unknown";
}

eq_prediction eq_prediction_at(const eq_schedule *schedule, double alpha_cumprod)
{
    double signal = sqrt(alpha_cumprod);
    double noise = sqrt(1 - alpha_cumprod);
    eq_prediction p = {.clip = schedule->config.clip_sample ? schedule->config.clip_sample_range : INFINITY};
    switch (schedule->config.prediction) {
    case EQ_PREDICT_EPSILON:
        p.x0_x = 1 / signal;
        p.x0_m = -noise / signal;
        p.eps_m = 1;
        break;
    case EQ_PREDICT_V:
        p.x0_x = signal;
        p.x0_m = -noise;
        p.eps_x = noise;
        p.eps_m = signal;
        break;
    case EQ_PREDICT_SAMPLE:
        p.x0_m = 1;
        if (noise > 0) {
            p.eps_x = 1 / noise;
            p.eps_m = -signal / noise;
        }
        break;
    }
    return p;
}

void eq_predict(const eq_schedule *schedule, double alpha_cumprod, size_t pixels, int channels, int output_channels,
                const float *x, const float *output, float *x0, float *eps)
{
    eq_prediction p = eq_prediction_at(schedule, alpha_cumprod);
    for (size_t i = 0; i < pixels; i++) {
        for (size_t c = 0; c < (size_t)channels; c++) {
            size_t at = i * (size_t)channels + c;
            double value, noise;
            eq_predict_value(&p, x[at], output[i * (size_t)output_channels + c], &value, &noise);
            if (x0)
                x0[at] = (float)value;
            if (eps)
                eps[at] = (float)noise;
        }
    }
}
