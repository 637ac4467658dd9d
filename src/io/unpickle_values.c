/* The values that a pickle is made of, and messages about them. */
#include <stdio.h>
#include <stdlib.h>

#include "io/unpickle.h"

enum { CHUNK = 512 };

typedef struct eq_pickle_chunk {
    struct eq_pickle_chunk *next;
    size_t count;
    eq_pickle_value values[CHUNK];
} eq_pickle_chunk;

const char *eq_pickle_kind_name(eq_pickle_kind kind)
{
    static const char *const names[] = {"None",   "a truth value", "a number",  "a long number", "a real number",
                                        "text",   "bytes",         "a tuple",   "a list",        "a set",
                                        "a dict", "a global",      "a storage", "a tensor"};
    return names[kind];
}

eq_pickle_shown eq_pickle_show(eq_pickle_text text)
{
    eq_pickle_shown out;
    size_t length = text.length < 80 ? text.length : 80;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text.bytes[i];
        out.text[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    snprintf(out.text + length, sizeof out.text - length, "%s", length < text.length ? "..." : "");
    return out;
}

eq_status eq_pickle_fail(eq_context *ctx, const eq_pickle *pickle, size_t at, const char *format, ...)
{
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return eq_fail(ctx, EQ_BAD_INPUT, "%s: byte %llu: %s", pickle->where, (unsigned long long)(pickle->base + at),
                   message);
}

eq_status eq_pickle_new(eq_context *ctx, eq_pickle *pickle, eq_pickle_kind kind, size_t offset, eq_pickle_value **out)
{
    *out = NULL;
    if (pickle->value_count >= EQ_PICKLE_MAX_VALUES)
        return eq_pickle_fail(ctx, pickle, offset, "more than %d values", EQ_PICKLE_MAX_VALUES);
    if (!pickle->chunks || pickle->chunks->count == CHUNK) {
        eq_pickle_chunk *chunk = malloc(sizeof *chunk);
        if (!chunk)
            return eq_fail_memory(ctx, "a pickle's values");
        chunk->next = pickle->chunks;
        chunk->count = 0;
        pickle->chunks = chunk;
    }
    *out = &pickle->chunks->values[pickle->chunks->count++];
    **out = (eq_pickle_value){.kind = kind, .offset = offset};
    pickle->value_count++;
    return EQ_OK;
}

static bool is_container(const eq_pickle_value *value)
{
    return value->kind >= EQ_PICKLE_TUPLE && value->kind <= EQ_PICKLE_DICT;
}

eq_status eq_pickle_append(eq_context *ctx, eq_pickle *pickle, eq_pickle_value *container, eq_pickle_value *item)
{
    eq_pickle_items *items = &container->items;
    if (pickle->element_count >= EQ_PICKLE_MAX_VALUES)
        return eq_pickle_fail(ctx, pickle, container->offset, "containers of more than %d elements together",
                              EQ_PICKLE_MAX_VALUES);
    if (items->count == items->capacity) {
        size_t capacity = items->capacity ? 2 * items->capacity : 4;
        eq_pickle_value **grown = realloc(items->value, capacity * sizeof *grown);
        if (!grown)
            return eq_fail_memory(ctx, "a pickle's values");
        items->value = grown;
        items->capacity = capacity;
    }
    items->value[items->count++] = item;
    pickle->element_count++;
    return EQ_OK;
}

void eq_pickle_free(eq_pickle *pickle)
{
    while (pickle->chunks) {
        eq_pickle_chunk *chunk = pickle->chunks;
        pickle->chunks = chunk->next;
        for (size_t i = 0; i < chunk->count; i++)
            if (is_container(&chunk->values[i]))
                free(chunk->values[i].items.value);
        free(chunk);
    }
    *pickle = (eq_pickle){0};
}

bool eq_pickle_text_is(const eq_pickle_value *value, const char *text)
{
    return value->kind == EQ_PICKLE_TEXT && value->text.length == strlen(text) &&
           memcmp(value->text.bytes, text, value->text.length) == 0;
}

eq_pickle_value *eq_pickle_find(const eq_pickle_value *dict, const char *key)
{
    if (dict->kind != EQ_PICKLE_DICT)
        return NULL;
    for (size_t i = 0; i + 1 < dict->items.count; i += 2)
        if (eq_pickle_text_is(dict->items.value[i], key))
            return dict->items.value[i + 1];
    return NULL;
}
