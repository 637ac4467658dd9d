#include "heads.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/path.h"
#include "guidance/adp.h"

/* Splits "A=C,C,...:FILE", which it writes into, at its marks. names: [EQ_ADP_CLASSES]. */
static eq_status split(eq_context *ctx, char *text, const char **names, eq_attribute *attribute, const char **path)
{
    char *equals = strchr(text, '='), *colon = strchr(equals, ':');
    *equals = '\0';
    *colon = '\0';
    *attribute = (eq_attribute){.name = text, .class_names = names};
    *path = colon + 1;
    for (char *class = equals + 1; class;) {
        char *comma = strchr(class, ',');
        if (comma)
            *comma = '\0';
        if (attribute->classes == EQ_ADP_CLASSES || !class[0] || eq_class_find(attribute, class) >= 0)
            return eq_fail(ctx, EQ_BAD_USAGE,
                           "--adp %s=...: expected 2 to %d class names, each of them once and none empty", text,
                           EQ_ADP_CLASSES);
        names[attribute->classes++] = class;
        class = comma ? comma + 1 : NULL;
    }
    if (!text[0] || attribute->classes < 2 || !(*path)[0])
        return eq_fail(ctx, EQ_BAD_USAGE, "--adp: expected ATTRIBUTE=CLASS,CLASS,...:FILE, found %s in it",
                       !text[0]      ? "no attribute"
                       : !(*path)[0] ? "no file"
                                     : "fewer than 2 classes");
    return EQ_OK;
}

/* A file of that very name is meant before anything else. */
static bool has_names(const char *text)
{
    const char *equals = strchr(text, '=');
    return equals && strchr(equals, ':') && !eq_path_exists(text);
}

eq_status eq_add_heads(eq_context *ctx, eq_pipeline *pipeline, const char *text, const eq_generate_options *options)
{
    if (!has_names(text))
        return eq_pipeline_add_predictor(pipeline, text);
    const char *names[EQ_ADP_CLASSES], *path;
    eq_attribute attribute;
    char *copy = strdup(text);
    if (!copy)
        return eq_fail_memory(ctx, "an option");
    eq_status status = split(ctx, copy, names, &attribute, &path);
    if (status == EQ_OK)
        status = eq_pipeline_import_predictor(pipeline, path, &attribute, options);
    free(copy);
    return status;
}
