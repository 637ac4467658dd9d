/* Files of tensors. */
#include "inspect_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "guidance/adp_file.h"
#include "guidance/adp_import.h"
#include "io/json.h"
#include "models/family.h"
#include "train/h_store.h"

static const char *metadata(const inspect_subject *s, const char *key)
{
    const char *value = eq_tensor_file_metadata(&s->tensors, key);
    return value ? value : "";
}

/* --- training checkpoints --- */

bool inspect_has_checkpoint(const eq_tensor_file *file)
{
    return eq_tensor_file_metadata(file, "step") && eq_tensor_file_metadata(file, "settings") &&
           eq_tensor_file_find(file, "parameters") && eq_tensor_file_find(file, "first_moment");
}

void inspect_put_checkpoint(json_t *json, const eq_tensor_file *file)
{
    inspect_put_integer(json, "step", strtoll(eq_tensor_file_metadata(file, "step"), NULL, 10));
    inspect_put_integer(json, "parameters", eq_shape_count(&eq_tensor_file_find(file, "parameters")->shape));
    inspect_put_text(json, "settings", eq_tensor_file_metadata(file, "settings"));
}

static bool is_checkpoint(const inspect_subject *s)
{
    return inspect_has_checkpoint(&s->tensors);
}

static eq_status describe_checkpoint(const inspect_subject *s, json_t *json)
{
    inspect_put_checkpoint(json, &s->tensors);
    return EQ_OK;
}

/* --- attribute predictors --- */

static bool is_predictor(const inspect_subject *s)
{
    static const char format[] = "equipoise attribute predictor";
    return strncmp(metadata(s, "format"), format, strlen(format)) == 0;
}

static eq_status describe_predictor(const inspect_subject *s, json_t *json)
{
    eq_adp adp;
    EQ_TRY(eq_adp_read(s->ctx, s->path, &adp));
    inspect_put_text(json, "attribute", adp.attribute.name);
    inspect_put(json, "classes", inspect_classes(&adp.attribute));
    inspect_put_text(json, "head", adp.hidden ? "mlp" : "linear");
    if (adp.hidden)
        inspect_put_integer(json, "hidden", adp.hidden);
    inspect_put_integer(json, "heads", adp.heads);
    inspect_put(json, "timesteps", inspect_integers(adp.timesteps, adp.heads));
    inspect_put(json, "h_shape", inspect_integers(adp.h_shape.dim, adp.h_shape.rank));
    inspect_put(json, "temperature", json_real(adp.temperature));
    if (adp.strength > 0)
        inspect_put(json, "strength", json_real(adp.strength));
    for (int i = 0; i < adp.factor_count; i++) {
        char key[EQ_ADP_METHOD_NAME + 16];
        snprintf(key, sizeof key, "strength of %s", adp.factors[i].method);
        inspect_put(json, key, json_real(adp.factors[i].value));
    }
    if (adp.accuracy)
        inspect_put(json, "accuracy", eq_json_numbers(adp.accuracy, adp.heads));
    if (adp.outcome_accuracy)
        inspect_put(json, "outcome_accuracy", eq_json_numbers(adp.outcome_accuracy, adp.heads));
    if (adp.labeller[0])
        inspect_put_text(json, "labeller", adp.labeller);
    inspect_put(json, "model", adp.model_hash[0] ? json_string(adp.model_hash) : json_null());
    eq_adp_free(&adp);
    return inspect_put_hash(s, json);
}

/* --- h-vectors --- */

static bool is_h_store(const inspect_subject *s)
{
    return strcmp(metadata(s, "format"), "equipoise h-vectors") == 0;
}

static eq_status describe_h_store(const inspect_subject *s, json_t *json)
{
    eq_h_store store;
    EQ_TRY(eq_h_store_open(s->ctx, s->path, &store));
    inspect_put_integer(json, "images", store.images);
    inspect_put(json, "timesteps", inspect_integers(store.timestep, store.timesteps));
    inspect_put(json, "h_shape", inspect_integers(store.h_shape.dim, store.h_shape.rank));
    inspect_put_text(json, "model", store.model_hash);
    eq_h_store_close(&store);
    return EQ_OK;
}

/* --- published heads --- */

static bool is_published(const inspect_subject *s)
{
    return eq_adp_import_heads(&s->tensors) > 0;
}

static eq_status describe_published(const inspect_subject *s, json_t *json)
{
    int heads = eq_adp_import_heads(&s->tensors);
    const eq_tensor *weight = eq_tensor_file_find(&s->tensors, "linears.0.weight");
    if (weight->shape.rank != 2)
        return eq_fail(s->ctx, EQ_BAD_INPUT,
                       "%s: the tensor \"linears.0.weight\" should be [classes, numbers of h], found %s", s->path,
                       eq_shape_format(&weight->shape).text);
    inspect_put_text(json, "container", s->tensors.container);
    inspect_put_text(json, "head", "linear");
    inspect_put_integer(json, "heads", heads);
    inspect_put_integer(json, "classes", weight->shape.dim[0]);
    inspect_put_integer(json, "h_numbers", weight->shape.dim[1]);
    inspect_put_text(json, "dtype", eq_dtype_name(weight->dtype));
    return inspect_put_hash(s, json);
}

/* --- other files --- */

static bool is_tensors(const inspect_subject *s)
{
    return true;
}

/* "f16": {"tensors": 280, "parameters": 1234}, the types that there are */
static json_t *dtypes_json(const eq_tensor_file *file)
{
    int64_t tensors[EQ_DTYPE_COUNT] = {0}, parameters[EQ_DTYPE_COUNT] = {0};
    json_t *json = json_object();
    for (size_t i = 0; i < file->count; i++) {
        const eq_tensor *tensor = &file->entries[i].tensor;
        tensors[tensor->dtype]++;
        parameters[tensor->dtype] += eq_shape_count(&tensor->shape);
    }
    for (int d = 0; d < EQ_DTYPE_COUNT; d++) {
        if (tensors[d] == 0)
            continue;
        json_t *row = json_object();
        inspect_put_integer(row, "tensors", tensors[d]);
        inspect_put_integer(row, "parameters", parameters[d]);
        inspect_put(json, eq_dtype_name((eq_dtype)d), row);
    }
    return json;
}

static json_t *tensors_json(const eq_tensor_file *file)
{
    json_t *array = json_array();
    for (size_t i = 0; i < file->count; i++) {
        const eq_named_tensor *entry = &file->entries[i];
        json_t *row = json_object();
        inspect_put_text(row, "name", entry->name);
        inspect_put_text(row, "dtype", eq_dtype_name(entry->tensor.dtype));
        inspect_put(row, "shape", inspect_integers(entry->tensor.shape.dim, entry->tensor.shape.rank));
        json_array_append_new(array, row);
    }
    return array;
}

static eq_status describe_tensors(const inspect_subject *s, json_t *json)
{
    const eq_tensor_file *file = &s->tensors;
    const eq_family *family;
    int64_t parameters = 0, bytes = 0;
    json_t *notes = json_object();
    for (size_t i = 0; i < file->count; i++) {
        parameters += eq_shape_count(&file->entries[i].tensor.shape);
        bytes += (int64_t)eq_tensor_bytes(&file->entries[i].tensor);
    }
    for (size_t i = 0; i < file->metadata_count; i++)
        inspect_put_text(notes, file->metadata[i].key, file->metadata[i].value);
    inspect_put_text(json, "container", file->container);
    if (eq_checkpoint_family(s->ctx, file, &family) == EQ_OK) {
        inspect_put_text(json, "family", family->title);
        /* A file that cannot be used as the model that it looks like is still one of tensors. */
        if (inspect_put_model(s, json) != EQ_OK)
            inspect_put_text(json, "fault", eq_last_error(s->ctx));
    }
    inspect_put_integer(json, "parameters", parameters);
    inspect_put_integer(json, "bytes", bytes);
    inspect_put(json, "dtypes", dtypes_json(file));
    inspect_put(json, "metadata", notes);
    eq_status status = inspect_put_hash(s, json);
    inspect_put(json, "tensors", tensors_json(file));
    return status;
}

const inspect_kind inspect_tensor_kinds[] = {
    {"attribute predictor", is_predictor, describe_predictor},
    {"published attribute heads", is_published, describe_published},
    {"h-vectors", is_h_store, describe_h_store},
    {"training checkpoint", is_checkpoint, describe_checkpoint},
    {"classifier", inspect_is_classifier, inspect_classifier},
    {"tensors", is_tensors, describe_tensors},
    {0},
};

eq_status inspect_open_tensors(inspect_subject *s)
{
    static const char *const extensions[] = {".safetensors", ".index.json", ".pt", ".pth", ".ckpt", ".bin"};
    bool is = false;
    for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++)
        is = is || eq_path_has_extension(s->path, extensions[i]);
    if (!is)
        EQ_TRY(eq_tensor_file_probe(s->ctx, s->path, &is));
    return is ? eq_tensor_file_open(s->ctx, s->path, &s->tensors) : EQ_OK;
}
