/* Running a text-conditional U-Net as the fixtures give its inputs. */
#ifndef EQ_TESTS_CONDITIONAL_H
#define EQ_TESTS_CONDITIONAL_H

#include <stdlib.h>

#include "kernels/program.h"
#include "models/unet.h"

typedef struct network {
    eq_program *program;
    eq_unet unet;
    int64_t n, in_count, out_count, h_count; /* images, and numbers of all of them */
} network;

/* x_shape: [n, c, h, w] as in the fixture. network_free frees. */
static inline eq_status network_new(eq_context *ctx, const eq_unet_config *config, eq_params *params,
                                    const eq_shape *x_shape, eq_dtype dtype, const char *backend, network *out)
{
    eq_graph *graph = eq_graph_new(ctx, dtype);
    *out = (network){.n = x_shape->dim[0]};
    params->trainable = false;
    eq_status status =
        eq_unet_build(&(eq_builder){graph, params}, config, out->n, x_shape->dim[2], x_shape->dim[3], &out->unet);
    if (status != EQ_OK) {
        eq_graph_free(graph);
        return status;
    }
    out->in_count = eq_shape_count(eq_shape_at(graph, out->unet.sample));
    out->out_count = eq_shape_count(eq_shape_at(graph, out->unet.prediction));
    out->h_count = eq_shape_count(eq_shape_at(graph, out->unet.h));
    return eq_program_compile(graph, &(eq_program_options){.frozen_params = true, .backend = backend}, &out->program);
}

static inline void network_free(network *net)
{
    eq_program_free(net->program);
    *net = (network){0};
}

/* Fills the context with context_rows images' worth, over and over. */
static inline void network_set_context(network *net, const float *context, int64_t context_rows)
{
    const eq_shape *shape = eq_shape_at(eq_program_graph(net->program), net->unet.context);
    size_t row = (size_t)(shape->dim[1] * shape->dim[2]);
    float *to = eq_program_data(net->program, net->unet.context);
    for (int64_t i = 0; i < net->n; i++)
        memcpy(to + (size_t)i * row, context + (size_t)(i % context_rows) * row, row * sizeof(float));
}

/* x: [in_count]; h: [h_count], may be NULL; prediction: [out_count]. Channels last. The context is set before. */
static inline eq_status network_run(network *net, const float *x, float timestep, float *h, float *prediction)
{
    memcpy(eq_program_data(net->program, net->unet.sample), x, (size_t)net->in_count * sizeof(float));
    for (int64_t i = 0; i < net->n; i++)
        ((float *)eq_program_data(net->program, net->unet.timestep))[i] = timestep;
    EQ_TRY(eq_program_run_stage(net->program, EQ_UNET_CONTEXT));
    EQ_TRY(eq_program_run_stage(net->program, EQ_UNET_ENCODE));
    if (h) {
        eq_tensor tensor = {eq_info(eq_program_graph(net->program), net->unet.h)->dtype, eq_shape_of(net->h_count),
                            eq_program_data(net->program, net->unet.h)};
        eq_tensor_to_f32(&tensor, h);
    }
    EQ_TRY(eq_program_run_stage(net->program, EQ_UNET_DECODE));
    memcpy(prediction, eq_program_data(net->program, net->unet.prediction), (size_t)net->out_count * sizeof(float));
    return EQ_OK;
}

#endif
