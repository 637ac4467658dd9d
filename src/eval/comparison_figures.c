#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "eval/comparison_page.h"
#include "eval/svg_scatter.h"
#include "guidance/guidance.h"
#include "io/image.h"
#include "io/sheet.h"

enum { SHEET_IMAGES = 12, TILE = 64, POINTS = 64 };

/* --- scatter plots --- */

/* FD of every method at the target against another measure. */
static void plot(const eq_comparison_page *page, const json_t *target, const char *key)
{
    eq_point points[POINTS];
    int count = 0;
    const json_t *method;
    size_t i;
    json_array_foreach(json_object_get(target, "methods"), i, method)
    {
        eq_estimate x = eq_page_measure(method, key), y = eq_page_measure(method, "fd");
        if (count < POINTS && isfinite(x.value) && isfinite(y.value))
            points[count++] = (eq_point){eq_page_text(method, "name", "?"), x, y, (int)i};
    }
    if (count < 2)
        return;
    char title[256];
    const char *name = eq_page_measure_name(page, key);
    snprintf(title, sizeof title, "FD against %s", name);
    eq_html_format(page->html, "<figure class=\"plot\"><figcaption>FD against %s</figcaption>", name);
    eq_chart_scatter(page->html, title, name, "FD", points, count);
    eq_html_raw(page->html, "</figure>\n");
}

void eq_comparison_plots(const eq_comparison_page *page, const json_t *target)
{
    eq_html_raw(page->html, "<div class=\"plots\">\n");
    if (eq_page_likeness(page))
        plot(page, target, eq_page_likeness(page));
    plot(page, target, "unet_passes");
    plot(page, target, "seconds");
    eq_html_raw(page->html, "</div>\n");
}

/* --- contact sheets --- */

/* The first run's folder of a method; malloc'ed, NULL when memory is out. */
static char *run_folder(const eq_comparison_page *page, const json_t *method)
{
    const json_t *run = json_array_get(json_object_get(method, "runs"), 0);
    return eq_path_join(page->folder, eq_page_text(run, "folder", ""));
}

static eq_status read_tile(eq_context *ctx, const char *folder, const char *name, eq_image *out)
{
    eq_image image;
    char *path = eq_format("%s/images/%s", folder, name);
    eq_status status = path ? eq_image_read(ctx, path, &image) : eq_fail_memory(ctx, "a path");
    free(path);
    EQ_TRY(status);
    bool large = image.width > TILE || image.height > TILE;
    if (!large) {
        *out = image;
        return EQ_OK;
    }
    status = eq_image_fit(ctx, &image, TILE, TILE, out);
    eq_image_free(&image);
    return status;
}

/* The first images of each method, one row a method: all from the same noise but what was drawn in another's place.
 * tiles: [methods * SHEET_IMAGES], *columns a row. */
static eq_status read_row(const eq_comparison_page *page, const json_t *method, int *columns, eq_image *tiles,
                          int *count)
{
    char *folder = run_folder(page, method);
    eq_names names = {0};
    char *images = folder ? eq_path_join(folder, "images") : NULL;
    eq_status status = images ? eq_list_images(page->ctx, images, false, &names) : eq_fail_memory(page->ctx, "a path");
    if (status == EQ_OK && *columns == 0)
        *columns = names.count < SHEET_IMAGES ? (int)names.count : SHEET_IMAGES;
    for (int i = 0; i < *columns && status == EQ_OK; i++) {
        status = (size_t)i < names.count ? read_tile(page->ctx, folder, names.name[i], &tiles[*count])
                                         : eq_fail(page->ctx, EQ_BAD_INPUT, "%s: images are missing", folder);
        *count += status == EQ_OK;
    }
    eq_names_free(&names);
    free(images);
    free(folder);
    return status;
}

static bool rejects(const json_t *method)
{
    const eq_method *known = eq_method_find(eq_page_text(method, "method", ""));
    return known && known->rejects;
}

static void write_caption(eq_html *html, const json_t *methods)
{
    const json_t *method;
    size_t i;
    eq_html_raw(html, "<figcaption>The same noise under every method, from top to bottom:");
    json_array_foreach(methods, i, method)
        eq_html_format(html, "%s %s", i ? "," : "", eq_page_text(method, "name", "?"));
    json_array_foreach(methods, i, method)
    {
        if (rejects(method))
            eq_html_format(html, ". What %s drew in place of images that it threw away is of other noise",
                           eq_page_text(method, "name", "?"));
    }
    eq_html_raw(html, "</figcaption>");
}

static eq_status write_sheet(const eq_comparison_page *page, const json_t *methods, const eq_image *tiles, int count,
                             int columns)
{
    eq_image sheet;
    uint8_t *png;
    size_t size;
    EQ_TRY(eq_sheet(page->ctx, tiles, count, columns, 1, &sheet));
    eq_status status = eq_image_encode_png(page->ctx, &sheet, &png, &size);
    int width = sheet.width, height = sheet.height;
    eq_image_free(&sheet);
    EQ_TRY(status);
    eq_html *html = page->html;
    eq_html_raw(html, "<figure>");
    write_caption(html, methods);
    eq_html_format(html,
                   "<img width=\"%d\" height=\"%d\" style=\"max-width:100%%;height:auto\" alt=\"contact "
                   "sheet, one row a method\" src=\"",
                   width, height);
    eq_html_png_uri(html, png, size);
    eq_html_raw(html, "\"></figure>\n");
    free(png);
    return EQ_OK;
}

eq_status eq_comparison_sheet(const eq_comparison_page *page, const json_t *target)
{
    const json_t *methods = json_object_get(target, "methods"), *method;
    size_t rows = json_array_size(methods), i;
    int columns = 0, count = 0;
    eq_image *tiles = calloc(rows * SHEET_IMAGES + 1, sizeof *tiles);
    eq_status status = tiles ? EQ_OK : eq_fail_memory(page->ctx, "a contact sheet");
    json_array_foreach(methods, i, method) if (status == EQ_OK) status =
        read_row(page, method, &columns, tiles, &count);
    if (status == EQ_OK && count > 0)
        status = write_sheet(page, methods, tiles, count, columns);
    if (status == EQ_BAD_INPUT) { /* images may be gone by the time of the report */
        eq_log(page->ctx, EQ_LOG_WARNING, "no contact sheet: %s", eq_last_error(page->ctx));
        status = EQ_OK;
    }
    for (int k = 0; k < count; k++)
        eq_image_free(&tiles[k]);
    free(tiles);
    return status;
}

/* --- P per step --- */

/* The first class's share of an attribute, step by step, in a method's first run. */
typedef struct course {
    int steps;
    double *values, *timesteps; /* [steps] owned */
} course;

static void course_free(course *c)
{
    free(c->values);
    free(c->timesteps);
}

static eq_status read_course(const eq_comparison_page *page, const json_t *method, const char *attribute, course *out)
{
    eq_json run;
    char *folder = run_folder(page, method), *path = folder ? eq_path_join(folder, "run.json") : NULL;
    eq_status status = path ? eq_json_read(page->ctx, path, &run) : eq_fail_memory(page->ctx, "a path");
    free(folder);
    free(path);
    EQ_TRY(status);
    const json_t *seen = json_object_get(json_object_get(run.object, "p_per_step"), attribute);
    const json_t *rows = json_object_get(seen, "p"), *timesteps = json_object_get(seen, "timesteps");
    size_t steps = json_array_size(rows);
    out->values = calloc(steps + 1, sizeof(double));
    out->timesteps = calloc(steps + 1, sizeof(double));
    if (!out->values || !out->timesteps)
        status = eq_fail_memory(page->ctx, "a curve");
    for (size_t s = 0; s < steps && status == EQ_OK; s++) {
        out->values[s] = json_number_value(json_array_get(json_array_get(rows, s), 0));
        out->timesteps[s] = json_number_value(json_array_get(timesteps, s));
    }
    out->steps = (int)steps;
    eq_json_close(&run);
    return status;
}

/* All methods' courses of one attribute in one chart. */
static eq_status draw_courses(const eq_comparison_page *page, const json_t *methods, const char *attribute,
                              const char *class, double wanted)
{
    size_t count = json_array_size(methods);
    course *courses = calloc(count + 1, sizeof *courses);
    eq_chart_series *series = calloc(count + 1, sizeof *series);
    eq_status status = courses && series ? EQ_OK : eq_fail_memory(page->ctx, "a chart");
    int drawn = 0;
    for (size_t i = 0; i < count && status == EQ_OK; i++) {
        const json_t *method = json_array_get(methods, i);
        status = read_course(page, method, attribute, &courses[i]);
        if (status == EQ_OK && courses[i].steps > 1 && courses[i].steps == courses[0].steps) {
            series[drawn] = (eq_chart_series){eq_page_text(method, "name", "?"), courses[i].values, NULL,
                                              drawn ? NAN : wanted, (int)i};
            drawn++;
        }
    }
    if (status == EQ_OK && drawn > 0) {
        eq_html_format(page->html,
                       "<figure class=\"plot\"><figcaption>%s: share of %s as the predictors see it</figcaption>",
                       attribute, class);
        eq_chart_curves(page->html, &(eq_chart_lines){.title = "P per step",
                                                      .steps = courses[0].steps,
                                                      .stride = 1,
                                                      .timesteps = courses[0].timesteps,
                                                      .count = drawn,
                                                      .series = series});
        eq_html_raw(page->html, "</figure>\n");
    }
    for (size_t i = 0; courses && i < count; i++)
        course_free(&courses[i]);
    free(courses);
    free(series);
    return status;
}

eq_status eq_comparison_curves(const eq_comparison_page *page, const json_t *target)
{
    const json_t *methods = json_object_get(target, "methods");
    const json_t *run = json_array_get(json_object_get(json_array_get(methods, 0), "runs"), 0);
    const char *attribute;
    json_t *value;
    eq_html_raw(page->html, "<div class=\"plots\">\n");
    json_object_foreach(json_object_get(json_object_get(run, "evaluation"), "attributes"), attribute, value)
    {
        const json_t *wanted = json_object_get(value, "target");
        void *first = json_object_iter((json_t *)wanted);
        if (first)
            EQ_TRY(draw_courses(page, methods, attribute, json_object_iter_key(first),
                                json_number_value(json_object_iter_value(first))));
    }
    eq_html_raw(page->html, "</div>\n");
    return EQ_OK;
}
