#include "guidance/adp_import.h"

#include <stdio.h>
#include <stdlib.h>

#include "guidance/adp_file.h"

/* "linears.7.weight" */
typedef struct tensor_name {
    char text[40];
} tensor_name;

static tensor_name name_of(int head, const char *part)
{
    tensor_name name;
    snprintf(name.text, sizeof name.text, "linears.%d.%s", head, part);
    return name;
}

int eq_adp_import_heads(const eq_tensor_file *file)
{
    int heads = 0;
    while (heads < EQ_ADP_IMPORT_HEADS && eq_tensor_file_find(file, name_of(heads, "weight").text))
        heads++;
    return heads;
}

/* Every tensor must be one of a head's two: what else there is would be left out silently. */
static eq_status check_names(eq_context *ctx, const eq_tensor_file *file, int heads)
{
    if (heads == 0)
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: heads named \"linears.0.weight\" and on expected; found %zu tensors%s%s%s", file->path,
                       file->count, file->count ? ", the first \"" : "", file->count ? file->entries[0].name : "",
                       file->count ? "\"" : "");
    for (size_t i = 0; i < file->count; i++) {
        int head = -1, end = 0;
        const char *name = file->entries[i].name;
        bool known = (sscanf(name, "linears.%d.weight%n", &head, &end) == 1 && end > 0 && !name[end]) ||
                     (sscanf(name, "linears.%d.bias%n", &head, &end) == 1 && end > 0 && !name[end]);
        if (!known || head < 0 || head >= heads)
            return eq_fail(ctx, EQ_BAD_INPUT,
                           "%s: the tensor \"%s\" does not belong to any of the heads linears.0 to linears.%d",
                           file->path, name, heads - 1);
    }
    return EQ_OK;
}

static eq_status check_timesteps(eq_context *ctx, const eq_tensor_file *file, int heads, int count)
{
    if (heads == count || heads == count - 1)
        return EQ_OK;
    return eq_fail(ctx, EQ_BAD_INPUT, "%s: its %d heads are for a run of %d or %d timesteps, not of %d", file->path,
                   heads, heads, heads + 1, count);
}

static eq_status read_head(eq_context *ctx, const eq_tensor_file *file, int head, float *planar, eq_adp *adp)
{
    int classes = adp->attribute.classes;
    eq_tensor weight, bias;
    const eq_tensor *found = eq_tensor_file_find(file, name_of(head, "weight").text);
    if (found->shape.rank == 2 && found->shape.dim[0] != classes)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: the heads tell %lld classes apart, but \"%s\" was given %d names",
                       file->path, (long long)found->shape.dim[0], adp->attribute.name, classes);
    if (found->shape.rank == 2 && found->shape.dim[1] != adp->h_count)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: the heads read h of %lld numbers, this model's has %lld, %s ([h, w, c])",
                       file->path, (long long)found->shape.dim[1], (long long)adp->h_count,
                       eq_shape_format(&adp->h_shape).text);
    EQ_TRY(eq_tensor_file_get(ctx, file, name_of(head, "weight").text, eq_shape_of(classes, adp->h_count), &weight));
    EQ_TRY(eq_tensor_file_get(ctx, file, name_of(head, "bias").text, eq_shape_of(classes), &bias));
    eq_tensor_to_f32(&weight, planar);
    float *out = adp->weight + (int64_t)head * classes * adp->h_count;
    for (int k = 0; k < classes; k++)
        eq_adp_to_channels_last(planar + k * adp->h_count, &adp->h_shape, out + k * adp->h_count);
    eq_tensor_to_f32(&bias, adp->bias + (int64_t)head * classes);
    return EQ_OK;
}

static eq_status read_heads(eq_context *ctx, const eq_tensor_file *file, int heads, const eq_attribute *attribute,
                            eq_shape h_shape, const int64_t *timesteps, eq_adp *out)
{
    EQ_TRY(eq_adp_new(ctx, attribute, heads, h_shape, 0, out));
    memcpy(out->timesteps, timesteps, (size_t)heads * sizeof *timesteps);
    float *planar = malloc((size_t)(attribute->classes * out->h_count) * sizeof *planar);
    eq_status status = planar ? EQ_OK : eq_fail_memory(ctx, "heads");
    for (int i = 0; i < heads && status == EQ_OK; i++)
        status = read_head(ctx, file, i, planar, out);
    free(planar);
    if (status != EQ_OK)
        eq_adp_free(out);
    return status;
}

eq_status eq_adp_import(eq_context *ctx, const char *path, const eq_attribute *attribute, eq_shape h_shape,
                        const int64_t *timesteps, int count, eq_adp *out)
{
    eq_tensor_file file;
    *out = (eq_adp){0};
    EQ_TRY(eq_tensor_file_open(ctx, path, &file));
    int heads = eq_adp_import_heads(&file);
    eq_status status = check_names(ctx, &file, heads);
    if (status == EQ_OK)
        status = check_timesteps(ctx, &file, heads, count);
    if (status == EQ_OK)
        status = read_heads(ctx, &file, heads, attribute, h_shape, timesteps, out);
    eq_tensor_file_close(&file);
    return status;
}
