#include "train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "io/safetensors.h"
#include "ops/autodiff.h"

/* Binds the gradient of each parameter to its place in the flat array. */
static eq_status bind_gradients(eq_trainer *trainer, eq_graph *graph, int count, const eq_value *wanted,
                                const eq_value *gradients)
{
    for (int i = 0; i < count; i++) {
        if (gradients[i] == EQ_NONE)
            continue; /* the loss does not depend on it: its gradient stays zero */
        const float *parameter = graph->values[wanted[i]].data;
        graph->values[gradients[i]].data = trainer->gradients + (parameter - trainer->params->storage);
        eq_graph_output(graph, gradients[i], NULL);
    }
    return graph->status;
}

static eq_status differentiate(eq_trainer *trainer, eq_graph *graph, eq_value loss)
{
    size_t most = (size_t)graph->value_count + 1;
    eq_value *wanted = malloc(2 * most * sizeof *wanted);
    if (!wanted)
        return eq_fail_memory(trainer->ctx, "the backward graph");
    eq_value *gradients = wanted + most;
    int count = 0;
    for (eq_value v = 0; v < graph->value_count; v++)
        if (graph->values[v].kind == EQ_VALUE_PARAM && graph->values[v].trainable)
            wanted[count++] = v;
    eq_status status = eq_graph_backward(graph, loss, count, wanted, gradients);
    if (status == EQ_OK)
        status = bind_gradients(trainer, graph, count, wanted, gradients);
    free(wanted);
    /* Training runs everything at once: encode's activations are wanted by the backward pass anyway. */
    for (int32_t n = 0; n < graph->node_count; n++)
        graph->nodes[n].stage = 0;
    graph->stage = 0;
    return status;
}

/* Views, which eq_params_allocate copies. */
static eq_status start_from(eq_params *params, const eq_params *initial)
{
    if (initial->count != params->count)
        return eq_fail(params->ctx, EQ_BAD_USAGE, "the network has %d parameters, the one to start from %d",
                       params->count, initial->count);
    for (int i = 0; i < params->count; i++) {
        const eq_param *from = &initial->items[i];
        if (!eq_shape_equal(&from->tensor.shape, &params->items[i].tensor.shape))
            return eq_fail(params->ctx, EQ_BAD_USAGE, "%s is not of the shape that it has in the model to start from",
                           params->items[i].name);
        params->items[i].tensor = from->tensor;
    }
    return EQ_OK;
}

eq_status eq_params_start(eq_params *params, const eq_params *initial, uint64_t seed)
{
    if (initial)
        EQ_TRY(start_from(params, initial));
    EQ_TRY(eq_params_allocate(params));
    if (!initial)
        eq_params_initialise(params, seed);
    return EQ_OK;
}

eq_status eq_trainer_open(eq_context *ctx, eq_params *params, eq_graph *graph, eq_value loss,
                          const eq_optimiser_options *options, eq_trainer *out)
{
    *out = (eq_trainer){.ctx = ctx, .params = params, .loss = loss};
    eq_status status = graph->status;
    out->gradients = eq_buffer_new((size_t)params->total * sizeof(float));
    if (status == EQ_OK && !out->gradients)
        status = eq_fail_memory(ctx, "gradients");
    if (status == EQ_OK)
        status = differentiate(out, graph, loss);
    if (status == EQ_OK) {
        eq_graph_output(graph, loss, "loss");
        status = eq_program_compile(graph, &(eq_program_options){.frozen_params = false}, &out->program);
    } else {
        eq_graph_free(graph);
    }
    if (status == EQ_OK)
        status = eq_optimiser_open(ctx, options, params->storage, (size_t)params->total, &out->optimiser);
    if (status != EQ_OK)
        eq_trainer_close(out);
    return status;
}

void eq_trainer_close(eq_trainer *trainer)
{
    eq_program_free(trainer->program);
    eq_optimiser_close(&trainer->optimiser);
    eq_buffer_free(trainer->gradients);
    *trainer = (eq_trainer){0};
}

eq_status eq_trainer_step(eq_trainer *trainer, double *loss, double *gradient_norm)
{
    EQ_TRY(eq_program_run(trainer->program));
    *loss = *(const float *)eq_program_data(trainer->program, trainer->loss);
    *gradient_norm = eq_optimiser_step(&trainer->optimiser, trainer->params->storage, trainer->gradients);
    if (isfinite(*loss) && isfinite(*gradient_norm))
        return EQ_OK;
    return eq_fail(trainer->ctx, EQ_FAILED,
                   "training diverged at step %lld: loss %g, gradient norm %g; try a lower --learning-rate or float32",
                   (long long)trainer->optimiser.step, *loss, *gradient_norm);
}

void eq_trainer_swap_average(eq_trainer *trainer)
{
    float *parameters = trainer->params->storage, *average = trainer->optimiser.average;
    for (int64_t i = 0; i < trainer->params->total; i++) {
        float kept = parameters[i];
        parameters[i] = average[i];
        average[i] = kept;
    }
}

/* The flat arrays of a checkpoint: one tensor each. */
enum { CHECKPOINT_ARRAYS = 4, MAX_STEPS = 1000000000 };

static void checkpoint_arrays(const eq_trainer *trainer, eq_named_tensor arrays[CHECKPOINT_ARRAYS])
{
    eq_shape shape = eq_shape_of(trainer->params->total);
    const eq_optimiser *o = &trainer->optimiser;
    arrays[0] = (eq_named_tensor){"parameters", {EQ_F32, shape, trainer->params->storage}};
    arrays[1] = (eq_named_tensor){"first_moment", {EQ_F32, shape, o->first_moment}};
    arrays[2] = (eq_named_tensor){"second_moment", {EQ_F32, shape, o->second_moment}};
    arrays[3] = (eq_named_tensor){"average", {EQ_F32, shape, o->average}};
}

eq_status eq_trainer_save(const eq_trainer *trainer, const char *path, const char *settings)
{
    eq_named_tensor arrays[CHECKPOINT_ARRAYS];
    checkpoint_arrays(trainer, arrays);
    char step[32];
    snprintf(step, sizeof step, "%lld", (long long)trainer->optimiser.step);
    eq_metadata metadata[] = {{"step", step}, {"settings", settings ? settings : ""}};
    return eq_safetensors_write(trainer->ctx, path, arrays, CHECKPOINT_ARRAYS, metadata, 2);
}

static eq_status restore(eq_trainer *trainer, const eq_tensor_file *file, const char *settings)
{
    const char *step = eq_tensor_file_metadata(file, "step"), *theirs = eq_tensor_file_metadata(file, "settings");
    char *end = NULL;
    long long steps = step ? strtoll(step, &end, 10) : -1;
    if (steps < 0 || steps > MAX_STEPS || end == step || *end || !theirs)
        return eq_fail(trainer->ctx, EQ_BAD_INPUT, "%s: not a training checkpoint", file->path);
    if (strcmp(theirs, settings ? settings : "") != 0)
        return eq_fail(trainer->ctx, EQ_BAD_INPUT,
                       "%s: was made with other settings (%s, now %s); use the same, or another --out", file->path,
                       theirs, settings ? settings : "");
    eq_named_tensor arrays[CHECKPOINT_ARRAYS];
    checkpoint_arrays(trainer, arrays);
    for (int i = 0; i < CHECKPOINT_ARRAYS; i++) {
        eq_tensor found;
        EQ_TRY(eq_tensor_file_get(trainer->ctx, file, arrays[i].name, arrays[i].tensor.shape, &found));
        eq_tensor_to_f32(&found, arrays[i].tensor.data);
    }
    trainer->optimiser.step = steps;
    return EQ_OK;
}

eq_status eq_trainer_load(eq_trainer *trainer, const char *path, const char *settings)
{
    eq_tensor_file file;
    EQ_TRY(eq_tensor_file_open(trainer->ctx, path, &file));
    eq_status status = restore(trainer, &file, settings);
    eq_tensor_file_close(&file);
    return status;
}
