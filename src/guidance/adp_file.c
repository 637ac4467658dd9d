#include "guidance/adp_file.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "guidance/adp_import.h"
#include "guidance/target.h"
#include "io/json.h"
#include "io/safetensors.h"

enum { MAX_HEADS = 1000, MAX_HIDDEN = 1 << 16 };
static const double MAX_FACTOR = 1e9;
static const char format_name[] = "equipoise attribute predictor 1";

/* --- reading --- */

static eq_status read_attribute(eq_context *ctx, const eq_json *json, eq_attribute *out)
{
    const char *classes[EQ_ADP_CLASSES];
    *out = (eq_attribute){0};
    eq_attribute view = {0};
    EQ_TRY(eq_json_string(ctx, json, "attribute", &view.name));
    EQ_TRY(eq_json_strings(ctx, json, "classes", EQ_ADP_CLASSES, classes, &view.classes));
    if (view.classes < 2)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: classes: 2 or more, not %d", json->where, view.classes);
    view.class_names = classes;
    return eq_attribute_copy(ctx, &view, out);
}

static eq_status read_shape(eq_context *ctx, const eq_json *json, eq_shape *out)
{
    EQ_TRY(eq_json_ints(ctx, json, "h_shape", 1, 1 << 20, 3, out->dim, &out->rank));
    int64_t count;
    if (out->rank != 3 || !eq_shape_checked_count(out, sizeof(float), &count) || count > 1 << 26)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: h_shape: [height, width, channels] expected", json->where);
    return EQ_OK;
}

static eq_status read_timesteps(eq_context *ctx, const eq_json *json, int64_t *timesteps, int *count)
{
    EQ_TRY(eq_json_ints(ctx, json, "timesteps", 0, 1000000, MAX_HEADS, timesteps, count));
    for (int i = 1; i < *count; i++)
        if (timesteps[i] <= timesteps[i - 1])
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: timesteps must ascend, but %lld follows %lld", json->where,
                           (long long)timesteps[i], (long long)timesteps[i - 1]);
    return *count > 0 ? EQ_OK : eq_fail(ctx, EQ_BAD_INPUT, "%s: timesteps: none", json->where);
}

/* Optional array of one number a head, null for NaN; *out stays NULL where it is not there. */
static eq_status read_numbers(eq_context *ctx, const eq_json *json, const char *key, int heads, float **out)
{
    json_t *array = json_object_get(json->object, key);
    if (!array)
        return EQ_OK;
    if (!json_is_array(array) || (int)json_array_size(array) != heads)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s: an array of %d numbers expected", json->where, key, heads);
    *out = calloc((size_t)heads, sizeof **out);
    if (!*out)
        return eq_fail_memory(ctx, "heads");
    for (int i = 0; i < heads; i++) {
        const json_t *item = json_array_get(array, (size_t)i);
        if (!json_is_number(item) && !json_is_null(item))
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s: numbers expected", json->where, key);
        (*out)[i] = json_is_null(item) ? NAN : (float)json_number_value(item);
    }
    return EQ_OK;
}

void eq_adp_to_channels_last(const float *from, const eq_shape *h_shape, float *to)
{
    int64_t pixels = h_shape->dim[0] * h_shape->dim[1], channels = h_shape->dim[2];
    for (int64_t p = 0; p < pixels; p++)
        for (int64_t c = 0; c < channels; c++)
            to[p * channels + c] = from[c * pixels + p];
}

static eq_status read_tensor(eq_context *ctx, const eq_tensor_file *file, const char *name, eq_shape shape, float *out)
{
    eq_tensor tensor;
    EQ_TRY(eq_tensor_file_get(ctx, file, name, shape, &tensor));
    eq_tensor_to_f32(&tensor, out);
    return EQ_OK;
}

/* rows x h_count numbers of the tensor `name`, planar in the file. */
static eq_status read_planar(eq_context *ctx, const eq_tensor_file *file, const char *name, eq_shape shape,
                             const eq_adp *adp, int64_t rows, float *out)
{
    float *planar = malloc((size_t)(rows * adp->h_count) * sizeof *planar);
    if (!planar)
        return eq_fail_memory(ctx, "heads");
    eq_status status = read_tensor(ctx, file, name, shape, planar);
    for (int64_t r = 0; status == EQ_OK && r < rows; r++)
        eq_adp_to_channels_last(planar + r * adp->h_count, &adp->h_shape, out + r * adp->h_count);
    free(planar);
    return status;
}

/* The class directions are optional: heads made elsewhere do not have them. */
static eq_status read_direction(eq_context *ctx, const eq_tensor_file *file, eq_adp *adp)
{
    const int64_t *d = adp->h_shape.dim;
    int classes = adp->attribute.classes;
    int64_t rows = (int64_t)adp->heads * classes;
    if (!eq_tensor_file_find(file, "direction"))
        return EQ_OK;
    adp->direction = malloc((size_t)(rows * adp->h_count) * sizeof *adp->direction);
    if (!adp->direction)
        return eq_fail_memory(ctx, "heads");
    return read_planar(ctx, file, "direction", eq_shape_of(adp->heads, classes, d[2], d[0], d[1]), adp, rows,
                       adp->direction);
}

static eq_status read_weights(eq_context *ctx, const eq_tensor_file *file, eq_adp *adp)
{
    int outputs = adp->hidden > 0 ? adp->hidden : adp->attribute.classes, classes = adp->attribute.classes;
    const int64_t *d = adp->h_shape.dim;
    eq_status status = read_planar(ctx, file, "weight", eq_shape_of(adp->heads, outputs, d[2], d[0], d[1]), adp,
                                   (int64_t)adp->heads * outputs, adp->weight);
    if (status == EQ_OK)
        status = read_direction(ctx, file, adp);
    if (status == EQ_OK)
        status = read_tensor(ctx, file, "bias", eq_shape_of(adp->heads, outputs), adp->bias);
    if (status == EQ_OK && adp->hidden > 0)
        status = read_tensor(ctx, file, "weight2", eq_shape_of(adp->heads, classes, adp->hidden), adp->weight2);
    if (status == EQ_OK && adp->hidden > 0)
        status = read_tensor(ctx, file, "bias2", eq_shape_of(adp->heads, classes), adp->bias2);
    return status;
}

/* "strengths": {METHOD: FACTOR, ...}; "strength" alone, as older files have it, is of all methods. */
static eq_status read_factors(eq_context *ctx, const eq_json *json, eq_adp *out)
{
    const char *method;
    json_t *value, *object = json_object_get(json->object, "strengths");
    EQ_TRY(eq_json_float_or(ctx, json, "strength", 0, 0, MAX_FACTOR, &out->strength));
    if (object && !json_is_object(object))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: strengths: an object of numbers expected", json->where);
    json_object_foreach(object, method, value)
    {
        double factor = json_number_value(value);
        if (!json_is_number(value) || !(factor > 0 && factor <= MAX_FACTOR))
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: strengths: %.60s: a number above 0 expected", json->where, method);
        if (eq_adp_set_factor(ctx, out, method, factor) != EQ_OK)
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: strengths: at most %d methods, of names below %d characters",
                           json->where, EQ_ADP_FACTORS, EQ_ADP_METHOD_NAME);
    }
    return EQ_OK;
}

static eq_status read_body(eq_context *ctx, const eq_tensor_file *file, const eq_json *json,
                           const eq_attribute *attribute, eq_adp *out)
{
    int64_t timesteps[MAX_HEADS], hidden;
    int heads;
    eq_shape h_shape = {0};
    eq_tensor weight;
    const char *model, *labeller;
    EQ_TRY(read_timesteps(ctx, json, timesteps, &heads));
    EQ_TRY(read_shape(ctx, json, &h_shape));
    EQ_TRY(eq_json_int_or(ctx, json, "hidden", 0, 0, MAX_HIDDEN, &hidden));
    EQ_TRY(eq_json_string_or(ctx, json, "model", "", &model));
    EQ_TRY(eq_json_string_or(ctx, json, "labeller", "", &labeller));
    /* Memory is taken only once the file is known to hold as much as its settings say. */
    int outputs = hidden > 0 ? (int)hidden : attribute->classes;
    EQ_TRY(eq_tensor_file_get(ctx, file, "weight",
                              eq_shape_of(heads, outputs, h_shape.dim[2], h_shape.dim[0], h_shape.dim[1]), &weight));
    EQ_TRY(eq_adp_new(ctx, attribute, heads, h_shape, (int)hidden, out));
    memcpy(out->timesteps, timesteps, (size_t)heads * sizeof *timesteps);
    snprintf(out->model_hash, sizeof out->model_hash, "%s", model);
    snprintf(out->labeller, sizeof out->labeller, "%s", labeller);
    EQ_TRY(eq_json_float_or(ctx, json, "temperature", 8, 1e-3, 1e6, &out->temperature));
    EQ_TRY(read_factors(ctx, json, out));
    EQ_TRY(read_numbers(ctx, json, "accuracy", heads, &out->accuracy));
    EQ_TRY(read_numbers(ctx, json, "outcome_accuracy", heads, &out->outcome_accuracy));
    return read_weights(ctx, file, out);
}

static eq_status read_file(eq_context *ctx, const eq_tensor_file *file, eq_adp *out)
{
    const char *format = eq_tensor_file_metadata(file, "format"), *text = eq_tensor_file_metadata(file, "settings");
    int published = eq_adp_import_heads(file);
    if (published > 0)
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: %d heads in the published form, which does not say what they tell apart; name the "
                       "attribute and its classes in the heads' order, as in gender=female,male:%s",
                       file->path, published, file->path);
    if (!format || strcmp(format, format_name) != 0 || !text)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: not an attribute predictor; `equipoise train adp` makes them",
                       file->path);
    eq_json json;
    EQ_TRY(eq_json_parse(ctx, text, strlen(text), file->path, &json));
    eq_attribute attribute;
    eq_status status = read_attribute(ctx, &json, &attribute);
    if (status == EQ_OK)
        status = read_body(ctx, file, &json, &attribute, out);
    eq_attribute_clear(&attribute);
    eq_json_close(&json);
    return status;
}

/* Closes the file. */
static eq_status read_and_close(eq_context *ctx, eq_tensor_file *file, eq_adp *out)
{
    eq_status status = read_file(ctx, file, out);
    eq_tensor_file_close(file);
    if (status != EQ_OK)
        eq_adp_free(out);
    return status;
}

eq_status eq_adp_read(eq_context *ctx, const char *path, eq_adp *out)
{
    *out = (eq_adp){0};
    eq_tensor_file file;
    EQ_TRY(eq_tensor_file_open(ctx, path, &file));
    return read_and_close(ctx, &file, out);
}

eq_status eq_adp_from_memory(eq_context *ctx, const uint8_t *bytes, size_t size, const char *name, eq_adp *out)
{
    *out = (eq_adp){0};
    eq_tensor_file file;
    EQ_TRY(eq_tensor_file_from_memory(ctx, bytes, size, name, &file));
    return read_and_close(ctx, &file, out);
}

/* --- writing --- */

static char *settings_text(const eq_adp *adp)
{
    json_t *classes = json_array(), *timesteps = json_array();
    for (int k = 0; k < adp->attribute.classes; k++)
        json_array_append_new(classes, json_string(adp->attribute.class_names[k]));
    for (int i = 0; i < adp->heads; i++)
        json_array_append_new(timesteps, json_integer(adp->timesteps[i]));
    const int64_t *d = adp->h_shape.dim;
    json_t *root =
        json_pack("{s:s, s:o, s:o, s:[I,I,I], s:i, s:s, s:f}", "attribute", adp->attribute.name, "classes", classes,
                  "timesteps", timesteps, "h_shape", (json_int_t)d[0], (json_int_t)d[1], (json_int_t)d[2], "hidden",
                  adp->hidden, "model", adp->model_hash, "temperature", adp->temperature);
    if (adp->labeller[0])
        json_object_set_new(root, "labeller", json_string(adp->labeller));
    if (adp->strength > 0)
        json_object_set_new(root, "strength", json_real(adp->strength));
    if (adp->factor_count > 0) {
        json_t *factors = json_object();
        for (int i = 0; i < adp->factor_count; i++)
            json_object_set_new(factors, adp->factors[i].method, json_real(adp->factors[i].value));
        json_object_set_new(root, "strengths", factors);
    }
    if (adp->accuracy)
        json_object_set_new(root, "accuracy", eq_json_numbers(adp->accuracy, adp->heads));
    if (adp->outcome_accuracy)
        json_object_set_new(root, "outcome_accuracy", eq_json_numbers(adp->outcome_accuracy, adp->heads));
    char *text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(7));
    json_decref(root);
    return text;
}

/* rows x count floats as f16, each row turned to [c, h, w] when h_shape is given. Malloc'ed. */
static uint16_t *halves(const float *values, int64_t rows, int64_t count, const eq_shape *h_shape)
{
    uint16_t *out = malloc((size_t)(rows * count) * sizeof *out);
    int64_t channels = h_shape ? h_shape->dim[2] : 1, pixels = count / channels;
    for (int64_t r = 0; out && r < rows; r++)
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t c = 0; c < channels; c++)
                out[r * count + c * pixels + p] = eq_f32_to_f16(values[r * count + p * channels + c]);
    return out;
}

/* f16 ends at 65504; what is not finite already would make every image so. */
static bool fits_half(const float *values, int64_t count)
{
    for (int64_t i = 0; values && i < count; i++)
        if (!(fabsf(values[i]) < 65520.0f))
            return false;
    return true;
}

static eq_status write_heads(eq_context *ctx, const char *path, const eq_adp *adp)
{
    int outputs = adp->hidden > 0 ? adp->hidden : adp->attribute.classes, classes = adp->attribute.classes;
    const int64_t *d = adp->h_shape.dim;
    int heads = adp->heads;
    eq_named_tensor tensors[5];
    void *owned[3] = {halves(adp->weight, (int64_t)heads * outputs, adp->h_count, &adp->h_shape),
                      adp->direction ? halves(adp->direction, (int64_t)heads * classes, adp->h_count, &adp->h_shape)
                                     : NULL,
                      adp->hidden > 0 ? halves(adp->weight2, (int64_t)heads * classes, adp->hidden, NULL) : NULL};
    size_t count = 0;
    tensors[count++] = (eq_named_tensor){"weight", {EQ_F16, eq_shape_of(heads, outputs, d[2], d[0], d[1]), owned[0]}};
    tensors[count++] = (eq_named_tensor){"bias", {EQ_F32, eq_shape_of(heads, outputs), adp->bias}};
    if (adp->direction)
        tensors[count++] =
            (eq_named_tensor){"direction", {EQ_F16, eq_shape_of(heads, classes, d[2], d[0], d[1]), owned[1]}};
    if (adp->hidden > 0) {
        tensors[count++] = (eq_named_tensor){"weight2", {EQ_F16, eq_shape_of(heads, classes, adp->hidden), owned[2]}};
        tensors[count++] = (eq_named_tensor){"bias2", {EQ_F32, eq_shape_of(heads, classes), adp->bias2}};
    }
    char *settings = settings_text(adp);
    bool complete = settings && owned[0] && (!adp->direction || owned[1]) && (adp->hidden == 0 || owned[2]);
    eq_metadata metadata[] = {{"format", format_name}, {"settings", settings}};
    eq_status status =
        complete ? eq_safetensors_write(ctx, path, tensors, count, metadata, 2) : eq_fail_memory(ctx, "heads");
    for (int i = 0; i < 3; i++)
        free(owned[i]);
    free(settings);
    return status;
}

eq_status eq_adp_write(eq_context *ctx, const char *path, const eq_adp *adp)
{
    int outputs = adp->hidden > 0 ? adp->hidden : adp->attribute.classes;
    int64_t rows = (int64_t)adp->heads * outputs, rows2 = (int64_t)adp->heads * adp->attribute.classes;
    if (!fits_half(adp->weight, rows * adp->h_count) || !fits_half(adp->weight2, rows2 * adp->hidden) ||
        !fits_half(adp->direction, rows2 * adp->h_count))
        return eq_fail(ctx, EQ_FAILED,
                       "%s: the heads of \"%s\" have weights or class directions that are not finite or above "
                       "65504, which is no use; train them at a lower --learning-rate",
                       path, adp->attribute.name);
    return write_heads(ctx, path, adp);
}

eq_status eq_adp_check_model(eq_context *ctx, const eq_adp *adp, const char *path, const char *model_hash,
                             const eq_shape *h_shape)
{
    if (!eq_shape_equal(&adp->h_shape, h_shape))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: its heads read h of %s, this model's is %s ([h, w, c])", path,
                       eq_shape_format(&adp->h_shape).text, eq_shape_format(h_shape).text);
    if (adp->model_hash[0] && strcmp(adp->model_hash, model_hash) != 0)
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: its heads were trained on the model with SHA-256 %.12s..., this one is %.12s...; train "
                       "heads for it with `equipoise train adp`",
                       path, adp->model_hash, model_hash);
    return EQ_OK;
}
