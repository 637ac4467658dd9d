#include "tensor/params.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/rng.h"

eq_params *eq_params_new(eq_context *ctx)
{
    eq_params *params = calloc(1, sizeof *params);
    if (params)
        params->ctx = ctx;
    return params;
}

void eq_params_free(eq_params *params)
{
    if (!params)
        return;
    for (int i = 0; i < params->count; i++) {
        free(params->items[i].name);
        free(params->items[i].owned);
    }
    free(params->items);
    eq_buffer_free(params->storage);
    free(params);
}

eq_param *eq_params_find(const eq_params *params, const char *name)
{
    for (int i = 0; i < params->count; i++)
        if (strcmp(params->items[i].name, name) == 0)
            return &params->items[i];
    return NULL;
}

static eq_param *declare(eq_params *params, const char *name, eq_shape shape, eq_init init, int64_t fan_in)
{
    if (params->count == params->capacity) {
        int capacity = params->capacity ? 2 * params->capacity : 64;
        eq_param *items = realloc(params->items, (size_t)capacity * sizeof *items);
        if (!items)
            return NULL;
        params->items = items;
        params->capacity = capacity;
    }
    char *copy = strdup(name);
    if (!copy)
        return NULL;
    eq_param *param = &params->items[params->count++];
    *param = (eq_param){.name = copy, .tensor = {.dtype = EQ_F32, .shape = shape}, .init = init, .fan_in = fan_in};
    params->total += eq_shape_count(&shape);
    return param;
}

eq_value eq_params_value(eq_params *params, eq_graph *graph, eq_shape shape, eq_init init, int64_t fan_in,
                         const char *name, ...)
{
    if (graph->status != EQ_OK)
        return EQ_NONE;
    char full[256];
    va_list args;
    va_start(args, name);
    vsnprintf(full, sizeof full, name, args);
    va_end(args);
    eq_param *param = eq_params_find(params, full);
    if (!param && params->declaring && !(param = declare(params, full, shape, init, fan_in)))
        graph->status = eq_fail_memory(graph->ctx, "the list of parameters");
    else if (!param)
        graph->status = eq_fail(graph->ctx, EQ_FAILED, "the network has no parameter %s", full);
    else if (!eq_shape_equal(&param->tensor.shape, &shape))
        graph->status = eq_fail(graph->ctx, EQ_FAILED, "parameter %s is %s, the network wants %s", full,
                                eq_shape_format(&param->tensor.shape).text, eq_shape_format(&shape).text);
    return graph->status == EQ_OK ? eq_graph_param(graph, full, &param->tensor, params->trainable) : EQ_NONE;
}

eq_status eq_params_allocate(eq_params *params)
{
    float *storage = eq_buffer_new((size_t)params->total * sizeof(float));
    if (!storage)
        return eq_fail_memory(params->ctx, "the network's parameters");
    float *next = storage;
    for (int i = 0; i < params->count; i++) {
        eq_tensor *tensor = &params->items[i].tensor;
        if (tensor->data)
            eq_tensor_to_f32(tensor, next);
        free(params->items[i].owned);
        params->items[i].owned = NULL;
        tensor->data = next;
        tensor->dtype = EQ_F32;
        next += eq_shape_count(&tensor->shape);
    }
    eq_buffer_free(params->storage);
    params->storage = storage;
    return EQ_OK;
}

void eq_params_initialise(eq_params *params, uint64_t seed)
{
    for (int i = 0; i < params->count; i++) {
        const eq_param *param = &params->items[i];
        float *data = param->tensor.data;
        int64_t count = eq_shape_count(&param->tensor.shape);
        eq_rng rng = eq_rng_make(seed, eq_hash_name(param->name), 0);
        float bound = 1.0f / sqrtf((float)(param->fan_in > 0 ? param->fan_in : 1));
        for (int64_t k = 0; k < count; k++) {
            switch (param->init) {
            case EQ_INIT_UNIFORM: data[k] = bound * (2.0f * eq_rng_uniform(&rng) - 1.0f); break;
            case EQ_INIT_NORMAL: data[k] = 0.02f * eq_rng_normal(&rng); break;
            case EQ_INIT_ZEROS: data[k] = 0.0f; break;
            case EQ_INIT_ONES: data[k] = 1.0f; break;
            }
        }
    }
}
