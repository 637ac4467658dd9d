/* The parts of the report that are looked up: measures, the evaluator's mistakes, and the record of the run. */
#include <math.h>
#include <string.h>

#include "eval/report_sections.h"

/* -- shares -- */

static eq_estimate alone(double value)
{
    return (eq_estimate){value, NAN, NAN};
}

static void interval(eq_html *html, eq_estimate e, bool percent)
{
    if (isfinite(e.low) && isfinite(e.high))
        eq_html_format(html,
                       percent ? " <span class=\"interval\">%.1f\u2013%.1f</span>"
                               : " <span class=\"interval\">%.3f\u2013%.3f</span>",
                       percent ? 100 * e.low : e.low, percent ? 100 * e.high : e.high);
}

static void percent_cell(eq_html *html, eq_estimate e, bool bold)
{
    if (!isfinite(e.value)) {
        eq_html_raw(html, "<td>\u2013</td>");
        return;
    }
    eq_html_format(html, bold ? "<td><b>%.1f%%</b>" : "<td>%.1f%%", 100 * e.value);
    interval(html, e, true);
    eq_html_raw(html, "</td>");
}

static void share_row(eq_html *html, const eq_report_class *class, const eq_report_attribute *was, bool before,
                      bool corrected)
{
    const eq_report_class *old = was != NULL ? eq_report_find_class(was->classes, was->class_count, class->name) : NULL;
    eq_html_format(html, "<tr><th scope=\"row\">%s</th>", class->name);
    if (isfinite(class->count))
        eq_html_format(html, "<td>%.0f</td>", class->count);
    else
        eq_html_raw(html, "<td>\u2013</td>");
    percent_cell(html, class->frequency, true);
    percent_cell(html, alone(class->target), false);
    if (before)
        percent_cell(html, alone(old != NULL ? old->frequency.value : NAN), false);
    if (corrected)
        percent_cell(html, class->corrected, false);
    eq_html_raw(html, "</tr>\n");
}

static void shares_table(eq_report *report)
{
    eq_html *html = &report->html;
    const eq_report_run *run = report->run;
    bool corrected = false, before = report->before != NULL && report->before->graded;
    for (int i = 0; i < run->attribute_count; i++)
        corrected |= run->attributes[i].has_corrected;
    eq_html_raw(html,
                "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Shares\"><table class=\"numbers\">"
                "<caption>Shares, with 95% intervals</caption><thead><tr><th scope=\"col\">Class</th>"
                "<th scope=\"col\">Images</th><th scope=\"col\">Share</th><th scope=\"col\">Asked</th>");
    if (before)
        eq_html_raw(html, "<th scope=\"col\">Before</th>");
    if (corrected)
        eq_html_raw(html, "<th scope=\"col\">Corrected</th>");
    eq_html_raw(html, "</tr></thead>\n");
    for (int i = 0; i < run->attribute_count; i++) {
        const eq_report_attribute *a = &run->attributes[i], *was = eq_report_find_attribute(report->before, a->name);
        eq_html_format(html, "<tbody><tr class=\"group\"><th colspan=\"%d\" scope=\"rowgroup\">%s</th></tr>\n",
                       4 + before + corrected, a->name);
        for (int k = 0; k < a->class_count; k++)
            share_row(html, &a->classes[k], was, before, corrected);
        eq_html_raw(html, "</tbody>\n");
    }
    eq_html_raw(html, "</table></div>\n");
}

/* -- measures -- */

/* A line of the table of measures. */
typedef struct measure {
    const char *name, *meaning;
    eq_estimate (*value)(const eq_report_attribute *a);
    bool percent, probability;
    bool given; /* by target and number of images, whatever the set */
} measure;

static eq_estimate fd(const eq_report_attribute *a)
{
    return a->fd;
}

static eq_estimate noise_floor(const eq_report_attribute *a)
{
    return alone(a->noise_floor);
}

static eq_estimate noise_floor_95(const eq_report_attribute *a)
{
    return alone(a->noise_floor_95);
}

static eq_estimate chi2_p(const eq_report_attribute *a)
{
    return alone(a->chi2_p);
}

static eq_estimate fd_soft(const eq_report_attribute *a)
{
    return a->fd_soft;
}

static eq_estimate kl(const eq_report_attribute *a)
{
    return a->kl;
}

static eq_estimate chi2(const eq_report_attribute *a)
{
    return a->chi2;
}

static eq_estimate deviation(const eq_report_attribute *a)
{
    return a->deviation;
}

static eq_estimate tv(const eq_report_attribute *a)
{
    return a->tv;
}

static eq_estimate corrected_fd(const eq_report_attribute *a)
{
    return a->corrected_fd;
}

static eq_estimate ambiguity(const eq_report_attribute *a)
{
    return a->ambiguity;
}

static const measure MEASURES[] = {
    {.name = "FD",
     .meaning = "How far the counts are from the target: the length of the difference of the two distributions. 0 is "
                "exact.",
     .value = fd},
    {.name = "Noise floor",
     .meaning = "The FD that as many images drawn from the target itself have on average.",
     .value = noise_floor,
     .given = true},
    {.name = "Noise floor, 95%",
     .meaning = "The FD that 95 of 100 such draws do not exceed. Above it, chance is no explanation.",
     .value = noise_floor_95,
     .given = true},
    {.name = "Chi-square p",
     .meaning = "The probability of counts this far off or further if the target were true. Small means off target.",
     .value = chi2_p,
     .probability = true},
    {.name = "TV",
     .meaning = "Total variation: the share of images that would have to change class.",
     .value = tv,
     .percent = true},
    {.name = "KL",
     .meaning = "Kullback\u2013Leibler divergence from the target in nats; weighs rare classes more.",
     .value = kl},
    {.name = "Chi-square",
     .meaning = "Sum of squared differences over the target: Pearson\u2019s statistic per image.",
     .value = chi2},
    {.name = "Deviation ratio",
     .meaning = "The largest difference of a class over the largest there could be. 1: all images are of the class "
                "asked for least.",
     .value = deviation},
    {.name = "Soft FD",
     .meaning = "FD of the mean probabilities in place of counts. Far below FD, it hints at many ambiguous images.",
     .value = fd_soft},
    {.name = "Corrected FD",
     .meaning = "FD after undoing the evaluator\u2019s known confusions.",
     .value = corrected_fd},
    {.name = "Ambiguity",
     .meaning = "The share of images whose likeliest class has less than 90%.",
     .value = ambiguity,
     .percent = true},
};

static void measure_value(eq_html *html, const measure *m, double value)
{
    if (isinf(value))
        eq_html_raw(html, "\u221e");
    else if (isnan(value))
        eq_html_raw(html, "\u2013");
    else if (m->percent)
        eq_html_format(html, "%.1f%%", 100 * value);
    else if (m->probability && value < 0.001)
        eq_html_raw(html, "&lt; 0.001");
    else
        eq_html_format(html, "%.3f", value);
}

/* What `was` measured, unless that was against another target. */
static double earlier_value(const measure *m, const eq_report_attribute *a, const eq_report_attribute *was)
{
    if (was == NULL || m->given)
        return NAN;
    bool comparable = eq_report_same_target(a->classes, a->class_count, was->classes, was->class_count);
    return comparable || m->value == ambiguity ? m->value(was).value : NAN;
}

static void measure_row(eq_report *report, const measure *m)
{
    eq_html *html = &report->html;
    const eq_report_run *run = report->run;
    bool any = false;
    for (int i = 0; i < run->attribute_count; i++)
        any |= run->attributes[i].has_target && !isnan(m->value(&run->attributes[i]).value);
    if (!any)
        return;
    eq_html_format(html, "<tr><th scope=\"row\">%s<span class=\"meaning\">%s</span></th>", m->name, m->meaning);
    for (int i = 0; i < run->attribute_count; i++) {
        const eq_report_attribute *a = &run->attributes[i];
        if (!a->has_target)
            continue;
        eq_estimate e = m->value(a);
        double earlier = earlier_value(m, a, eq_report_find_attribute(report->before, a->name));
        eq_html_raw(html, "<td><b>");
        measure_value(html, m, e.value);
        eq_html_raw(html, "</b>");
        interval(html, e, m->percent);
        if (!isnan(earlier)) {
            eq_html_raw(html, "<span class=\"earlier\">before ");
            measure_value(html, m, earlier);
            eq_html_raw(html, "</span>");
        }
        eq_html_raw(html, "</td>");
    }
    eq_html_raw(html, "</tr>\n");
}

static void measures_table(eq_report *report)
{
    eq_html *html = &report->html;
    const eq_report_run *run = report->run;
    bool any = false;
    for (int i = 0; i < run->attribute_count; i++)
        any |= run->attributes[i].has_target;
    if (!any) {
        eq_html_raw(html, "<p class=\"absent\">No target was given, so there is no distance to one.</p>\n");
        return;
    }
    eq_html_raw(html, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Measures\">"
                      "<table class=\"numbers\"><caption>Distance to the target</caption>"
                      "<thead><tr><th scope=\"col\">Measure</th>");
    for (int i = 0; i < run->attribute_count; i++)
        if (run->attributes[i].has_target)
            eq_html_format(html, "<th scope=\"col\">%s</th>", run->attributes[i].name);
    eq_html_raw(html, "</tr></thead><tbody>\n");
    for (size_t i = 0; i < sizeof(MEASURES) / sizeof(MEASURES[0]); i++)
        measure_row(report, &MEASURES[i]);
    eq_html_raw(html, "</tbody></table></div>\n");
}

void eq_report_measures(eq_report *report)
{
    eq_html *html = &report->html;
    const eq_report_run *run = report->run;
    eq_html_raw(html, "<section aria-labelledby=\"measures\"><h2 id=\"measures\">Measures</h2>\n");
    if (run->attribute_count == 0) {
        eq_html_raw(html, "<p class=\"absent\">The run holds no evaluation: nothing was measured.</p></section>\n");
        return;
    }
    shares_table(report);
    measures_table(report);
    eq_report_similarity(report);
    eq_html_raw(html, "</section>\n");
}

/* -- the evaluator -- */

static void confusion_table(eq_html *html, const eq_report_attribute *a)
{
    eq_html_format(html,
                   "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Confusion, %s\"><table "
                   "class=\"heat\"><caption>%s",
                   a->name, a->name);
    if (isfinite(a->accuracy))
        eq_html_format(html, " <span class=\"quiet\">%.1f%% right</span>", 100 * a->accuracy);
    eq_html_raw(html, "</caption><thead><tr><th scope=\"col\"><span class=\"quiet\">is \\ called</span></th>");
    for (int j = 0; j < a->class_count; j++)
        eq_html_format(html, "<th scope=\"col\">%s</th>", a->classes[j].name);
    eq_html_raw(html, "</tr></thead><tbody>\n");
    for (int i = 0; i < a->class_count; i++) {
        double all = 0;
        for (int j = 0; j < a->class_count; j++)
            all += a->confusion[i * a->class_count + j];
        eq_html_format(html, "<tr><th scope=\"row\">%s</th>", a->classes[i].name);
        for (int j = 0; j < a->class_count; j++) {
            double count = a->confusion[i * a->class_count + j], rate = all > 0 ? count / all : 0;
            eq_html_format(html,
                           "<td style=\"background-color:rgb(var(--%s)/%.3f)\"><b>%.1f%%</b> <span "
                           "class=\"quiet\">%.6g</span></td>",
                           i == j ? "surplus" : "shortage", (i == j ? 0.35 : 0.9) * rate, 100 * rate, count);
        }
        eq_html_raw(html, "</tr>\n");
    }
    eq_html_raw(html, "</tbody></table></div>\n");
}

void eq_report_evaluator(eq_report *report)
{
    eq_html *html = &report->html;
    const eq_report_run *run = report->run;
    bool any = false;
    for (int i = 0; i < run->attribute_count; i++)
        any |= run->attributes[i].confusion != NULL;
    if (!any)
        return;
    eq_html_raw(html,
                "<section aria-labelledby=\"evaluator\"><h2 id=\"evaluator\">The evaluator</h2>\n<p class=\"about\">"
                "How it labelled validation images of known class: each row is a class, each column what it was "
                "called.</p>\n<div class=\"plots\">\n");
    for (int i = 0; i < run->attribute_count; i++)
        if (run->attributes[i].confusion != NULL)
            confusion_table(html, &run->attributes[i]);
    eq_html_raw(html, "</div></section>\n");
}

/* -- the record -- */

static void json_value(eq_html *html, const json_t *value)
{
    size_t i;
    json_t *item;
    switch (value != NULL ? json_typeof(value) : JSON_NULL) {
    case JSON_STRING: eq_html_text(html, json_string_value(value)); break;
    case JSON_INTEGER: eq_html_format(html, "%.0f", (double)json_integer_value(value)); break;
    case JSON_REAL: eq_html_format(html, "%.6g", json_real_value(value)); break;
    case JSON_TRUE: eq_html_raw(html, "yes"); break;
    case JSON_FALSE: eq_html_raw(html, "no"); break;
    case JSON_ARRAY:
        json_array_foreach(value, i, item)
        {
            eq_html_raw(html, i > 0 ? ", " : "");
            if (!json_is_array(item) && !json_is_object(item))
                json_value(html, item);
        }
        break;
    default: eq_html_raw(html, "\u2013"); break;
    }
}

static void settings(eq_report *report)
{
    eq_html *html = &report->html;
    json_t *all = (json_t *)eq_report_value(report->run, "settings"), *value;
    const char *key;
    eq_html_raw(html, "<h3>Settings</h3>\n");
    if (json_object_size(all) == 0) {
        eq_html_raw(html, "<p class=\"absent\">The run holds no settings.</p>\n");
        return;
    }
    eq_html_raw(html, "<dl class=\"record\">\n");
    json_object_foreach(all, key, value)
    {
        if (strcmp(key, "command") == 0)
            continue;
        eq_html_format(html, "<div><dt>%s</dt><dd>", key);
        json_value(html, value);
        eq_html_raw(html, "</dd></div>\n");
    }
    eq_html_raw(html, "</dl>\n");
}

static void identity_row(eq_html *html, const char *what, const char *file, const char *hash)
{
    eq_html_format(html, "<tr><th scope=\"row\">%s</th><td>%s</td><td class=\"hash\">%s</td></tr>\n", what,
                   file != NULL ? file : "\u2013", hash != NULL ? hash : "\u2013");
}

static void identities(eq_report *report)
{
    eq_html *html = &report->html;
    const eq_report_run *run = report->run;
    const json_t *heads = eq_report_value(run, "heads");
    eq_html_raw(html, "<h3>Model and predictors</h3>\n");
    if (!json_is_object(eq_report_value(run, "model"))) {
        eq_html_raw(html, "<p class=\"absent\">The run does not say which model made it.</p>\n");
        return;
    }
    eq_html_raw(html, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Model and predictors\"><table "
                      "class=\"files\"><thead><tr><th scope=\"col\">Part</th><th scope=\"col\">File</th><th "
                      "scope=\"col\">SHA-256</th></tr></thead><tbody>\n");
    identity_row(html, "model", eq_report_string(run, "model.folder"), eq_report_string(run, "model.hash"));
    size_t i;
    json_t *head;
    json_array_foreach(heads, i, head)
    {
        const char *attribute = json_string_value(json_object_get(head, "attribute"));
        identity_row(html, attribute != NULL ? attribute : "predictor",
                     json_string_value(json_object_get(head, "file")),
                     json_string_value(json_object_get(head, "hash")));
    }
    eq_html_raw(html, "</tbody></table></div>\n");
}

static void cost_item(eq_html *html, const char *what, const char *format, double value)
{
    char text[64];
    if (!isfinite(value))
        return;
    snprintf(text, sizeof(text), format, value);
    eq_html_format(html, "<div><dt>%s</dt><dd>%s</dd></div>\n", what, text);
}

static void seconds_item(eq_html *html, const char *what, double seconds)
{
    if (seconds >= 7200)
        cost_item(html, what, "%.1f h", seconds / 3600);
    else if (seconds >= 300)
        cost_item(html, what, "%.1f min", seconds / 60);
    else
        cost_item(html, what, "%.2f s", seconds);
}

static void cost(eq_report *report)
{
    eq_html *html = &report->html;
    const eq_report_run *run = report->run;
    double total = eq_report_number(run, "seconds.total"), passes = eq_report_number(run, "unet_passes");
    double memory = eq_report_number(run, "peak_rss_bytes");
    eq_html_raw(html, "<h3>Cost</h3>\n");
    if (!isfinite(total) && !isfinite(passes) && !isfinite(memory)) {
        eq_html_raw(html, "<p class=\"absent\">The run does not say what it cost.</p>\n");
        return;
    }
    eq_html_raw(html, "<dl class=\"record\">\n");
    seconds_item(html, "time, total", total);
    seconds_item(html, "sampling", eq_report_number(run, "seconds.sampling"));
    seconds_item(html, "of it guidance", eq_report_number(run, "seconds.guidance"));
    seconds_item(html, "labelling", eq_report_number(run, "seconds.labelling"));
    if (total > 0)
        cost_item(html, "images per second", "%.3g", run->n / total);
    cost_item(html, "U-Net passes", "%.0f", passes);
    if (run->n >= 1)
        cost_item(html, "passes per image", "%.4g", passes / run->n);
    cost_item(html, "peak memory", memory >= 1e9 ? "%.2f GB" : "%.0f MB", memory >= 1e9 ? memory / 1e9 : memory / 1e6);
    eq_html_raw(html, "</dl>\n");
}

void eq_report_record(eq_report *report)
{
    eq_html *html = &report->html;
    const char *command = eq_report_string(report->run, "settings.command");
    const char *version = eq_report_string(report->run, "version");
    eq_html_raw(html, "<section aria-labelledby=\"record\"><h2 id=\"record\">Record</h2>\n<h3>To reproduce</h3>\n");
    if (command != NULL)
        eq_html_format(html, "<pre tabindex=\"0\"><code>%s</code></pre>\n", command);
    else
        eq_html_raw(html,
                    "<p class=\"absent\">The run does not hold its command line; the settings below are those that "
                    "matter.</p>\n");
    identities(report);
    settings(report);
    cost(report);
    eq_html_format(html,
                   "<p class=\"quiet\">Made by Equipoise %s. The same command gives the same images on the same "
                   "machine; other processors differ by rounding.</p>\n</section>\n",
                   version != NULL ? version : "of unknown version");
}
