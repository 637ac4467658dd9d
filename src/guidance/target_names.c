/* The attributes and classes that a target names itself, for methods that need nobody else to know them. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "guidance/target.h"

/* The part of a text up to one of the separators, without blanks around it; malloc'ed. *rest moves behind it, to NULL
 * at the end. */
static char *next_part(const char **rest, const char *separators)
{
    const char *blanks = " \t\r\n", *start = *rest;
    size_t length = strcspn(start, separators);
    *rest = start[length] ? start + length + 1 : NULL;
    while (length > 0 && strchr(blanks, *start)) {
        start++;
        length--;
    }
    while (length > 0 && strchr(blanks, start[length - 1]))
        length--;
    return strndup(start, length);
}

/* Takes the name over; an empty one, or one that is there already, is left out. */
static bool add_class(eq_attribute *attribute, char *name)
{
    if (name && (!*name || eq_class_find(attribute, name) >= 0)) {
        free(name);
        return true;
    }
    size_t count = (size_t)attribute->classes;
    const char **grown = name ? reallocarray((void *)attribute->class_names, count + 1, sizeof *grown) : NULL;
    if (!grown) {
        free(name);
        return false;
    }
    grown[count] = name;
    attribute->class_names = grown;
    attribute->classes++;
    return true;
}

void eq_attributes_clear(eq_attribute *attributes, int count)
{
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < attributes[i].classes; k++)
            free((void *)attributes[i].class_names[k]);
        free((void *)attributes[i].class_names);
        free((void *)attributes[i].name);
    }
}

eq_status eq_attributes_named(eq_context *ctx, const char *names, eq_attribute *out, int *count)
{
    *count = 0;
    for (const char *rest = names; rest && *count < EQ_TARGET_ATTRIBUTES;) {
        char *name = next_part(&rest, "*");
        if (!name)
            return eq_fail_memory(ctx, "the names of a target");
        if (*name)
            out[(*count)++] = (eq_attribute){.name = name};
        else
            free(name);
    }
    return EQ_OK;
}

eq_status eq_attributes_add_cell(eq_context *ctx, const char *cell, eq_attribute *attributes, int count)
{
    const char *rest = cell;
    for (int a = 0; a < count && rest; a++)
        if (!add_class(&attributes[a], next_part(&rest, count > 1 ? "/" : "")))
            return eq_fail_memory(ctx, "the names of a target");
    return EQ_OK;
}
