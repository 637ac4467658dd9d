#include "eval/report_sheets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "eval/counts.h"
#include "io/sheet.h"

/* -- the sprite -- */

enum { COLUMNS = 20, LARGE = 96, SMALL = 64, FEW = 64 };

/* The size of a tile: that of the first image, scaled down to fit a square. */
static void tile_size(const eq_image *image, size_t count, int *width, int *height)
{
    int side = count <= FEW ? LARGE : SMALL;
    int longest = image->width > image->height ? image->width : image->height;
    double scale = longest > side ? (double)side / longest : 1;
    *width = (int)fmax(1, round(image->width * scale));
    *height = (int)fmax(1, round(image->height * scale));
}

/* tiles: [limit], filled up to sheet->shown. */
static eq_status read_tiles(eq_context *ctx, const eq_report_run *run, size_t limit, eq_report_sheet *sheet,
                            eq_image *tiles)
{
    for (size_t i = 0; i < limit; i++) {
        if (eq_cancelled(ctx))
            return eq_fail(ctx, EQ_CANCELLED, "cancelled");
        eq_image image;
        char *path = eq_path_join(run->folder, run->images.name[i]);
        if (path == NULL)
            return eq_fail_memory(ctx, "a path");
        eq_status status = eq_image_read(ctx, path, &image);
        free(path);
        if (status == EQ_BAD_INPUT || status == EQ_IO_ERROR) {
            eq_log(ctx, EQ_LOG_WARNING, "not in the report: %s", eq_last_error(ctx));
            sheet->unreadable++;
            continue;
        }
        EQ_TRY(status);
        if (sheet->shown == 0)
            tile_size(&image, limit, &sheet->width, &sheet->height);
        status = eq_image_fit(ctx, &image, sheet->width, sheet->height, &tiles[sheet->shown]);
        eq_image_free(&image);
        EQ_TRY(status);
        sheet->image[sheet->shown++] = i;
    }
    return EQ_OK;
}

static eq_status make_sprite(eq_context *ctx, const eq_report_run *run, size_t limit, eq_report_sheet *sheet)
{
    eq_image *tiles = calloc(limit + 1, sizeof(*tiles)), sprite = {0};
    if (tiles == NULL)
        return eq_fail_memory(ctx, "a contact sheet");
    eq_status status = read_tiles(ctx, run, limit, sheet, tiles);
    if (status == EQ_OK && sheet->shown > 0) {
        sheet->columns = sheet->shown < COLUMNS ? sheet->shown : COLUMNS;
        sheet->rows = (sheet->shown + sheet->columns - 1) / sheet->columns;
        status = eq_sheet(ctx, tiles, sheet->shown, sheet->columns, 0, &sprite);
    }
    if (status == EQ_OK && sheet->shown > 0)
        status = eq_image_encode_png(ctx, &sprite, &sheet->png, &sheet->png_size);
    eq_image_free(&sprite);
    for (int i = 0; i < sheet->shown; i++)
        eq_image_free(&tiles[i]);
    free(tiles);
    return status;
}

eq_status eq_report_sheet_new(eq_context *ctx, const eq_report_run *run, eq_report_sheet *out)
{
    size_t count = run->images.count, limit = count < EQ_REPORT_SHEET_IMAGES ? count : EQ_REPORT_SHEET_IMAGES;
    *out = (eq_report_sheet){.image = calloc(limit + 1, sizeof(*out->image))};
    eq_status status = out->image != NULL ? EQ_OK : eq_fail_memory(ctx, "a contact sheet");
    if (status == EQ_OK && run->has_labels) {
        eq_labels_match match;
        out->label_rows = calloc(count + 1, sizeof(*out->label_rows));
        status = out->label_rows != NULL
                     ? eq_labels_match_images(ctx, &run->labels, &run->images, out->label_rows, &match)
                     : eq_fail_memory(ctx, "a contact sheet");
    }
    if (status == EQ_OK)
        status = make_sprite(ctx, run, limit, out);
    if (status != EQ_OK)
        eq_report_sheet_free(out);
    return status;
}

void eq_report_sheet_free(eq_report_sheet *sheet)
{
    free(sheet->image);
    free(sheet->label_rows);
    free(sheet->png);
    *sheet = (eq_report_sheet){0};
}

void eq_report_sheet_style(eq_html *html, const eq_report_sheet *sheet, char letter)
{
    if (sheet->shown == 0)
        return;
    char class_name[2] = {letter, 0};
    eq_html_format(html, ".tile.%s{aspect-ratio:%d/%d;background-size:%d%% %d%%;background-image:url(", class_name,
                   sheet->width, sheet->height, 100 * sheet->columns, 100 * sheet->rows);
    eq_html_png_uri(html, sheet->png, sheet->png_size);
    eq_html_raw(html, ")}\n");
}

/* -- sorting -- */

/* What an image is sorted by. */
typedef struct placed {
    size_t image; /* of run->images */
    int tile;     /* -1: not shown */
    int class;    /* of the view, -1: none */
    float p;      /* of the class, the least one for a cell of several; NAN: not known */
} placed;

/* Appends a class of the image to the name of its cell, e.g. "/yes" to "female"; false where there is none. */
static bool add_class(const eq_report_run *run, int64_t row, const char *attribute, eq_html *cell, float *p)
{
    const eq_labels *labels = &run->labels;
    int a = eq_attribute_find(labels->attributes, labels->attribute_count, attribute);
    size_t at = (size_t)row * (size_t)labels->attribute_count + (size_t)(a < 0 ? 0 : a);
    if (a < 0 || labels->classes[at] < 0)
        return false;
    if (cell->size > 0)
        eq_html_raw(cell, "/");
    eq_html_raw(cell, labels->attributes[a].class_names[labels->classes[at]]);
    if (labels->probabilities != NULL && (isnan(*p) || labels->probabilities[at] < *p))
        *p = labels->probabilities[at];
    return true;
}

/* Leaves `cell` empty where the image has no label of the view's. */
static void labelled_cell(const eq_report_run *run, int64_t row, const char *view, eq_html *cell, float *p)
{
    if (row < 0 || add_class(run, row, view, cell, p))
        return;
    char attribute[256];
    for (const char *part = view;; part++) {
        size_t length = strcspn(part, "*");
        snprintf(attribute, sizeof(attribute), "%.*s", (int)length, part);
        if (!add_class(run, row, attribute, cell, p)) {
            cell->size = 0;
            return;
        }
        part += length;
        if (*part == 0)
            return;
    }
}

static const char *assigned_cell(const eq_report_run *run, size_t image, const char *view)
{
    if (!run->has_manifest)
        return NULL;
    const eq_manifest_entry *entry = &run->manifest.entries[image];
    for (int t = 0; t < entry->target_count; t++)
        if (strcmp(entry->targets[t].target, view) == 0)
            return entry->targets[t].cell;
    return NULL;
}

static int find_class(const eq_report_view *view, const char *name)
{
    for (int i = 0; name != NULL && i < view->count; i++)
        if (strcmp(view->classes[i], name) == 0)
            return i;
    return -1;
}

/* images: [run->images.count], in their order. */
static eq_status place_images(eq_context *ctx, const eq_report_run *run, const eq_report_sheet *sheet,
                              const eq_report_view *view, placed *images)
{
    eq_html cell = {0};
    int tile = 0;
    for (size_t i = 0; i < run->images.count && !cell.failed; i++) {
        bool shown = tile < sheet->shown && sheet->image[tile] == i;
        images[i] = (placed){.image = i, .tile = shown ? tile++ : -1, .p = NAN};
        const char *name = assigned_cell(run, i, view->name);
        if (run->has_labels) {
            cell.size = 0;
            labelled_cell(run, sheet->label_rows[i], view->name, &cell, &images[i].p);
            name = cell.size > 0 ? cell.text : NULL;
        }
        images[i].class = find_class(view, name);
    }
    eq_status status = eq_html_status(ctx, &cell);
    eq_html_free(&cell);
    return status;
}

static bool is_ambiguous(const placed *image)
{
    return image->p < EQ_AMBIGUOUS_BELOW;
}

/* The surest first; those of unknown probability keep their order. */
static int compare_placed(const void *a, const void *b)
{
    const placed *x = a, *y = b;
    if (is_ambiguous(x) != is_ambiguous(y))
        return is_ambiguous(x) - is_ambiguous(y);
    return (x->image > y->image) - (x->image < y->image);
}

/* -- writing -- */

static void write_tile(eq_html *html, const eq_report_run *run, const eq_report_sheet *sheet, const placed *image,
                       char letter)
{
    char letters[2] = {letter, 0};
    int column = image->tile % sheet->columns, row = image->tile / sheet->columns;
    eq_html_format(html, "<i class=\"tile %s%s\" style=\"background-position:%.5g%% %.5g%%\" title=\"%s", letters,
                   is_ambiguous(image) ? " unsure" : "", sheet->columns > 1 ? 100.0 * column / (sheet->columns - 1) : 0,
                   sheet->rows > 1 ? 100.0 * row / (sheet->rows - 1) : 0, eq_path_name(run->images.name[image->image]));
    if (isfinite(image->p))
        eq_html_format(html, ", %.0f%% sure", 100 * image->p);
    eq_html_raw(html, "\"></i>");
}

/* class: of the view, or -1 for the rest. */
static void write_class(eq_html *html, const eq_report_run *run, const eq_report_sheet *sheet,
                        const eq_report_view *view, const placed *images, int class, char letter, const char *when)
{
    size_t count = 0, unsure = 0;
    int shown = 0;
    for (size_t i = 0; i < run->images.count; i++) {
        count += images[i].class == class;
        unsure += images[i].class == class && is_ambiguous(&images[i]);
        shown += images[i].class == class && images[i].tile >= 0;
    }
    if (class < 0 && count == 0)
        return;
    bool alone = class < 0 && count == run->images.count;
    const char *name = class >= 0 ? view->classes[class] : alone ? "not sorted" : "no label";
    eq_html_raw(html, "<figure><figcaption>");
    if (class >= 0)
        eq_html_format(html, "<span class=\"dot k%d\"></span>", class % 6);
    eq_html_format(html, "<b>%s</b> <span>%zu of %zu \u00b7 %.1f%%</span>", name, count, run->images.count,
                   100.0 * (double)count / (double)run->images.count);
    if (unsure > 0)
        eq_html_format(html, " <span class=\"unsure-note\">%zu ambiguous</span>", unsure);
    eq_html_raw(html, "</figcaption>");
    if (shown > 0) {
        eq_html_format(html, "<div class=\"tiles\" role=\"img\" aria-label=\"%d images, %s, %s\">", shown, name, when);
        for (size_t i = 0; i < run->images.count; i++)
            if (images[i].class == class && images[i].tile >= 0)
                write_tile(html, run, sheet, &images[i], letter);
        eq_html_raw(html, "</div>");
    } else {
        eq_html_raw(html, count == 0 ? "<p class=\"none\">none</p>" : "<p class=\"none\">none among those shown</p>");
    }
    eq_html_raw(html, "</figure>\n");
}

eq_status eq_report_sheet_side(eq_context *ctx, eq_html *html, const eq_report_run *run, const eq_report_sheet *sheet,
                               const eq_report_view *view, char letter, const char *when)
{
    placed *images = calloc(run->images.count + 1, sizeof(*images));
    if (images == NULL)
        return eq_fail_memory(ctx, "a contact sheet");
    eq_status status = place_images(ctx, run, sheet, view, images);
    bool sorted = false;
    for (size_t i = 0; status == EQ_OK && i < run->images.count; i++)
        sorted |= images[i].class >= 0;
    if (status == EQ_OK) {
        qsort(images, run->images.count, sizeof(*images), compare_placed);
        for (int k = 0; sorted && k < view->count; k++)
            write_class(html, run, sheet, view, images, k, letter, when);
        write_class(html, run, sheet, view, images, -1, letter, when);
    }
    free(images);
    return status;
}

/* -- pairs -- */

/* The twin of image i among before's images, or -1. */
static int64_t find_twin(const eq_report_run *run, const eq_report_run *before, size_t i)
{
    const eq_manifest_entry *entry = &run->manifest.entries[i];
    const eq_manifest_entry *twin = eq_manifest_find(&before->manifest, entry->index);
    return twin != NULL && twin->seed == entry->seed ? twin - before->manifest.entries : -1;
}

static void write_pair(eq_html *html, const eq_report_run *run, const eq_report_sheet *sheet, const placed *image,
                       const eq_report_run *before, const eq_report_sheet *before_sheet, const placed *twin)
{
    eq_html_raw(html, "<span class=\"pair\">");
    write_tile(html, before, before_sheet, twin, 'b');
    eq_html_raw(html, "<span class=\"arrow\">\u2192</span>");
    write_tile(html, run, sheet, image, 'a');
    eq_html_raw(html, "</span>");
}

eq_status eq_report_sheet_pairs(eq_context *ctx, eq_html *html, const eq_report_run *run, const eq_report_sheet *sheet,
                                const eq_report_run *before, const eq_report_sheet *before_sheet,
                                const eq_report_view *view, int limit)
{
    if (!run->has_labels || !run->has_manifest || !before->has_labels || !before->has_manifest)
        return EQ_OK;
    placed *images = calloc(run->images.count + 1, sizeof(*images));
    placed *twins = calloc(before->images.count + 1, sizeof(*twins));
    eq_html pairs = {0};
    eq_status status = images != NULL && twins != NULL ? EQ_OK : eq_fail_memory(ctx, "a contact sheet");
    if (status == EQ_OK)
        status = place_images(ctx, run, sheet, view, images);
    if (status == EQ_OK)
        status = place_images(ctx, before, before_sheet, view, twins);
    size_t known = 0, changed = 0;
    int shown = 0;
    for (size_t i = 0; status == EQ_OK && i < run->images.count; i++) {
        int64_t twin = find_twin(run, before, i);
        if (twin < 0 || images[i].class < 0 || twins[twin].class < 0)
            continue;
        known++;
        if (images[i].class == twins[twin].class)
            continue;
        changed++;
        if (shown < limit && images[i].tile >= 0 && twins[twin].tile >= 0) {
            write_pair(&pairs, run, sheet, &images[i], before, before_sheet, &twins[twin]);
            shown++;
        }
    }
    if (status == EQ_OK && known > 0)
        eq_html_format(html,
                       "<p class=\"twins\"><b>%zu of %zu</b> images changed class between the two sets; the "
                       "other %zu kept theirs. Each pair starts from the same noise%s.</p>\n",
                       changed, known, known - changed, (size_t)shown < changed ? " (the first are shown)" : "");
    if (status == EQ_OK && shown > 0) {
        eq_html_format(html, "<div class=\"pairs\" role=\"img\" aria-label=\"%d pairs of images before and after\">",
                       shown);
        eq_html_raw(html, pairs.text);
        eq_html_raw(html, "</div>\n");
    }
    if (pairs.failed)
        html->failed = true;
    eq_html_free(&pairs);
    free(images);
    free(twins);
    return status;
}
