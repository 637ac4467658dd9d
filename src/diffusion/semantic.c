#include "diffusion/semantic.h"

#include <math.h>

bool eq_semantic_active(const eq_semantic *s, int step)
{
    return s->count > 0 && step >= s->first_step && step <= s->last_step;
}

static void swap(float *a, float *b)
{
    float kept = *a;
    *a = *b;
    *b = kept;
}

/* Reorders x [n] until number k is what it would be if all were sorted, with none larger before it and none smaller
 * behind. Three parts, so that many equal numbers cost no more. */
static void select_kth(float *x, size_t n, size_t k)
{
    size_t first = 0, end = n;
    while (end - first > 1) {
        float pivot = x[first + (end - first) / 2];
        size_t smaller = first, larger = end;
        for (size_t i = first; i < larger;) {
            if (x[i] < pivot)
                swap(&x[smaller++], &x[i++]);
            else if (x[i] > pivot)
                swap(&x[i], &x[--larger]);
            else
                i++;
        }
        if (k >= smaller && k < larger)
            return;
        if (k < smaller)
            end = smaller;
        else
            first = larger;
    }
}

float eq_quantile(float *x, size_t n, double q)
{
    double position = q * (double)(n - 1);
    size_t k = (size_t)position;
    select_kth(x, n, k);
    if (k + 1 >= n)
        return x[k];
    float next = x[k + 1];
    for (size_t i = k + 2; i < n; i++)
        next = x[i] < next ? x[i] : next;
    return x[k] + (float)(position - (double)k) * (next - x[k]);
}

/* One edit prompt's share of gamma, in place of its eps. */
static void mask_edit(const eq_semantic *s, int e, size_t pixels, size_t channels, const float *uncond, float *edit,
                      float *scratch)
{
    float scale = s->sign[e] * (float)s->scale;
    for (size_t i = 0; i < pixels * channels; i++)
        edit[i] = scale * (edit[i] - uncond[i]);
    for (size_t c = 0; c < channels; c++) {
        for (size_t p = 0; p < pixels; p++)
            scratch[p] = fabsf(edit[p * channels + c]);
        float least = eq_quantile(scratch, pixels, s->threshold);
        for (size_t p = 0; p < pixels; p++)
            if (fabsf(edit[p * channels + c]) < least)
                edit[p * channels + c] = 0;
    }
}

void eq_semantic_gamma(const eq_semantic *s, size_t pixels, size_t channels, const float *uncond, float *edits,
                       size_t stride, float *nu, float *scratch)
{
    size_t count = pixels * channels;
    float momentum = (float)s->momentum, decay = (float)s->decay;
    for (int e = 0; e < s->count; e++) {
        mask_edit(s, e, pixels, channels, uncond, edits + (size_t)e * stride, scratch);
        for (size_t i = 0; e > 0 && i < count; i++)
            edits[i] += edits[(size_t)e * stride + i];
    }
    for (size_t i = 0; i < count; i++) {
        edits[i] += momentum * nu[i];
        nu[i] = decay * nu[i] + (1 - decay) * edits[i];
    }
}
