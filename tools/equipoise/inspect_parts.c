#include "inspect_parts.h"

#include "base/file_hash.h"
#include "io/json.h"

void inspect_put(json_t *json, const char *key, json_t *value)
{
    json_object_set_new(json, key, value);
}

void inspect_put_integer(json_t *json, const char *key, int64_t value)
{
    inspect_put(json, key, json_integer(value));
}

void inspect_put_text(json_t *json, const char *key, const char *value)
{
    inspect_put(json, key, eq_json_text(value));
}

json_t *inspect_integers(const int64_t *values, int count)
{
    json_t *array = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(array, json_integer(values[i]));
    return array;
}

json_t *inspect_classes(const eq_attribute *attribute)
{
    json_t *classes = json_array();
    for (int i = 0; i < attribute->classes; i++)
        json_array_append_new(classes, json_string(attribute->class_names[i]));
    return classes;
}

eq_status inspect_put_hash(const inspect_subject *s, json_t *json)
{
    char hash[EQ_SHA256_HEX];
    EQ_TRY(s->tensors.path ? eq_tensor_file_hash(s->ctx, &s->tensors, hash) : eq_file_hash(s->ctx, s->path, hash));
    inspect_put_text(json, "hash", hash);
    return EQ_OK;
}
