#include "io/labels.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

void eq_labels_free(eq_labels *labels)
{
    if (!labels)
        return;
    for (size_t i = 0; i < labels->count; i++)
        free(labels->files[i]);
    for (int a = 0; a < labels->attribute_count; a++) {
        eq_attribute *attribute = &labels->attributes[a];
        for (int k = 0; k < attribute->classes; k++)
            free((char *)attribute->class_names[k]);
        free((void *)attribute->class_names);
        free((char *)attribute->name);
    }
    free(labels->files);
    free(labels->attributes);
    free(labels->classes);
    free(labels->probabilities);
    free(labels->order);
    *labels = (eq_labels){0};
}

int64_t eq_labels_find(const eq_labels *labels, const char *file)
{
    while (strncmp(file, "./", 2) == 0)
        file += 2;
    size_t low = 0, high = labels->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(file, labels->files[labels->order[middle]]);
        if (order == 0)
            return (int64_t)labels->order[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

/* A name without its folders, and where it came from. */
struct short_name {
    const char *name;
    size_t position;
};

static int compare_short_names(const void *a, const void *b)
{
    return strcmp(((const struct short_name *)a)->name, ((const struct short_name *)b)->name);
}

static struct short_name *sorted_short_names(char *const *names, size_t count)
{
    struct short_name *sorted = calloc(count + 1, sizeof *sorted);
    if (!sorted)
        return NULL;
    for (size_t i = 0; i < count; i++)
        sorted[i] = (struct short_name){eq_path_name(names[i]), i};
    qsort(sorted, count, sizeof *sorted, compare_short_names);
    return sorted;
}

/* The end of the run of equal names that starts at `start`. */
static size_t run_end(const struct short_name *sorted, size_t count, size_t start)
{
    size_t end = start + 1;
    while (end < count && strcmp(sorted[start].name, sorted[end].name) == 0)
        end++;
    return end;
}

/* Matches names that occur once on either side; returns how many. */
static eq_status match_short_names(eq_context *ctx, const eq_labels *labels, const eq_names *images, int64_t *rows,
                                   size_t *matched)
{
    struct short_name *image = sorted_short_names(images->name, images->count);
    struct short_name *label = sorted_short_names(labels->files, labels->count);
    eq_status status = image && label ? EQ_OK : eq_fail_memory(ctx, "a comparison of names");
    size_t i = 0, l = 0;
    while (status == EQ_OK && i < images->count && l < labels->count) {
        int order = compare_short_names(&image[i], &label[l]);
        size_t image_end = run_end(image, images->count, i), label_end = run_end(label, labels->count, l);
        if (order == 0 && image_end == i + 1 && label_end == l + 1) {
            rows[image[i].position] = (int64_t)label[l].position;
            (*matched)++;
        }
        if (order <= 0)
            i = image_end;
        if (order >= 0)
            l = label_end;
    }
    free(image);
    free(label);
    return status;
}

eq_status eq_labels_match_images(eq_context *ctx, const eq_labels *labels, const eq_names *images, int64_t *rows,
                                 eq_labels_match *out)
{
    size_t matched = 0;
    for (size_t i = 0; i < images->count; i++) {
        rows[i] = eq_labels_find(labels, images->name[i]);
        matched += rows[i] >= 0;
    }
    if (matched == 0)
        EQ_TRY(match_short_names(ctx, labels, images, rows, &matched));
    *out = (eq_labels_match){
        .matched = matched,
        .images_unmatched = images->count - matched,
        .labels_unmatched = labels->count - matched,
    };
    return EQ_OK;
}

/* Faults of the stream are looked for when all is written. */
static void print_field(FILE *out, const char *text, const char *ending)
{
    size_t length = strlen(text);
    bool quoted =
        strpbrk(text, ",\"\r\n") != NULL || (length > 0 && (strchr(" \t", text[0]) || strchr(" \t", text[length - 1])));
    if (quoted)
        putc('"', out);
    for (; *text; text++) {
        if (*text == '"')
            putc('"', out);
        putc(*text, out);
    }
    fputs(ending, out);
    if (quoted)
        putc('"', out);
}

static void print_header(FILE *out, const eq_labels *labels)
{
    fputs("file_name", out);
    for (int a = 0; a < labels->attribute_count; a++) {
        const char *name = labels->attributes[a].name;
        putc(',', out);
        print_field(out, name, "");
        if (labels->probabilities) {
            putc(',', out);
            print_field(out, name, "_p");
        }
    }
    putc('\n', out);
}

static void print_row(FILE *out, const eq_labels *labels, size_t row)
{
    print_field(out, labels->files[row], "");
    for (int a = 0; a < labels->attribute_count; a++) {
        size_t at = row * (size_t)labels->attribute_count + (size_t)a;
        int k = labels->classes[at];
        putc(',', out);
        if (k >= 0)
            print_field(out, labels->attributes[a].class_names[k], "");
        if (!labels->probabilities)
            continue;
        putc(',', out);
        if (k >= 0 && !isnan(labels->probabilities[at]))
            fprintf(out, "%.4f", (double)labels->probabilities[at]);
    }
    putc('\n', out);
}

void eq_labels_print_csv(FILE *out, const eq_labels *labels)
{
    print_header(out, labels);
    for (size_t i = 0; i < labels->count; i++)
        print_row(out, labels, i);
}

eq_status eq_labels_write_csv(eq_context *ctx, const char *path, const eq_labels *labels)
{
    eq_file_writer writer;
    EQ_TRY(eq_file_writer_open(ctx, path, &writer));
    errno = 0;
    eq_labels_print_csv(writer.stream, labels);
    if (ferror(writer.stream)) {
        eq_status status = eq_fail_system(ctx, "write", path, errno ? errno : EIO);
        eq_file_writer_abort(&writer);
        return status;
    }
    return eq_file_writer_commit(ctx, &writer);
}
