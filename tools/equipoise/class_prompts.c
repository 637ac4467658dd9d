#include "class_prompts.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* The position of a name of `length` bytes in a growing list; a name that is new is added. -1: memory is out. */
static int find_or_add(const char ***names, int *count, const char *name, size_t length)
{
    for (int i = 0; i < *count; i++)
        if (strlen((*names)[i]) == length && memcmp((*names)[i], name, length) == 0)
            return i;
    const char **grown = reallocarray(*names, (size_t)*count + 1, sizeof *grown);
    if (!grown)
        return -1;
    *names = grown;
    grown[*count] = strndup(name, length);
    return grown[*count] ? (*count)++ : -1;
}

static int find_attribute(eq_class_prompts *p, const char *name, size_t length)
{
    for (int i = 0; i < p->attribute_count; i++)
        if (strlen(p->attributes[i].name) == length && memcmp(p->attributes[i].name, name, length) == 0)
            return i;
    eq_attribute *grown = reallocarray(p->attributes, (size_t)p->attribute_count + 1, sizeof *grown);
    if (!grown)
        return -1;
    p->attributes = grown;
    grown[p->attribute_count] = (eq_attribute){.name = strndup(name, length)};
    return grown[p->attribute_count].name ? p->attribute_count++ : -1;
}

/* "A.C=TEXT" as the next prompt. A names a file. */
static eq_status add(eq_context *ctx, const char *given, eq_class_prompts *p)
{
    const char *equals = strchr(given, '='), *dot = strchr(given, '.');
    if (!equals || !dot || dot == given || dot + 1 >= equals || !equals[1])
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "--class-prompt \"%s\": expected ATTRIBUTE.CLASS=PROMPT, such as gender.female=a photo of a "
                       "female person",
                       given);
    if (memchr(given, '/', (size_t)(dot - given)))
        return eq_fail(ctx, EQ_BAD_USAGE, "--class-prompt \"%s\": the attribute names a file; it cannot have a '/'",
                       given);
    int a = find_attribute(p, given, (size_t)(dot - given));
    if (a < 0)
        return eq_fail_memory(ctx, "the prompts");
    const char **names = (const char **)p->attributes[a].class_names;
    int c = find_or_add(&names, &p->attributes[a].classes, dot + 1, (size_t)(equals - dot - 1));
    p->attributes[a].class_names = names;
    if (c < 0)
        return eq_fail_memory(ctx, "the prompts");
    for (int i = 0; i < p->count; i++)
        if (p->attribute[i] == a && strcmp(p->texts[i], equals + 1) == 0)
            return eq_fail(ctx, EQ_BAD_USAGE,
                           "--class-prompt \"%s\": this prompt was given for a class of \"%s\" before", given,
                           p->attributes[a].name);
    p->texts[p->count] = equals + 1;
    p->attribute[p->count] = a;
    p->class_of[p->count++] = c;
    return EQ_OK;
}

static eq_status check(eq_context *ctx, const eq_class_prompts *p, int64_t images)
{
    for (int a = 0; a < p->attribute_count; a++)
        if (p->attributes[a].classes < 2)
            return eq_fail(ctx, EQ_BAD_USAGE,
                           "--class-prompt: \"%s\" is the only class of \"%s\"; give a prompt for each of two or more",
                           p->attributes[a].class_names[0], p->attributes[a].name);
    if (images < p->count)
        return eq_fail(ctx, EQ_BAD_USAGE, "--count %lld: there are %d class prompts, and each needs an image",
                       (long long)images, p->count);
    return EQ_OK;
}

eq_status eq_class_prompts_read(eq_context *ctx, const eq_texts *given, int64_t images, eq_class_prompts *out)
{
    *out = (eq_class_prompts){0};
    size_t count = (size_t)given->count;
    out->texts = calloc(count + 1, sizeof *out->texts);
    out->attribute = calloc(count + 1, sizeof *out->attribute);
    out->class_of = calloc(count + 1, sizeof *out->class_of);
    out->images = calloc(count + 1, sizeof *out->images);
    eq_status status = EQ_OK;
    if (!out->texts || !out->attribute || !out->class_of || !out->images)
        status = eq_fail_memory(ctx, "the prompts");
    for (int i = 0; status == EQ_OK && i < given->count; i++)
        status = add(ctx, given->item[i], out);
    if (status == EQ_OK)
        status = check(ctx, out, images);
    for (int i = 0; status == EQ_OK && i < out->count; i++)
        out->images[i] = images * (i + 1) / out->count - images * i / out->count;
    if (status != EQ_OK)
        eq_class_prompts_free(out);
    return status;
}

void eq_class_prompts_free(eq_class_prompts *p)
{
    for (int a = 0; a < p->attribute_count; a++) {
        for (int c = 0; c < p->attributes[a].classes; c++)
            free((void *)p->attributes[a].class_names[c]);
        free((void *)p->attributes[a].class_names);
        free((void *)p->attributes[a].name);
    }
    free(p->attributes);
    free(p->texts);
    free(p->attribute);
    free(p->class_of);
    free(p->images);
    *p = (eq_class_prompts){0};
}

void eq_class_prompts_label(const eq_class_prompts *p, int *classes)
{
    int64_t total = 0, image = 0;
    for (int i = 0; i < p->count; i++)
        total += p->images[i];
    for (int64_t k = 0; k < p->attribute_count * total; k++)
        classes[k] = -1;
    for (int i = 0; i < p->count; i++)
        for (int64_t k = 0; k < p->images[i]; k++)
            classes[p->attribute[i] * total + image++] = p->class_of[i];
}
