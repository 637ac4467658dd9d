/* Reading settings from JSON, with errors that name file, key, what was expected and what was found. */
#ifndef EQ_IO_JSON_H
#define EQ_IO_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/error.h"

/* An object and where it stands, for messages: "config.json" or "config.json: scheduler". Views into a document are
 * valid as long as it is. */
typedef struct eq_json {
    json_t *object;
    char where[256];
} eq_json;

/* Reads a file of at most 256 MiB that holds one JSON object, without repeated keys. eq_json_close ends it. */
eq_status eq_json_read(eq_context *ctx, const char *path, eq_json *out);
/* The same from memory; `name` stands for the file in messages. */
eq_status eq_json_parse(eq_context *ctx, const char *text, size_t size, const char *name, eq_json *out);
/* Only for what eq_json_read and eq_json_parse gave, not for views into it. */
void eq_json_close(eq_json *json);

/* A string value; of bytes that are not UTF-8, as file names may have them, each becomes '?'. NULL when memory is out.
 */
json_t *eq_json_text(const char *text);
/* An array of numbers; null for those that JSON does not have. */
json_t *eq_json_numbers(const float *values, int count);

/* Whether the key is there, and not null. */
bool eq_json_has(const eq_json *json, const char *key);

/* Required values; EQ_BAD_INPUT when missing, null, of another type, or outside [low, high]. Integers may be written
 * as whole reals (64.0). Strings point into the document. */
eq_status eq_json_int(eq_context *ctx, const eq_json *json, const char *key, int64_t low, int64_t high, int64_t *out);
eq_status eq_json_float(eq_context *ctx, const eq_json *json, const char *key, double low, double high, double *out);
eq_status eq_json_bool(eq_context *ctx, const eq_json *json, const char *key, bool *out);
eq_status eq_json_string(eq_context *ctx, const eq_json *json, const char *key, const char **out);
/* A view of the object under `key`. */
eq_status eq_json_object(eq_context *ctx, const eq_json *json, const char *key, eq_json *out);

/* The same, with `fallback` where the key is missing or null. */
eq_status eq_json_int_or(eq_context *ctx, const eq_json *json, const char *key, int64_t fallback, int64_t low,
                         int64_t high, int64_t *out);
eq_status eq_json_float_or(eq_context *ctx, const eq_json *json, const char *key, double fallback, double low,
                           double high, double *out);
eq_status eq_json_bool_or(eq_context *ctx, const eq_json *json, const char *key, bool fallback, bool *out);
eq_status eq_json_string_or(eq_context *ctx, const eq_json *json, const char *key, const char *fallback,
                            const char **out);

/* Required arrays of at most `capacity` elements into out[capacity]. A single value counts as an array of one, as some
 * model settings are written either way. */
eq_status eq_json_ints(eq_context *ctx, const eq_json *json, const char *key, int64_t low, int64_t high, int capacity,
                       int64_t *out, int *count);
eq_status eq_json_strings(eq_context *ctx, const eq_json *json, const char *key, int capacity, const char **out,
                          int *count);

#endif
