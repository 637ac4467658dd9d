/* A network call against a fixture: h and the output of every image of x, at one timestep or each at its own. */
#ifndef EQ_TESTS_NETWORK_H
#define EQ_TESTS_NETWORK_H

#include "diffusion/checkpoint.h"
#include "diffusion/denoiser.h"
#include "reference/compare.h"
#include "reference/fixtures.h"

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != EQ_OK)                                                                                           \
            fail_msg("%s: %s", #call, eq_last_error(ctx));                                                             \
    } while (0)

/* A checkpoint, and what the original implementation computed from it. */
typedef struct network {
    eq_tensor_file weights, reference;
    eq_unet_config unet;
    eq_params *params;
    eq_schedule schedule;
} network;

static inline void network_open(eq_context *ctx, const char *folder, const char *file, eq_family_id expected,
                                network *out)
{
    char path[256];
    *out = (network){.params = eq_params_new(ctx)};
    snprintf(path, sizeof path, "%s/reference.safetensors", folder);
    assert_ok(eq_tensor_file_open(ctx, fixture_path(path), &out->reference));
    snprintf(path, sizeof path, "%s/%s", folder, file);
    assert_ok(eq_tensor_file_open(ctx, fixture_path(path), &out->weights));
    const eq_family *family;
    assert_ok(eq_checkpoint_family(ctx, &out->weights, &family));
    assert_int_equal(family->id, expected);
    assert_ok(eq_checkpoint_load(ctx, family, &out->weights, &out->unet, out->params, &out->schedule));
}

static inline void network_close(network *n)
{
    eq_params_free(n->params);
    eq_schedule_free(&n->schedule);
    eq_tensor_file_close(&n->weights);
    eq_tensor_file_close(&n->reference);
}

/* For `count` images of the reference's x. */
static inline eq_denoiser *network_denoiser(eq_context *ctx, network *n, int64_t count, eq_dtype dtype,
                                            const char *backend)
{
    const eq_tensor *x = eq_tensor_file_find(&n->reference, "x");
    assert_non_null(x);
    assert_int_equal(x->shape.rank, 4);
    eq_denoiser_options options = {.count = count,
                                   .height = (int)x->shape.dim[2],
                                   .width = (int)x->shape.dim[3],
                                   .dtype = dtype,
                                   .backend = backend};
    eq_denoiser *denoiser;
    assert_ok(eq_denoiser_new(ctx, &n->unet, n->params, &options, &denoiser));
    return denoiser;
}

/* The named tensor of the reference, channels last; it must be there and have `count` numbers. */
static inline float *network_expected(const network *n, const char *name, int64_t count)
{
    float *values = channels_last(&n->reference, name);
    assert_non_null(values);
    assert_int_equal(eq_shape_count(&eq_tensor_file_find(&n->reference, name)->shape), count);
    return values;
}

#endif
