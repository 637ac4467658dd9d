#include "train/augment.h"

#include <string.h>

static float between(eq_rng *rng, float low, float high)
{
    return low + (high - low) * eq_rng_uniform(rng);
}

static int clamp(int value, int size)
{
    return value < 0 ? 0 : value >= size ? size - 1 : value;
}

/* out(y, x) = in(y + dy, x + dx), mirrored first if `flip`; edges are repeated. */
static void move(const float *in, float *out, int size, int dy, int dx, int flip)
{
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++) {
            int from_y = clamp(y + dy, size), from_x = clamp(x + dx, size);
            if (flip)
                from_x = size - 1 - from_x;
            memcpy(out + ((size_t)y * (size_t)size + (size_t)x) * 3,
                   in + ((size_t)from_y * (size_t)size + (size_t)from_x) * 3, 3 * sizeof(float));
        }
}

/* 3 x 3 binomial. */
static void blur(const float *in, float *out, int size)
{
    static const float weight[3] = {0.25f, 0.5f, 0.25f};
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++)
            for (int c = 0; c < 3; c++) {
                float sum = 0;
                for (int dy = -1; dy <= 1; dy++)
                    for (int dx = -1; dx <= 1; dx++)
                        sum += weight[dy + 1] * weight[dx + 1] *
                               in[((size_t)clamp(y + dy, size) * (size_t)size + (size_t)clamp(x + dx, size)) * 3 +
                                  (size_t)c];
                out[((size_t)y * (size_t)size + (size_t)x) * 3 + (size_t)c] = sum;
            }
}

void eq_augment(eq_rng *rng, float *image, int size, float *work)
{
    size_t count = (size_t)size * (size_t)size * 3;
    int reach = size / 20;
    int dy = (int)eq_rng_below(rng, (uint32_t)(2 * reach + 1)) - reach;
    int dx = (int)eq_rng_below(rng, (uint32_t)(2 * reach + 1)) - reach;
    move(image, work, size, dy, dx, eq_rng_u32(rng) & 1);
    if (eq_rng_uniform(rng) < 0.25f)
        blur(work, image, size);
    else
        memcpy(image, work, count * sizeof(float));

    float contrast = between(rng, 0.85f, 1.15f), brightness = between(rng, -0.12f, 0.12f), tint[3];
    for (int c = 0; c < 3; c++)
        tint[c] = brightness + between(rng, -0.03f, 0.03f);
    for (size_t i = 0; i < count; i++)
        image[i] = image[i] * contrast + tint[i % 3];
    if (eq_rng_uniform(rng) < 0.25f) {
        float spread = between(rng, 0, 0.08f);
        eq_rng_normals(rng, work, count);
        for (size_t i = 0; i < count; i++)
            image[i] += spread * work[i];
    }
    for (size_t i = 0; i < count; i++)
        image[i] = image[i] < -1 ? -1 : image[i] > 1 ? 1 : image[i];
}
