#include "eval/self_grading.h"

#include <string.h>

enum { PARTS = 3 };

static const struct {
    const char *key, *did;
} parts_known[PARTS] = {
    {"labelled", "labelled for the predictors"},
    {"guided", "guided"},
    {"chose", "chose the images"},
};

bool eq_self_grading_is_any(eq_self_grading parts)
{
    return parts.labelled || parts.guided || parts.chose;
}

json_t *eq_self_grading_json(eq_self_grading parts)
{
    const bool is[PARTS] = {parts.labelled, parts.guided, parts.chose};
    json_t *root = json_array();
    for (int i = 0; i < PARTS; i++)
        if (is[i])
            json_array_append_new(root, json_string(parts_known[i].key));
    return root;
}

static bool has(const json_t *parts, const char *key)
{
    const json_t *part;
    size_t i;
    json_array_foreach(parts, i, part)
    {
        if (json_is_string(part) && strcmp(json_string_value(part), key) == 0)
            return true;
    }
    return false;
}

void eq_html_self_grading(eq_html *html, const json_t *parts)
{
    const char *did[PARTS];
    int count = 0;
    for (int i = 0; i < PARTS; i++)
        if (has(parts, parts_known[i].key))
            did[count++] = parts_known[i].did;
    if (count == 0)
        return;
    eq_html_raw(html, "<p style=\"color:#c00000;background:#fff;padding:.6em .8em;border:2px solid "
                      "#c00000;font-weight:700\">Self-grading: the evaluator has the weights of the classifier that ");
    for (int i = 0; i < count; i++)
        eq_html_format(html, "%s%s", i == 0 ? "" : i == count - 1 ? " and " : ", ", did[i]);
    eq_html_raw(html, ". What it finds is how well that classifier was pleased, not how the images look.</p>\n");
}
