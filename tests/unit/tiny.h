/* What the unit tests of networks, guidance and training share: a U-Net small enough for them, with random parameters,
 * predictors of its h, and assertions that show the library's message. */
#ifndef EQ_TESTS_UNIT_TINY_H
#define EQ_TESTS_UNIT_TINY_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "base/rng.h"
#include "diffusion/model.h"
#include "guidance/adp.h"
#include "models/unet.h"

/* `ctx` is the test's context. */
#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != EQ_OK)                                                                                           \
            fail_msg("%s: %s", #call, eq_last_error(ctx));                                                             \
    } while (0)

/* The call must fail with that status and a message that has `part` in it. */
#define assert_fails(call, expected, part)                                                                             \
    do {                                                                                                               \
        eq_status assert_status_ = (call);                                                                             \
        if (assert_status_ != (expected))                                                                              \
            fail_msg("%s: %s expected, not %s (%s)", #call, eq_status_name(expected), eq_status_name(assert_status_),  \
                     eq_last_error(ctx));                                                                              \
        if (!strstr(eq_last_error(ctx), part))                                                                         \
            fail_msg("%s: the message \"%s\" does not say \"%s\"", #call, eq_last_error(ctx), part);                   \
    } while (0)

#define assert_near(found, expected, tolerance)                                                                        \
    do {                                                                                                               \
        double found_ = (found), expected_ = (expected), tolerance_ = (tolerance);                                     \
        if (!(fabs(found_ - expected_) <= tolerance_))                                                                 \
            fail_msg("%s: expected %.9g, found %.9g, further apart than %g", #found, expected_, found_, tolerance_);   \
    } while (0)

/* What float32 may differ by where the same is computed in another order (the kernels take images together, and how
 * depends on their number): of one call of a network, and of a trajectory, which multiplies it. */
#define TINY_CALL_ERROR       1e-5
#define TINY_TRAJECTORY_ERROR 1e-4

/* |a - b| / |b| */
static inline double tiny_relative_error(const float *a, const float *b, size_t count)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)b[i] * b[i];
    }
    return sqrt(difference / (size > 0 ? size : 1));
}

/* [count] standard normals; malloc'ed */
static inline float *tiny_normals(uint64_t seed, size_t count)
{
    float *values = malloc(count * sizeof *values);
    eq_rng rng = eq_rng_make(seed, 0, 0x7E57u);
    if (values)
        eq_rng_normals(&rng, values, count);
    return values;
}

/* 16x16 pixels, two levels, attention in the lower one and the middle; h is [8, 8, 16]. */
static inline eq_unet_config tiny_unet(void)
{
    return (eq_unet_config){.sample_size = 16,
                            .in_channels = 3,
                            .out_channels = 3,
                            .levels = 2,
                            .block_out_channels = {8, 16},
                            .down_attention = {false, true},
                            .up_attention = {true, false},
                            .mid_attention = true,
                            .layers_per_block = 1,
                            .heads = {1, 2},
                            .norm_num_groups = 4,
                            .norm_eps = 1e-5f,
                            .flip_sin_to_cos = true,
                            .downsample_padding = 1,
                            .mid_block_scale_factor = 1.0f};
}
enum { TINY_SIDE = 16, TINY_PIXELS = TINY_SIDE * TINY_SIDE * 3, TINY_H = 8 * 8 * 16 };

/* Fresh parameters, with random numbers also where a fresh network has zeros: there h would not reach the output. NULL
 * on failure. */
static inline eq_params *tiny_params(eq_context *ctx, const eq_unet_config *config, uint64_t seed)
{
    eq_params *params = eq_params_new(ctx);
    if (!params || eq_unet_declare(params, config) != EQ_OK || eq_params_allocate(params) != EQ_OK) {
        eq_params_free(params);
        return NULL;
    }
    eq_params_initialise(params, seed);
    eq_rng rng = eq_rng_make(seed, 0, 0x2E20u);
    for (int i = 0; i < params->count; i++) {
        float *data = params->items[i].tensor.data;
        for (int64_t k = 0;
             params->items[i].init == EQ_INIT_ZEROS && k < eq_shape_count(&params->items[i].tensor.shape); k++)
            data[k] = 0.1f * eq_rng_normal(&rng);
    }
    return params;
}

/* Writes a model folder. */
static inline eq_status tiny_model(eq_context *ctx, const char *folder, const eq_unet_config *config, uint64_t seed)
{
    eq_schedule_config schedule_config = eq_schedule_config_default();
    eq_schedule schedule = {0};
    eq_params *params = tiny_params(ctx, config, seed);
    eq_status status = params ? eq_schedule_new(ctx, &schedule_config, NULL, &schedule) : EQ_NO_MEMORY;
    if (status == EQ_OK)
        status = eq_model_save(ctx, folder, config, params, &schedule, EQ_F32);
    eq_schedule_free(&schedule);
    eq_params_free(params);
    return status;
}

static inline eq_attribute tiny_gender(void)
{
    static const char *const classes[] = {"female", "male"};
    return (eq_attribute){"gender", 2, classes};
}

static inline eq_attribute tiny_age(void)
{
    static const char *const classes[] = {"young", "middle", "old"};
    return (eq_attribute){"age", 3, classes};
}

/* Random heads at the timesteps first, first + 100, ...; rows of weights of norm about `size`. */
static inline eq_status tiny_adp(eq_context *ctx, const eq_attribute *attribute, int heads, int64_t first, int hidden,
                                 eq_shape h_shape, float size, uint64_t seed, eq_adp *out)
{
    eq_status status = eq_adp_new(ctx, attribute, heads, h_shape, hidden, out);
    if (status != EQ_OK)
        return status;
    eq_rng rng = eq_rng_make(seed, 0, 0xADBu);
    int64_t outputs = hidden > 0 ? hidden : attribute->classes;
    float scale = size / sqrtf((float)out->h_count);
    for (int i = 0; i < heads; i++)
        out->timesteps[i] = first + 100 * i;
    for (int64_t i = 0; i < heads * outputs * out->h_count; i++)
        out->weight[i] = scale * eq_rng_normal(&rng);
    for (int64_t i = 0; i < heads * outputs; i++)
        out->bias[i] = 0.3f * eq_rng_normal(&rng);
    for (int64_t i = 0; i < (int64_t)heads * attribute->classes * hidden; i++)
        out->weight2[i] = eq_rng_normal(&rng) / sqrtf((float)hidden);
    for (int64_t i = 0; hidden > 0 && i < (int64_t)heads * attribute->classes; i++)
        out->bias2[i] = 0.3f * eq_rng_normal(&rng);
    return EQ_OK;
}

#endif
