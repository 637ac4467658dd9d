#include "io/labels_table.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void eq_label_table_free(eq_label_table *table)
{
    for (int c = 0; c < table->column_count; c++) {
        eq_label_column *column = &table->columns[c];
        for (int k = 0; k < column->class_count; k++)
            free(column->classes[k]);
        free(column->classes);
        free(column->index);
        free(column->p);
        free(column->name);
    }
    for (size_t i = 0; i < table->count; i++)
        free(table->files[i]);
    free(table->columns);
    free(table->files);
    free(table->lines);
}

static eq_status fail_memory(const eq_label_table *table)
{
    return eq_fail_memory(table->ctx, "a table of labels");
}

/* Resizes *array (of pointers or structs) and returns whether that worked; the old array stays on failure. */
static bool resize(void *array, size_t count, size_t element)
{
    void *old;
    memcpy(&old, array, sizeof old);
    void *grown = reallocarray(old, count, element);
    if (grown)
        memcpy(array, &grown, sizeof grown);
    return grown;
}

int eq_label_table_column(const eq_label_table *table, const char *name)
{
    for (int c = 0; c < table->column_count; c++)
        if (strcmp(table->columns[c].name, name) == 0)
            return c;
    return -1;
}

/* The attribute that a column called `name` gives the probabilities of, or -1. */
static int probability_of(const eq_label_table *table, const char *name)
{
    size_t length = strlen(name);
    if (length < 3 || strcmp(name + length - 2, "_p") != 0)
        return -1;
    for (int c = 0; c < table->column_count; c++) {
        const eq_label_column *column = &table->columns[c];
        if (column->probability_of < 0 && strlen(column->name) == length - 2 &&
            memcmp(column->name, name, length - 2) == 0)
            return c;
    }
    return -1;
}

static eq_status give_probabilities(const eq_label_table *table, eq_label_column *column)
{
    column->p = malloc((table->capacity + 1) * sizeof *column->p);
    if (!column->p)
        return fail_memory(table);
    for (size_t i = 0; i < table->count; i++)
        column->p[i] = NAN;
    return EQ_OK;
}

/* An attribute "X_p" that stood before "X" would be taken for X's probability once the table is written. */
static eq_status check_order(const eq_label_table *table, const char *name, size_t line)
{
    size_t length = strlen(name);
    for (int c = 0; c < table->column_count; c++) {
        const char *other = table->columns[c].name;
        if (strncmp(other, name, length) == 0 && strcmp(other + length, "_p") == 0)
            return eq_fail(table->ctx, EQ_BAD_INPUT,
                           "%s: line %zu: \"%s\" comes after \"%s\", its probability; put it first, or rename one",
                           table->name, line, name, other);
    }
    return EQ_OK;
}

eq_status eq_label_table_add_column(eq_label_table *table, const char *name, size_t line)
{
    if (!name[0])
        return eq_fail(table->ctx, EQ_BAD_INPUT, "%s: line %zu: an attribute has no name", table->name, line);
    if (table->column_count == EQ_LABELS_MAX_ATTRIBUTES)
        return eq_fail(table->ctx, EQ_BAD_INPUT, "%s: line %zu: more than %d attributes", table->name, line,
                       EQ_LABELS_MAX_ATTRIBUTES);
    EQ_TRY(check_order(table, name, line));
    if (!resize(&table->columns, (size_t)table->column_count + 1, sizeof *table->columns))
        return fail_memory(table);
    eq_label_column column = {.name = strdup(name),
                              .index = malloc((table->capacity + 1) * sizeof *column.index),
                              .probability_of = probability_of(table, name)};
    if (!column.name || !column.index) {
        free(column.name);
        free(column.index);
        return fail_memory(table);
    }
    for (size_t i = 0; i < table->count; i++)
        column.index[i] = -1;
    table->columns[table->column_count++] = column;
    return column.probability_of < 0 ? EQ_OK : give_probabilities(table, &table->columns[column.probability_of]);
}

eq_status eq_label_table_add_row(eq_label_table *table, const char *file, size_t line)
{
    while (strncmp(file, "./", 2) == 0)
        file += 2;
    if (!file[0])
        return eq_fail(table->ctx, EQ_BAD_INPUT, "%s: line %zu: \"file_name\" is empty", table->name, line);
    if (table->count == table->capacity) {
        size_t capacity = table->capacity ? table->capacity * 2 : 256;
        bool grown = resize(&table->files, capacity, sizeof *table->files) &&
                     resize(&table->lines, capacity, sizeof *table->lines);
        for (int c = 0; c < table->column_count && grown; c++)
            grown = resize(&table->columns[c].index, capacity, sizeof(int)) &&
                    (!table->columns[c].p || resize(&table->columns[c].p, capacity, sizeof(float)));
        if (!grown)
            return fail_memory(table);
        table->capacity = capacity;
    }
    char *copy = strdup(file);
    if (!copy)
        return fail_memory(table);
    for (int c = 0; c < table->column_count; c++) {
        table->columns[c].index[table->count] = -1;
        if (table->columns[c].p)
            table->columns[c].p[table->count] = NAN;
    }
    table->lines[table->count] = line;
    table->files[table->count++] = copy;
    return EQ_OK;
}

static eq_status set_probability(eq_label_table *table, const eq_label_column *column, const char *text, size_t line)
{
    char *end;
    float p = strtof(text, &end);
    if (end == text || *end || !(p >= 0 && p <= 1))
        return eq_fail(table->ctx, EQ_BAD_INPUT,
                       "%s: line %zu: \"%s\" should be a probability from 0 to 1, as there is a column \"%s\", not "
                       "\"%s\"",
                       table->name, line, column->name, table->columns[column->probability_of].name, text);
    table->columns[column->probability_of].p[table->count - 1] = p;
    return EQ_OK;
}

eq_status eq_label_table_set(eq_label_table *table, int c, const char *class_name, size_t line)
{
    eq_label_column *column = &table->columns[c];
    if (!class_name[0])
        return EQ_OK;
    if (column->probability_of >= 0)
        return set_probability(table, column, class_name, line);
    int k = 0;
    while (k < column->class_count && strcmp(column->classes[k], class_name) != 0)
        k++;
    if (k == EQ_LABELS_MAX_CLASSES)
        return eq_fail(
            table->ctx, EQ_BAD_INPUT,
            "%s: line %zu: \"%s\" has more than %d classes; if it is free text or a number, remove the column",
            table->name, line, column->name, EQ_LABELS_MAX_CLASSES);
    if (k == column->class_count) {
        char *copy = strdup(class_name);
        if (!copy || !resize(&column->classes, (size_t)k + 1, sizeof *column->classes)) {
            free(copy);
            return fail_memory(table);
        }
        column->classes[column->class_count++] = copy;
    }
    column->index[table->count - 1] = k;
    return EQ_OK;
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* probabilities: [count, columns] */
static void move_probabilities(eq_label_table *table, int c, float *probabilities)
{
    eq_label_column *column = &table->columns[c];
    for (size_t i = 0; i < table->count; i++)
        probabilities[i * (size_t)table->column_count + (size_t)c] = column->p ? column->p[i] : NAN;
    free(column->p);
}

/* Sorts the classes, which `index` follows. */
static eq_status sort_classes(const eq_label_table *table, eq_label_column *column)
{
    size_t count = (size_t)column->class_count;
    char **sorted = malloc((count + 1) * sizeof *sorted);
    int *position = malloc((count + 1) * sizeof *position);
    if (!sorted || !position) {
        free(sorted);
        free(position);
        return fail_memory(table);
    }
    if (count > 0)
        memcpy(sorted, column->classes, count * sizeof *sorted);
    if (count > 1)
        qsort(sorted, count, sizeof *sorted, compare_strings);
    for (size_t k = 0; k < count; k++) {
        char **found = bsearch(&column->classes[k], sorted, count, sizeof *sorted, compare_strings);
        position[k] = (int)(found - sorted);
    }
    for (size_t i = 0; i < table->count; i++)
        if (column->index[i] >= 0)
            column->index[i] = position[column->index[i]];
    free(position);
    free(column->classes);
    column->classes = sorted;
    return EQ_OK;
}

static void drop_unlabelled(eq_label_table *table)
{
    int kept = 0;
    for (int c = 0; c < table->column_count; c++) {
        eq_label_column *column = &table->columns[c];
        if (column->class_count > 0) {
            table->columns[kept++] = *column;
            continue;
        }
        if (column->probability_of < 0)
            eq_log(table->ctx, EQ_LOG_WARNING, "%s: \"%s\" has no label in any row and is left out", table->name,
                   column->name);
        free(column->name);
        free(column->index);
        free(column->p);
        free(column->classes);
    }
    table->column_count = kept;
}

static int compare_rows(const void *a, const void *b, void *files)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    int names = strcmp(((char **)files)[x], ((char **)files)[y]);
    return names ? names : (x > y) - (x < y);
}

static eq_status order_files(const eq_label_table *table, size_t *order)
{
    for (size_t i = 0; i < table->count; i++)
        order[i] = i;
    qsort_r(order, table->count, sizeof *order, compare_rows, table->files);
    for (size_t i = 1; i < table->count; i++)
        if (strcmp(table->files[order[i - 1]], table->files[order[i]]) == 0)
            return eq_fail(table->ctx, EQ_BAD_INPUT, "%s: line %zu: the file %s was labelled before, in line %zu",
                           table->name, table->lines[order[i]], table->files[order[i]], table->lines[order[i - 1]]);
    return EQ_OK;
}

eq_status eq_label_table_pack(eq_label_table *table, eq_labels *out)
{
    drop_unlabelled(table);
    if (table->count == 0)
        return eq_fail(table->ctx, EQ_BAD_INPUT, "%s: the table has no rows", table->name);
    if (table->column_count == 0)
        return eq_fail(table->ctx, EQ_BAD_INPUT, "%s: the table has no labels: expected an attribute beside file_name",
                       table->name);
    for (int c = 0; c < table->column_count; c++)
        EQ_TRY(sort_classes(table, &table->columns[c]));

    size_t width = (size_t)table->column_count;
    bool probable = false;
    for (size_t c = 0; c < width; c++)
        probable |= table->columns[c].p != NULL;
    eq_labels labels = {
        .attributes = calloc(width, sizeof *labels.attributes),
        .classes = reallocarray(NULL, table->count, width * sizeof *labels.classes),
        .probabilities = probable ? reallocarray(NULL, table->count, width * sizeof(float)) : NULL,
        .order = reallocarray(NULL, table->count, sizeof *labels.order),
    };
    bool complete = labels.attributes && labels.classes && labels.order && (labels.probabilities || !probable);
    eq_status status = complete ? order_files(table, labels.order) : fail_memory(table);
    if (status != EQ_OK) {
        eq_labels_free(&labels);
        return status;
    }
    for (size_t c = 0; c < width; c++) {
        eq_label_column *column = &table->columns[c];
        labels.attributes[c] = (eq_attribute){column->name, column->class_count, (const char *const *)column->classes};
        for (size_t i = 0; i < table->count; i++)
            labels.classes[i * width + c] = column->index[i];
        if (probable)
            move_probabilities(table, (int)c, labels.probabilities);
        free(column->index);
        *column = (eq_label_column){0};
    }
    labels.attribute_count = table->column_count;
    labels.files = table->files;
    labels.count = table->count;
    table->files = NULL;
    table->count = 0;
    *out = labels;
    return EQ_OK;
}
