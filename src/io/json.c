#include "io/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

enum { MAX_FILE_BYTES = 1 << 28 };

eq_status eq_json_parse(eq_context *ctx, const char *text, size_t size, const char *name, eq_json *out)
{
    *out = (eq_json){0};
    json_error_t error;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!root && json_error_code(&error) == json_error_out_of_memory)
        return eq_fail_memory(ctx, name);
    if (!root)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: line %d: not valid JSON: %s", name, error.line, error.text);
    if (!json_is_object(root)) {
        json_decref(root);
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: expected a JSON object, found an array", name);
    }
    out->object = root;
    snprintf(out->where, sizeof out->where, "%s", name);
    return EQ_OK;
}

eq_status eq_json_read(eq_context *ctx, const char *path, eq_json *out)
{
    uint8_t *bytes;
    size_t size;
    *out = (eq_json){0};
    EQ_TRY(eq_file_read(ctx, path, MAX_FILE_BYTES, &bytes, &size));
    eq_status status = eq_json_parse(ctx, (const char *)bytes, size, path, out);
    free(bytes);
    return status;
}

void eq_json_close(eq_json *json)
{
    if (!json)
        return;
    json_decref(json->object);
    *json = (eq_json){0};
}

/* Bytes of the UTF-8 character at `text`, 0 where there is none. */
static int character_length(const char *text)
{
    for (int length = 1; length <= 4 && text[length - 1]; length++) {
        json_t *string = json_stringn(text, (size_t)length); /* refuses what is not UTF-8 */
        json_decref(string);
        if (string)
            return length;
    }
    return 0;
}

json_t *eq_json_numbers(const float *values, int count)
{
    json_t *array = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(array, isfinite(values[i]) ? json_real(values[i]) : json_null());
    return array;
}

json_t *eq_json_text(const char *text)
{
    json_t *string = json_string(text);
    if (string)
        return string;
    char *copy = strdup(text);
    for (char *at = copy; at && *at;) {
        int length = character_length(at);
        if (length == 0)
            *at = '?';
        at += length ? length : 1;
    }
    string = copy ? json_string(copy) : NULL;
    free(copy);
    return string;
}

bool eq_json_has(const eq_json *json, const char *key)
{
    const json_t *value = json_object_get(json->object, key);
    return value && !json_is_null(value);
}

/* "key" of `json` should have been `expected` but is `value`, or missing when that is NULL. */
static eq_status fail_value(eq_context *ctx, const eq_json *json, const char *key, const char *expected,
                            const json_t *value)
{
    enum { SHOWN = 60 };
    if (!value)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: \"%s\" is missing; expected %s", json->where, key, expected);
    char *found = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
    if (!found)
        return eq_fail_memory(ctx, "a message");
    eq_status status = eq_fail(ctx, EQ_BAD_INPUT, "%s: \"%s\" should be %s, found %.*s%s", json->where, key, expected,
                               SHOWN, found, strlen(found) > SHOWN ? "..." : "");
    free(found);
    return status;
}

static bool int_of(const json_t *value, int64_t low, int64_t high, int64_t *out)
{
    int64_t number;
    if (json_is_integer(value)) {
        number = json_integer_value(value);
    } else if (json_is_real(value)) {
        double real = json_real_value(value);
        if (real != floor(real) || fabs(real) > 0x1p53)
            return false;
        number = (int64_t)real;
    } else {
        return false;
    }
    if (number < low || number > high)
        return false;
    *out = number;
    return true;
}

/* "an integer of 1 to 8" */
typedef struct range_text {
    char text[96];
} range_text;

static range_text describe_ints(const char *kind, int64_t low, int64_t high)
{
    range_text out;
    if (low == INT64_MIN && high == INT64_MAX)
        snprintf(out.text, sizeof out.text, "%s", kind);
    else
        snprintf(out.text, sizeof out.text, "%s from %lld to %lld", kind, (long long)low, (long long)high);
    return out;
}

eq_status eq_json_int(eq_context *ctx, const eq_json *json, const char *key, int64_t low, int64_t high, int64_t *out)
{
    const json_t *value = json_object_get(json->object, key);
    if (int_of(value, low, high, out))
        return EQ_OK;
    return fail_value(ctx, json, key, describe_ints("an integer", low, high).text, value);
}

eq_status eq_json_float(eq_context *ctx, const eq_json *json, const char *key, double low, double high, double *out)
{
    const json_t *value = json_object_get(json->object, key);
    if (json_is_number(value)) {
        double number = json_number_value(value);
        if (number >= low && number <= high) {
            *out = number;
            return EQ_OK;
        }
    }
    range_text expected = {"a number"};
    if (low > -INFINITY || high < INFINITY)
        snprintf(expected.text, sizeof expected.text, "a number from %g to %g", low, high);
    return fail_value(ctx, json, key, expected.text, value);
}

eq_status eq_json_bool(eq_context *ctx, const eq_json *json, const char *key, bool *out)
{
    const json_t *value = json_object_get(json->object, key);
    if (!json_is_boolean(value))
        return fail_value(ctx, json, key, "true or false", value);
    *out = json_is_true(value);
    return EQ_OK;
}

eq_status eq_json_string(eq_context *ctx, const eq_json *json, const char *key, const char **out)
{
    const json_t *value = json_object_get(json->object, key);
    if (!json_is_string(value))
        return fail_value(ctx, json, key, "a string", value);
    *out = json_string_value(value);
    return EQ_OK;
}

eq_status eq_json_object(eq_context *ctx, const eq_json *json, const char *key, eq_json *out)
{
    json_t *value = json_object_get(json->object, key);
    if (!json_is_object(value))
        return fail_value(ctx, json, key, "an object", value);
    eq_json view = {.object = value};
    /* Cut where it is too long: it only serves messages. */
    int length = snprintf(view.where, sizeof view.where, "%s: %s", json->where, key);
    if (length < 0)
        view.where[0] = 0;
    *out = view;
    return EQ_OK;
}

eq_status eq_json_int_or(eq_context *ctx, const eq_json *json, const char *key, int64_t fallback, int64_t low,
                         int64_t high, int64_t *out)
{
    *out = fallback;
    return eq_json_has(json, key) ? eq_json_int(ctx, json, key, low, high, out) : EQ_OK;
}

eq_status eq_json_float_or(eq_context *ctx, const eq_json *json, const char *key, double fallback, double low,
                           double high, double *out)
{
    *out = fallback;
    return eq_json_has(json, key) ? eq_json_float(ctx, json, key, low, high, out) : EQ_OK;
}

eq_status eq_json_bool_or(eq_context *ctx, const eq_json *json, const char *key, bool fallback, bool *out)
{
    *out = fallback;
    return eq_json_has(json, key) ? eq_json_bool(ctx, json, key, out) : EQ_OK;
}

eq_status eq_json_string_or(eq_context *ctx, const eq_json *json, const char *key, const char *fallback,
                            const char **out)
{
    *out = fallback;
    return eq_json_has(json, key) ? eq_json_string(ctx, json, key, out) : EQ_OK;
}

/* The number of elements of an array, 1 for another value, and element i of either. */
static size_t element_count(const json_t *value)
{
    return json_is_array(value) ? json_array_size(value) : 1;
}

static const json_t *element_at(const json_t *value, size_t i)
{
    return json_is_array(value) ? json_array_get(value, i) : value;
}

static eq_status check_length(eq_context *ctx, const eq_json *json, const char *key, const json_t *value, int capacity)
{
    if (element_count(value) <= (size_t)capacity)
        return EQ_OK;
    return eq_fail(ctx, EQ_BAD_INPUT, "%s: \"%s\" has %zu elements; at most %d are supported", json->where, key,
                   element_count(value), capacity);
}

eq_status eq_json_ints(eq_context *ctx, const eq_json *json, const char *key, int64_t low, int64_t high, int capacity,
                       int64_t *out, int *count)
{
    const json_t *value = json_object_get(json->object, key);
    EQ_TRY(check_length(ctx, json, key, value, capacity));
    for (size_t i = 0; i < element_count(value); i++)
        if (!int_of(element_at(value, i), low, high, &out[i]))
            return fail_value(ctx, json, key, describe_ints("an array of integers", low, high).text, value);
    *count = (int)element_count(value);
    return EQ_OK;
}

eq_status eq_json_strings(eq_context *ctx, const eq_json *json, const char *key, int capacity, const char **out,
                          int *count)
{
    const json_t *value = json_object_get(json->object, key);
    EQ_TRY(check_length(ctx, json, key, value, capacity));
    for (size_t i = 0; i < element_count(value); i++) {
        const json_t *element = element_at(value, i);
        if (!json_is_string(element))
            return fail_value(ctx, json, key, "an array of strings", value);
        out[i] = json_string_value(element);
    }
    *count = (int)element_count(value);
    return EQ_OK;
}
