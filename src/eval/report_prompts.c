/* The report's part on runs of several prompts, for each of which the targets hold. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/report_sections.h"

enum { SHOWN = 60 };

/* Where an attribute is in a run's labels; -1: not there. */
static int labelled_as(const eq_report_run *run, const char *attribute)
{
    if (run == NULL || !run->has_labels || !run->has_manifest)
        return -1;
    return eq_attribute_find(run->labels.attributes, run->labels.attribute_count, attribute);
}

/* The distinct prompts in the order of the images. names: [entries of the manifest] room for them */
static size_t find_prompts(const eq_manifest *manifest, const char **names)
{
    size_t count = 0;
    for (size_t i = 0; i < manifest->count; i++) {
        const char *prompt = manifest->entries[i].prompt;
        size_t at = 0;
        while (prompt != NULL && at < count && strcmp(names[at], prompt) != 0)
            at++;
        if (prompt != NULL && at == count)
            names[count++] = prompt;
    }
    return count;
}

/* The attribute's classes among the images of a prompt, with the targets of the whole. Returns how many images have a
 * label. rows: [images of the run] theirs among the labels, as the sheet has them; out: [class_count] */
static double count_classes(const eq_report_run *run, const int64_t *rows, const eq_report_attribute *a,
                            const char *prompt, eq_report_class *out)
{
    const eq_labels *labels = &run->labels;
    int column = labelled_as(run, a->name);
    double n = 0;
    memcpy(out, a->classes, (size_t)a->class_count * sizeof *out);
    for (int k = 0; k < a->class_count; k++)
        out[k].count = 0;
    for (size_t i = 0; column >= 0 && i < run->manifest.count; i++) {
        const char *own = run->manifest.entries[i].prompt;
        int class = rows[i] >= 0 ? labels->classes[rows[i] * labels->attribute_count + column] : -1;
        if (class < 0 || own == NULL || strcmp(own, prompt) != 0)
            continue;
        const eq_report_class *found =
            eq_report_find_class(out, a->class_count, labels->attributes[column].class_names[class]);
        if (found != NULL) {
            out[found - out].count++;
            n++;
        }
    }
    for (int k = 0; k < a->class_count; k++)
        out[k].frequency = (eq_estimate){n > 0 ? out[k].count / n : NAN, NAN, NAN};
    return n;
}

/* classes: [2, class_count] room */
static void prompt_row(eq_report *report, const eq_report_attribute *a, const char *prompt, eq_report_class *classes)
{
    eq_html *html = &report->html;
    int count = a->class_count;
    double n = count_classes(report->run, report->sheet.label_rows, a, prompt, classes), was = 0;
    if (labelled_as(report->before, a->name) >= 0)
        was = count_classes(report->before, report->before_sheet.label_rows, a, prompt, classes + count);
    eq_html_format(html, "<tr><th scope=\"row\">%s</th><td>%.0f</td><td class=\"strips\">", prompt, n);
    if (was > 0)
        eq_report_strip(html, "before", classes + count, count, false);
    eq_report_strip(html, "obtained", classes, count, false);
    double distance = eq_report_distance(classes, count, classes, count);
    if (isfinite(distance))
        eq_html_format(html, "</td><td>%.3f</td></tr>\n", distance);
    else
        eq_html_raw(html, "</td><td>\u2013</td></tr>\n");
}

static void prompts_table(eq_report *report, const eq_report_attribute *a, const char *const *prompts, size_t count,
                          eq_report_class *classes)
{
    eq_html *html = &report->html;
    eq_html_format(html, "<h3>%s</h3>\n", a->name);
    eq_report_legend(html, a->classes, a->class_count);
    eq_html_raw(html,
                "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Prompts\"><table class=\"numbers "
                "prompts\"><thead><tr><th scope=\"col\">Prompt</th><th scope=\"col\">Images</th><th scope=\"col\">"
                "Shares</th><th scope=\"col\">FD</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < count && i < SHOWN; i++)
        prompt_row(report, a, prompts[i], classes);
    eq_html_raw(html, "</tbody></table></div>\n");
    if (count > SHOWN)
        eq_html_format(html, "<p class=\"quiet\">And %zu prompts more.</p>\n", count - SHOWN);
}

bool eq_report_has_prompts(const eq_report_run *run)
{
    const char *first = run->has_manifest && run->manifest.count > 0 ? run->manifest.entries[0].prompt : NULL;
    bool several = false, asked = false;
    for (size_t i = 1; first != NULL && i < run->manifest.count; i++)
        several |= run->manifest.entries[i].prompt != NULL && strcmp(run->manifest.entries[i].prompt, first) != 0;
    for (int i = 0; i < run->attribute_count; i++)
        asked |= run->attributes[i].has_target && labelled_as(run, run->attributes[i].name) >= 0;
    return several && asked;
}

eq_status eq_report_prompts(eq_report *report)
{
    const eq_report_run *run = report->run;
    if (!eq_report_has_prompts(run))
        return EQ_OK;
    eq_html_raw(&report->html,
                "<section aria-labelledby=\"prompts\"><h2 id=\"prompts\">Prompt by prompt</h2>\n"
                "<p class=\"about\">The target holds for the images of each prompt by themselves.</p>\n");
    const char **prompts = calloc(run->manifest.count, sizeof *prompts);
    size_t count = prompts != NULL ? find_prompts(&run->manifest, prompts) : 0;
    eq_status status = prompts != NULL ? EQ_OK : eq_fail_memory(report->ctx, "a report");
    for (int i = 0; status == EQ_OK && i < run->attribute_count; i++) {
        const eq_report_attribute *a = &run->attributes[i];
        if (!a->has_target || labelled_as(run, a->name) < 0)
            continue;
        eq_report_class *classes = calloc(2 * (size_t)a->class_count, sizeof *classes);
        if (classes != NULL)
            prompts_table(report, a, prompts, count, classes);
        else
            status = eq_fail_memory(report->ctx, "a report");
        free(classes);
    }
    eq_html_raw(&report->html, "</section>\n");
    free(prompts);
    return status;
}
