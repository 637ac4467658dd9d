#include "train/optimiser.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

eq_optimiser_options eq_optimiser_defaults(void)
{
    return (eq_optimiser_options){.learning_rate = 2e-4,
                                  .beta1 = 0.9,
                                  .beta2 = 0.99,
                                  .epsilon = 1e-8,
                                  .weight_decay = 0.01,
                                  .clip_norm = 1.0,
                                  .ema_decay = 0.999,
                                  .warmup_steps = 200,
                                  .total_steps = 10000,
                                  .final_fraction = 0.05};
}

eq_status eq_optimiser_open(eq_context *ctx, const eq_optimiser_options *options, const float *parameters, size_t count,
                            eq_optimiser *out)
{
    *out = (eq_optimiser){.options = *options,
                          .count = count,
                          .first_moment = eq_buffer_new(count * sizeof(float)),
                          .second_moment = eq_buffer_new(count * sizeof(float)),
                          .average = eq_buffer_new(count * sizeof(float))};
    if (!out->first_moment || !out->second_moment || !out->average) {
        eq_optimiser_close(out);
        return eq_fail_memory(ctx, "the optimiser's state");
    }
    memcpy(out->average, parameters, count * sizeof(float));
    return EQ_OK;
}

void eq_optimiser_close(eq_optimiser *optimiser)
{
    eq_buffer_free(optimiser->first_moment);
    eq_buffer_free(optimiser->second_moment);
    eq_buffer_free(optimiser->average);
    *optimiser = (eq_optimiser){0};
}

double eq_learning_rate(const eq_optimiser_options *options, int64_t step)
{
    if (step < options->warmup_steps)
        return options->learning_rate * (double)(step + 1) / (double)options->warmup_steps;
    int64_t decay_steps = options->total_steps - options->warmup_steps;
    double progress = decay_steps > 0 ? (double)(step - options->warmup_steps) / (double)decay_steps : 1.0;
    if (progress > 1.0)
        progress = 1.0;
    double cosine = 0.5 * (1.0 + cos(3.14159265358979323846 * progress));
    return options->learning_rate * (options->final_fraction + (1.0 - options->final_fraction) * cosine);
}

/* Summed in blocks of fixed size, so that the result does not depend on the number of threads. */
static double norm(const float *x, size_t count)
{
    enum { BLOCK = 1 << 14 };
    int64_t blocks = (int64_t)((count + BLOCK - 1) / BLOCK);
    double total = 0;
    enum { GROUP = 256 };
    double partial[GROUP];
    for (int64_t first = 0; first < blocks; first += GROUP) {
        int64_t here = blocks - first < GROUP ? blocks - first : GROUP;
#pragma omp parallel for schedule(static)
        for (int64_t b = 0; b < here; b++) {
            size_t begin = (size_t)(first + b) * BLOCK, end = begin + BLOCK < count ? begin + BLOCK : count;
            double sum = 0;
            for (size_t i = begin; i < end; i++)
                sum += (double)x[i] * x[i];
            partial[b] = sum;
        }
        for (int64_t b = 0; b < here; b++)
            total += partial[b];
    }
    return sqrt(total);
}

double eq_optimiser_step(eq_optimiser *optimiser, float *parameters, const float *gradients)
{
    const eq_optimiser_options *o = &optimiser->options;
    double gradient_norm = norm(gradients, optimiser->count);
    int64_t step = optimiser->step++;
    if (!isfinite(gradient_norm))
        return gradient_norm;

    double clip = o->clip_norm > 0 && gradient_norm > o->clip_norm ? o->clip_norm / gradient_norm : 1.0;
    double rate = eq_learning_rate(o, step);
    double correction1 = 1.0 - pow(o->beta1, (double)(step + 1));
    double correction2 = 1.0 - pow(o->beta2, (double)(step + 1));
    /* The average starts fast, so that it does not remember the random start. */
    double early = (1.0 + (double)step) / (10.0 + (double)step);
    float decay = (float)(o->ema_decay < early ? o->ema_decay : early);
    float scale = (float)clip, b1 = (float)o->beta1, b2 = (float)o->beta2;
    float step_size = (float)(rate / correction1), root = (float)(1.0 / sqrt(correction2));
    float epsilon = (float)o->epsilon, shrink = (float)(1.0 - rate * o->weight_decay);
    float *m = optimiser->first_moment, *v = optimiser->second_moment, *average = optimiser->average;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < optimiser->count; i++) {
        float g = gradients[i] * scale;
        m[i] = b1 * m[i] + (1.0f - b1) * g;
        v[i] = b2 * v[i] + (1.0f - b2) * g * g;
        float p = parameters[i] * shrink - step_size * m[i] / (sqrtf(v[i]) * root + epsilon);
        parameters[i] = p;
        average[i] = decay * average[i] + (1.0f - decay) * p;
    }
    return gradient_norm;
}
