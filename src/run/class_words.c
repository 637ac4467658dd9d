#include "run/class_words.h"

#include <string.h>

static bool is_named(const char *text, size_t length, const char *name)
{
    return strlen(name) == length && memcmp(text, name, length) == 0;
}

/* The entry that *rest begins with, "class:words", up to a comma; *rest moves behind it, to NULL at the end. */
typedef struct entry {
    const char *name, *words; /* words NULL: there is no ':' */
    size_t name_length, words_length;
} entry;

static entry next_entry(const char **rest)
{
    const char *start = *rest;
    size_t length = strcspn(start, ","), name = strcspn(start, ",:");
    *rest = start[length] ? start + length + 1 : NULL;
    if (name == length)
        return (entry){start, NULL, name, 0};
    return (entry){start, start + name + 1, name, length - name - 1};
}

static const eq_attribute *find_attribute(const eq_targets *targets, const char *name, size_t length)
{
    for (int t = 0; t < targets->count; t++)
        for (int a = 0; a < targets->items[t].attribute_count; a++)
            if (is_named(name, length, targets->items[t].attributes[a].name))
                return &targets->items[t].attributes[a];
    return NULL;
}

static int find_class(const eq_attribute *attribute, const entry *e)
{
    for (int k = 0; k < attribute->classes; k++)
        if (is_named(e->name, e->name_length, attribute->class_names[k]))
            return k;
    return -1;
}

static eq_status check_entries(eq_context *ctx, const char *text, const char *entries, const eq_attribute *attribute)
{
    bool seen[EQ_TARGET_CELLS] = {false};
    while (entries) {
        entry e = next_entry(&entries);
        int class = find_class(attribute, &e);
        if (!e.words)
            return eq_fail(ctx, EQ_BAD_USAGE, "class words \"%s\": expected CLASS:WORDS, found \"%.*s\"", text,
                           (int)e.name_length, e.name);
        if (class < 0)
            return eq_fail(ctx, EQ_BAD_USAGE, "class words \"%s\": the target has no class \"%.*s\" of \"%s\"", text,
                           (int)e.name_length, e.name, attribute->name);
        if (seen[class])
            return eq_fail(ctx, EQ_BAD_USAGE, "class words \"%s\": \"%s\" is there twice", text,
                           attribute->class_names[class]);
        seen[class] = true;
    }
    return EQ_OK;
}

eq_status eq_class_words_check(eq_context *ctx, const eq_class_words *words, const eq_targets *targets)
{
    for (int i = 0; i < words->count; i++) {
        const char *text = words->texts[i], *equals = strchr(text, '=');
        if (!equals)
            return eq_fail(ctx, EQ_BAD_USAGE,
                           "class words \"%s\": expected ATTRIBUTE=CLASS:WORDS,..., such as "
                           "gender=female:woman,male:man",
                           text);
        size_t length = (size_t)(equals - text);
        const eq_attribute *attribute = find_attribute(targets, text, length);
        if (!attribute)
            return eq_fail(ctx, EQ_BAD_USAGE, "class words \"%s\": no target is about \"%.*s\"", text, (int)length,
                           text);
        for (int j = 0; j < i; j++)
            if (strncmp(words->texts[j], text, length + 1) == 0)
                return eq_fail(ctx, EQ_BAD_USAGE, "class words \"%s\": there are some for \"%s\" already", text,
                               attribute->name);
        EQ_TRY(check_entries(ctx, text, equals + 1, attribute));
    }
    return EQ_OK;
}

bool eq_class_words_concern(const char *text, const eq_targets *targets)
{
    return find_attribute(targets, text, strcspn(text, "=")) != NULL;
}

const char *eq_class_words_find(const eq_class_words *words, const eq_attribute *attribute, int class, size_t *length)
{
    for (int i = 0; i < words->count; i++) {
        const char *equals = strchr(words->texts[i], '='), *entries = equals + 1;
        if (!is_named(words->texts[i], (size_t)(equals - words->texts[i]), attribute->name))
            continue;
        while (entries) {
            entry e = next_entry(&entries);
            if (!is_named(e.name, e.name_length, attribute->class_names[class]))
                continue;
            *length = e.words_length;
            return e.words;
        }
    }
    *length = strlen(attribute->class_names[class]);
    return attribute->class_names[class];
}
