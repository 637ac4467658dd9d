/* Contact sheets of a report: a run's images as one sprite, shown sorted by what they appear to show. */
#ifndef EQ_EVAL_REPORT_SHEETS_H
#define EQ_EVAL_REPORT_SHEETS_H

#include "eval/html.h"
#include "eval/report_data.h"

enum { EQ_REPORT_SHEET_IMAGES = 400 };

/* The first images of a run, scaled down and laid out as tiles of one PNG. Freed by eq_report_sheet_free. */
typedef struct eq_report_sheet {
    int shown;           /* tiles */
    size_t unreadable;   /* images missing or damaged among the first */
    int columns, rows;   /* of the PNG */
    int width, height;   /* of a tile */
    size_t *image;       /* [shown] which of run->images a tile is, ascending */
    int64_t *label_rows; /* [run->images.count] of run->labels, -1: none; NULL without labels */
    uint8_t *png;
    size_t png_size;
} eq_report_sheet;

/* Images that cannot be read are left out and counted. */
eq_status eq_report_sheet_new(eq_context *ctx, const eq_report_run *run, eq_report_sheet *out);
void eq_report_sheet_free(eq_report_sheet *sheet);

/* The style rules that make <i class="tile LETTER"> show the tiles. */
void eq_report_sheet_style(eq_html *html, const eq_report_sheet *sheet, char letter);

/* A way to sort: by the classes of an attribute, or the cells of a joint target. */
typedef struct eq_report_view {
    const char *name; /* "gender" or "gender*glasses" */
    int count;
    const char *const *classes; /* [count] */
} eq_report_view;

/* One side of the comparison: all classes of the view, with captions and counts. `when` is "before" or "after". */
eq_status eq_report_sheet_side(eq_context *ctx, eq_html *html, const eq_report_run *run, const eq_report_sheet *sheet,
                               const eq_report_view *view, char letter, const char *when);

/* How many twins (images of the same seed and index) changed class, of how many; a strip of such pairs is written for
 * up to `limit`. Both 0 where there are no labels or manifests to tell. */
eq_status eq_report_sheet_pairs(eq_context *ctx, eq_html *html, const eq_report_run *run, const eq_report_sheet *sheet,
                                const eq_report_run *before, const eq_report_sheet *before_sheet,
                                const eq_report_view *view, int limit);

#endif
