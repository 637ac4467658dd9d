#include "run/saved_run.h"

#include <stdio.h>
#include <stdlib.h>

#include "io/safetensors.h"

enum { FIXED = 9, MOST_TENSORS = FIXED + 2 * EQ_MAX_ADPS, NAME = 320 };

/* The tensors of a checkpoint: views of the generation's arrays and of a group's state. */
typedef struct tensors {
    int count;
    eq_named_tensor item[MOST_TENSORS];
    char names[2 * EQ_MAX_ADPS][NAME];
} tensors;

static void add(tensors *t, const char *name, eq_dtype dtype, eq_shape shape, const void *data)
{
    if (eq_shape_count(&shape) > 0)
        t->item[t->count++] = (eq_named_tensor){name, {dtype, shape, (void *)data}};
}

static void list_rows(const eq_pipeline *pipeline, const eq_generation *g, tensors *t)
{
    add(t, "indices", EQ_I64, eq_shape_of(g->count), g->indices);
    add(t, "batches", EQ_I64, eq_shape_of(g->count), g->batches);
    add(t, "replaces", EQ_I64, eq_shape_of(g->count), g->replaces);
    add(t, "moved", EQ_U8, eq_shape_of(g->count), g->moved);
    add(t, "cells", EQ_I32, eq_shape_of(g->target_count, g->count), g->cells);
    add(t, "strengths", EQ_F64, eq_shape_of(g->attribute_count), g->strengths);
    for (int a = 0; a < g->attribute_count; a++) {
        const eq_attribute *attribute = &pipeline->attributes[a];
        char *p = t->names[2 * a], *mean = t->names[2 * a + 1];
        snprintf(p, NAME, "p.%s", attribute->name);
        snprintf(mean, NAME, "mean.%s", attribute->name);
        add(t, p, EQ_F32, eq_shape_of(g->count, attribute->classes), g->predictions[a]);
        add(t, mean, EQ_F64, eq_shape_of(g->steps, attribute->classes), g->mean_per_step[a]);
    }
}

static void list_group(const eq_group_state *s, tensors *t)
{
    add(t, "group.x", EQ_F32, eq_shape_of((int64_t)s->x_count), s->sampling.x);
    add(t, "group.history", EQ_F32, eq_shape_of((int64_t)s->history_count), s->sampling.history);
    add(t, "group.guidance", EQ_U8, eq_shape_of((int64_t)s->guidance_size), s->guidance);
}

eq_status eq_saved_run_write(eq_context *ctx, const char *path, const json_t *run, const eq_pipeline *pipeline,
                             const eq_generation *generation, eq_group *group)
{
    tensors t = {0};
    list_rows(pipeline, generation, &t);
    char next[16] = "", *text = json_dumps(run, JSON_COMPACT);
    if (!text)
        return eq_fail_memory(ctx, "a checkpoint");
    eq_metadata metadata[] = {{"format", "equipoise run checkpoint 1"}, {"run", text}, {"next_call", next}};
    if (group) {
        list_group(eq_group_state_of(group), &t);
        snprintf(next, sizeof next, "%d", eq_group_state_of(group)->sampling.next_call);
    }
    eq_status status = eq_safetensors_write(ctx, path, t.item, (size_t)t.count, metadata, group ? 3 : 2);
    free(text);
    return status;
}

eq_status eq_saved_run_open(eq_context *ctx, const char *path, eq_saved_run *out)
{
    *out = (eq_saved_run){0};
    EQ_TRY(eq_tensor_file_open(ctx, path, &out->file));
    const char *format = eq_tensor_file_metadata(&out->file, "format");
    const char *text = eq_tensor_file_metadata(&out->file, "run");
    eq_status status = EQ_OK;
    if (!format || strcmp(format, "equipoise run checkpoint 1") != 0 || !text)
        status = eq_fail(ctx, EQ_BAD_INPUT, "%s: not the checkpoint of a generation", path);
    else
        status = eq_json_parse(ctx, text, strlen(text), path, &out->run);
    if (status != EQ_OK)
        eq_saved_run_close(out);
    return status;
}

void eq_saved_run_close(eq_saved_run *saved)
{
    eq_json_close(&saved->run);
    if (saved->file.path)
        eq_tensor_file_close(&saved->file);
    *saved = (eq_saved_run){0};
}

static eq_status restore(eq_context *ctx, const eq_saved_run *saved, const tensors *t)
{
    for (int i = 0; i < t->count; i++) {
        eq_tensor found;
        const eq_tensor *wanted = &t->item[i].tensor;
        EQ_TRY(eq_tensor_file_get(ctx, &saved->file, t->item[i].name, wanted->shape, &found));
        if (found.dtype != wanted->dtype)
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: \"%s\" must be %s, not %s", saved->file.path, t->item[i].name,
                           eq_dtype_name(wanted->dtype), eq_dtype_name(found.dtype));
        memcpy(wanted->data, found.data, (size_t)eq_shape_count(&wanted->shape) * eq_dtype_size(wanted->dtype));
    }
    return EQ_OK;
}

eq_status eq_saved_run_rows(eq_context *ctx, const eq_saved_run *saved, const eq_pipeline *pipeline,
                            eq_generation *generation)
{
    tensors t = {0};
    list_rows(pipeline, generation, &t);
    return restore(ctx, saved, &t);
}

bool eq_saved_run_has_group(const eq_saved_run *saved)
{
    return eq_tensor_file_metadata(&saved->file, "next_call") != NULL;
}

eq_status eq_saved_run_group(eq_context *ctx, const eq_saved_run *saved, eq_group *group)
{
    tensors t = {0};
    eq_group_state *state = eq_group_state_of(group);
    list_group(state, &t);
    EQ_TRY(restore(ctx, saved, &t));
    state->sampling.next_call = atoi(eq_tensor_file_metadata(&saved->file, "next_call"));
    return EQ_OK;
}
