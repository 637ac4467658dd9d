#include "base/attribute.h"

#include <stdlib.h>
#include <string.h>

int eq_attribute_find(const eq_attribute *attributes, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(attributes[i].name, name) == 0)
            return i;
    return -1;
}

int eq_class_find(const eq_attribute *attribute, const char *name)
{
    for (int i = 0; i < attribute->classes; i++)
        if (strcmp(attribute->class_names[i], name) == 0)
            return i;
    return -1;
}

eq_status eq_attribute_copy(eq_context *ctx, const eq_attribute *attribute, eq_attribute *out)
{
    /* One block for the pointers and the strings they point to, one for the name. */
    size_t pointers = sizeof(char *) * (size_t)attribute->classes, size = pointers;
    for (int i = 0; i < attribute->classes; i++)
        size += strlen(attribute->class_names[i]) + 1;
    const char **names = malloc(size);
    char *name = strdup(attribute->name);
    if (names == NULL || name == NULL) {
        free(names);
        free(name);
        return eq_fail_memory(ctx, "an attribute's names");
    }
    char *text = (char *)names + pointers;
    for (int i = 0; i < attribute->classes; i++) {
        names[i] = text;
        text = stpcpy(text, attribute->class_names[i]) + 1;
    }
    *out = (eq_attribute){.name = name, .classes = attribute->classes, .class_names = names};
    return EQ_OK;
}

void eq_attribute_clear(eq_attribute *attribute)
{
    if (attribute == NULL)
        return;
    free((void *)attribute->name);
    free((void *)attribute->class_names);
    *attribute = (eq_attribute){0};
}
