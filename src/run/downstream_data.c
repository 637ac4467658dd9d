#include "run/downstream_data.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/attribute.h"
#include "base/path.h"
#include "eval/label_folder.h"

/* The train set alone has this name. */
static const char TRAIN[] = "train";

/* --- folders --- */

static void folder_free(eq_downstream_folder *folder)
{
    free(folder->images);
    free(folder->labels);
    free(folder->rows);
    eq_names_free(&folder->files);
    eq_labels_free(&folder->table);
}

/* Where the folder has its images and its table. `option` is named in messages. */
static eq_status locate(eq_context *ctx, const char *path, const char *option, eq_downstream_folder *out)
{
    if (!eq_path_is_folder(path))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: no such folder; %s takes a folder with images and labels.csv", path,
                       option);
    out->images = eq_path_join(path, "images");
    out->labels = eq_path_join(path, "labels.csv");
    if (!out->images || !out->labels)
        return eq_fail_memory(ctx, "a path");
    if (eq_path_is_folder(out->images))
        return EQ_OK;
    free(out->images);
    out->images = strdup(path);
    return out->images ? EQ_OK : eq_fail_memory(ctx, "a path");
}

/* Labels of the labeller, in place of the table that the folder does not have. */
static eq_status ask_labeller(eq_context *ctx, const eq_downstream_options *options, eq_downstream_folder *folder)
{
    if (!options->labeller)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: no such table; label the images with --labeller CLASSIFIER",
                       folder->labels);
    free(folder->labels);
    folder->labels = eq_format("%s/labels/%s.csv", options->out, folder->name);
    char *parent = folder->labels ? eq_path_folder(folder->labels) : NULL;
    eq_status status = parent ? eq_make_folders(ctx, parent) : eq_fail_memory(ctx, "a path");
    free(parent);
    EQ_TRY(status);
    eq_classifier *classifier;
    EQ_TRY(eq_classifier_open(ctx, options->labeller, &classifier));
    eq_folder_labels answers = {0};
    status = eq_label_folder(ctx, classifier, &(eq_label_folder_options){.folder = folder->images, .strict = true},
                             &answers);
    int count;
    const eq_attribute *attributes = eq_classifier_attributes(classifier, &count);
    if (status == EQ_OK)
        status = eq_write_labels(ctx, folder->labels, (const char *const *)answers.files.name,
                                 (int64_t)answers.files.count, attributes, count, answers.probabilities);
    eq_folder_labels_free(&answers);
    eq_classifier_close(classifier);
    return status;
}

/* SHA-256 over names, images and classes. */
static eq_status hash_folder(eq_context *ctx, eq_downstream_folder *folder)
{
    eq_sha256 hash = eq_sha256_start();
    for (size_t i = 0; i < folder->files.count; i++) {
        char hex[EQ_SHA256_HEX], *path = eq_path_join(folder->images, folder->files.name[i]);
        eq_status status = path ? eq_sha256_file(ctx, path, hex) : eq_fail_memory(ctx, "a path");
        free(path);
        EQ_TRY(status);
        eq_sha256_update(&hash, folder->files.name[i], strlen(folder->files.name[i]) + 1);
        eq_sha256_update(&hash, hex, sizeof hex);
        for (int a = 0; a < folder->table.attribute_count; a++) {
            int k =
                folder->rows[i] < 0 ? -1 : folder->table.classes[folder->rows[i] * folder->table.attribute_count + a];
            const char *name = k < 0 ? "" : folder->table.attributes[a].class_names[k];
            eq_sha256_update(&hash, folder->table.attributes[a].name, strlen(folder->table.attributes[a].name) + 1);
            eq_sha256_update(&hash, name, strlen(name) + 1);
        }
    }
    uint8_t digest[EQ_SHA256_BYTES];
    eq_sha256_finish(&hash, digest);
    eq_sha256_to_hex(digest, folder->hash);
    return EQ_OK;
}

static eq_status read_folder(eq_context *ctx, eq_downstream_folder *folder)
{
    EQ_TRY(eq_labels_read(ctx, folder->labels, &folder->table));
    EQ_TRY(eq_list_images(ctx, folder->images, true, &folder->files));
    folder->rows = calloc(folder->files.count + 1, sizeof *folder->rows);
    if (!folder->rows)
        return eq_fail_memory(ctx, "labels");
    eq_labels_match match;
    EQ_TRY(eq_labels_match_images(ctx, &folder->table, &folder->files, folder->rows, &match));
    if (match.matched == 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s names none of the %zu images in %s", folder->labels, folder->files.count,
                       folder->images);
    if (match.images_unmatched || match.labels_unmatched)
        eq_log(ctx, EQ_LOG_WARNING, "%s: %zu images without labels and %zu labels without an image are left out",
               folder->labels, match.images_unmatched, match.labels_unmatched);
    return hash_folder(ctx, folder);
}

static eq_status check_name(eq_context *ctx, const eq_downstream_options *options, int i)
{
    const char *name = options->added[i].name;
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
            return eq_fail(ctx, EQ_BAD_USAGE, "--add %s: a name is of letters, digits, '.', '_' and '-'", name);
    if (name[0] == '\0' || name[0] == '.' || strcmp(name, TRAIN) == 0 || strcmp(name, "labels") == 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "--add %s=...: choose another name", name);
    for (int j = 0; j < i; j++)
        if (strcmp(options->added[j].name, name) == 0)
            return eq_fail(ctx, EQ_BAD_USAGE, "--add %s is given twice", name);
    return EQ_OK;
}

static eq_status open_folders(eq_context *ctx, const eq_downstream_options *options, eq_downstream_data *out)
{
    out->train.name = TRAIN;
    EQ_TRY(locate(ctx, options->train, "--train", &out->train));
    EQ_TRY(read_folder(ctx, &out->train));
    EQ_TRY(locate(ctx, options->test, "--test", &out->test));
    EQ_TRY(read_folder(ctx, &out->test));
    if (strcmp(out->train.hash, out->test.hash) == 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "%s and %s are the same images: test on others than are learnt from",
                       options->train, options->test);
    out->added = calloc((size_t)options->added_count + 1, sizeof *out->added);
    if (!out->added)
        return eq_fail_memory(ctx, "folders");
    for (int i = 0; i < options->added_count; i++) {
        EQ_TRY(check_name(ctx, options, i));
        eq_downstream_folder *folder = &out->added[out->added_count++];
        folder->name = options->added[i].name;
        EQ_TRY(locate(ctx, options->added[i].folder, "--add", folder));
        if (!eq_path_exists(folder->labels))
            EQ_TRY(ask_labeller(ctx, options, folder));
        EQ_TRY(read_folder(ctx, folder));
    }
    return EQ_OK;
}

/* --- attributes and groups --- */

static eq_status add_attribute(eq_context *ctx, eq_downstream_data *data, const eq_downstream_folder *folder,
                               const char *name)
{
    if (eq_attribute_find(data->attributes, data->attribute_count, name) >= 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "attribute \"%s\" is given twice: groups are by others than what is learnt",
                       name);
    if (data->attribute_count > EQ_TARGET_ATTRIBUTES)
        return eq_fail(ctx, EQ_BAD_USAGE, "--groups: at most %d attributes", EQ_TARGET_ATTRIBUTES);
    int column = eq_attribute_find(folder->table.attributes, folder->table.attribute_count, name);
    if (column < 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "%s: no attribute \"%s\"; the first is \"%s\"", folder->labels, name,
                       folder->table.attributes[0].name);
    eq_attribute *copy = &data->attributes[data->attribute_count];
    EQ_TRY(eq_attribute_copy(ctx, &folder->table.attributes[column], copy));
    data->attribute_count++;
    return EQ_OK;
}

static eq_status choose_attributes(eq_context *ctx, const eq_downstream_options *options, eq_downstream_data *data)
{
    EQ_TRY(add_attribute(ctx, data, &data->train, options->attribute));
    char *names = strdup(options->groups);
    eq_status status = names ? EQ_OK : eq_fail_memory(ctx, "groups");
    for (char *rest = names, *name; status == EQ_OK && (name = strsep(&rest, "*")) != NULL;)
        status = add_attribute(ctx, data, &data->test, name);
    free(names);
    data->classes = data->attributes[0].classes;
    data->groups = 1;
    for (int a = 1; status == EQ_OK && a < data->attribute_count; a++) {
        data->groups *= data->attributes[a].classes;
        if (data->groups * data->classes > EQ_TARGET_CELLS)
            status = eq_fail(ctx, EQ_BAD_USAGE, "--groups %s: more than %d groups and classes", options->groups,
                             EQ_TARGET_CELLS);
    }
    return status;
}

/* The cell of an image, -1 where a label is missing or of another class. columns: [attribute_count] of the table */
static int cell_of(const eq_downstream_data *data, const eq_downstream_folder *folder, const int *columns, size_t image)
{
    const eq_labels *table = &folder->table;
    int class = -1, group = 0;
    for (int a = 0; a < data->attribute_count; a++) {
        int theirs = -1, ours = -1;
        if (folder->rows[image] >= 0 && columns[a] >= 0)
            theirs = table->classes[folder->rows[image] * table->attribute_count + columns[a]];
        if (theirs >= 0)
            ours = eq_class_find(&data->attributes[a], table->attributes[columns[a]].class_names[theirs]);
        if (ours < 0)
            return -1;
        if (a == 0)
            class = ours;
        else
            group = group * data->attributes[a].classes + ours;
    }
    return group * data->classes + class;
}

static void find_columns(const eq_downstream_data *data, const eq_downstream_folder *folder, int *columns)
{
    for (int a = 0; a < data->attribute_count; a++)
        columns[a] =
            eq_attribute_find(folder->table.attributes, folder->table.attribute_count, data->attributes[a].name);
}

void eq_downstream_count(const eq_downstream_data *data, const eq_downstream_folder *folder, int *cells, bool *complete)
{
    int columns[1 + EQ_TARGET_ATTRIBUTES];
    find_columns(data, folder, columns);
    for (size_t i = 0; i < folder->files.count; i++) {
        int cell = cell_of(data, folder, columns, i);
        if (cell >= 0)
            cells[cell]++;
        else if (folder->rows[i] >= 0)
            *complete = false;
    }
}

char *eq_downstream_cell_name(const eq_downstream_data *data, int cell)
{
    char *name = strdup(data->attributes[0].class_names[cell % data->classes]);
    int group = cell / data->classes;
    for (int a = data->attribute_count - 1; name && a > 0; a--) {
        char *longer = eq_format("%s/%s", data->attributes[a].class_names[group % data->attributes[a].classes], name);
        group /= data->attributes[a].classes;
        free(name);
        name = longer;
    }
    return name;
}

/* --- what is graded on --- */

static eq_status check_test_classes(eq_context *ctx, const eq_downstream_data *data)
{
    int column =
        eq_attribute_find(data->test.table.attributes, data->test.table.attribute_count, data->attributes[0].name);
    if (column < 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: no column \"%s\", which is to be graded", data->test.labels,
                       data->attributes[0].name);
    const eq_attribute *theirs = &data->test.table.attributes[column];
    for (int k = 0; k < theirs->classes; k++)
        if (eq_class_find(&data->attributes[0], theirs->class_names[k]) < 0)
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s has a class \"%s\", which %s does not have to learn from",
                           data->test.labels, theirs->name, theirs->class_names[k], data->train.labels);
    return EQ_OK;
}

static eq_status choose_test_images(eq_context *ctx, eq_downstream_data *data)
{
    size_t count = data->test.files.count;
    data->group = calloc(count + 1, sizeof *data->group);
    data->truth = calloc(count + 1, sizeof *data->truth);
    data->file = calloc(count + 1, sizeof *data->file);
    int *cells = calloc((size_t)(data->groups * data->classes), sizeof *cells);
    if (!data->group || !data->truth || !data->file || !cells) {
        free(cells);
        return eq_fail_memory(ctx, "the test set");
    }
    int columns[1 + EQ_TARGET_ATTRIBUTES];
    find_columns(data, &data->test, columns);
    for (size_t i = 0; i < count; i++) {
        int cell = cell_of(data, &data->test, columns, i);
        if (cell < 0)
            continue;
        cells[cell]++;
        data->group[data->n] = cell / data->classes;
        data->truth[data->n] = cell % data->classes;
        data->file[data->n++] = (int)i;
    }
    if ((size_t)data->n < count)
        eq_log(ctx, EQ_LOG_WARNING, "%s: %zu of %zu images lack a label and are not graded on", data->test.labels,
               count - (size_t)data->n, count);
    eq_status status = EQ_OK;
    for (int c = 0; status == EQ_OK && c < data->groups * data->classes; c++)
        if (cells[c] == 0) {
            char *name = eq_downstream_cell_name(data, c);
            status = eq_fail(ctx, EQ_BAD_INPUT, "%s: no image of %s; every group needs images of every class",
                             data->test.labels, name ? name : "some group");
            free(name);
        }
    free(cells);
    return status;
}

eq_status eq_downstream_data_open(eq_context *ctx, const eq_downstream_options *options, eq_downstream_data *out)
{
    *out = (eq_downstream_data){0};
    eq_status status = open_folders(ctx, options, out);
    if (status == EQ_OK)
        status = choose_attributes(ctx, options, out);
    if (status == EQ_OK)
        status = check_test_classes(ctx, out);
    if (status == EQ_OK)
        status = choose_test_images(ctx, out);
    if (status != EQ_OK)
        eq_downstream_data_free(out);
    return status;
}

void eq_downstream_data_free(eq_downstream_data *data)
{
    folder_free(&data->train);
    folder_free(&data->test);
    for (int i = 0; i < data->added_count; i++)
        folder_free(&data->added[i]);
    free(data->added);
    for (int a = 0; a < data->attribute_count; a++)
        eq_attribute_clear(&data->attributes[a]);
    free(data->group);
    free(data->truth);
    free(data->file);
    *data = (eq_downstream_data){0};
}
