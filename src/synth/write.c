#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/path.h"
#include "synth/occupations.h"

enum { MAX_COUNT = 10000000 };
static const char labels_name[] = "labels.csv", captions_name[] = "captions.csv";

/* What the threads share. A context serves one thread at a time: `ctx` is written to only in the critical section,
 * and each thread draws with a context of its own. */
typedef struct job {
    eq_context *ctx;
    const eq_synth_options *options;
    const eq_portrait_distribution *distribution;
    int size;
    eq_synth_progress progress;
    void *user;
    uint64_t done;
    eq_status status; /* of the first failure */
} job;

static eq_portrait_labels sample_labels(const job *j, uint64_t index)
{
    const eq_synth_options *o = j->options;
    return o->occupations ? eq_occupations_sample_labels(o->occupations, o->seed, index)
                          : eq_portrait_sample_labels(j->distribution, o->seed, index);
}

static eq_status write_image(eq_context *ctx, const job *j, uint64_t index)
{
    char *path = eq_format("%s/images/%06" PRIu64 ".png", j->options->out_dir, index);
    if (!path)
        return eq_fail_memory(ctx, "a path");
    eq_image image = {0};
    eq_portrait_labels labels = sample_labels(j, index);
    eq_status status = eq_portrait_draw(ctx, j->size, j->options->seed, index, labels, &image);
    if (status == EQ_OK)
        status = eq_image_write_png(ctx, path, &image);
    eq_image_free(&image);
    free(path);
    return status;
}

/* Called by one thread at a time. */
static void note_image(job *j, const eq_context *thread_ctx, eq_status status)
{
    if (status == EQ_OK) {
        j->done++;
        if (j->progress)
            j->progress(j->user, j->done, j->options->count);
    } else if (j->status == EQ_OK) {
        if (thread_ctx)
            eq_fail(j->ctx, status, "%s", eq_last_error(thread_ctx));
        else
            eq_fail_memory(j->ctx, "a drawing thread's context");
#pragma omp atomic write
        j->status = status;
    }
}

static void write_images(job *j)
{
#pragma omp parallel num_threads(eq_threads(j->ctx))
    {
        eq_context *ctx = eq_context_new();
#pragma omp for schedule(dynamic, 16)
        for (uint64_t i = 0; i < j->options->count; i++) {
            eq_status status;
#pragma omp atomic read
            status = j->status;
            if (status != EQ_OK || eq_cancelled(j->ctx))
                continue;
            status = ctx ? write_image(ctx, j, j->options->first_index + i) : EQ_NO_MEMORY;
#pragma omp critical(eq_synth_progress)
            note_image(j, ctx, status);
        }
        eq_context_free(ctx);
    }
}

/* A table with a line for each portrait, its columns behind file_name written by these two. */
typedef struct table {
    const char *name;
    eq_status (*write_header)(job *j, eq_file_writer *file);
    eq_status (*write_row)(job *j, eq_file_writer *file, uint64_t index);
} table;

static eq_status write_label_header(job *j, eq_file_writer *file)
{
    for (int a = 0; a < EQ_PORTRAIT_ATTRIBUTES; a++)
        EQ_TRY(eq_file_writer_printf(j->ctx, file, ",%s", eq_portrait_attributes[a].name));
    return j->options->occupations ? eq_file_writer_printf(j->ctx, file, ",occupation") : EQ_OK;
}

static eq_status write_label_row(job *j, eq_file_writer *file, uint64_t index)
{
    const eq_portrait_labels labels = sample_labels(j, index);
    for (int a = 0; a < EQ_PORTRAIT_ATTRIBUTES; a++)
        EQ_TRY(eq_file_writer_printf(j->ctx, file, ",%s",
                                     eq_portrait_attributes[a].classes[eq_portrait_label(labels, a)]));
    return j->options->occupations ? eq_file_writer_printf(j->ctx, file, ",%s", eq_occupation_names[labels.occupation])
                                   : EQ_OK;
}

static eq_status write_caption_header(job *j, eq_file_writer *file)
{
    return eq_file_writer_printf(j->ctx, file, ",caption");
}

static eq_status write_caption_row(job *j, eq_file_writer *file, uint64_t index)
{
    char caption[EQ_PORTRAIT_CAPTION_SIZE];
    eq_portrait_caption(j->options->seed, index, sample_labels(j, index), caption);
    return eq_file_writer_printf(j->ctx, file, ",\"%s\"", caption);
}

static eq_status write_rows(job *j, eq_file_writer *file, const table *t)
{
    EQ_TRY(eq_file_writer_printf(j->ctx, file, "file_name"));
    EQ_TRY(t->write_header(j, file));
    for (uint64_t i = 0; i < j->options->count; i++) {
        const uint64_t index = j->options->first_index + i;
        EQ_TRY(eq_file_writer_printf(j->ctx, file, "\n%06" PRIu64 ".png", index));
        EQ_TRY(t->write_row(j, file, index));
    }
    return eq_file_writer_printf(j->ctx, file, "\n");
}

static eq_status write_table(job *j, const table *t)
{
    char *path = eq_path_join(j->options->out_dir, t->name);
    if (!path)
        return eq_fail_memory(j->ctx, "a path");
    eq_file_writer file = {0};
    eq_status status = eq_file_writer_open(j->ctx, path, &file);
    if (status == EQ_OK)
        status = write_rows(j, &file, t);
    if (status == EQ_OK)
        status = eq_file_writer_commit(j->ctx, &file);
    else
        eq_file_writer_abort(&file);
    free(path);
    return status;
}

static eq_status write_tables(job *j)
{
    static const table labels = {labels_name, write_label_header, write_label_row},
                       captions = {captions_name, write_caption_header, write_caption_row};
    if (j->options->occupations)
        EQ_TRY(write_table(j, &captions));
    return write_table(j, &labels);
}

static eq_status remove_table(job *j, const char *name)
{
    char *path = eq_path_join(j->options->out_dir, name);
    if (!path)
        return eq_fail_memory(j->ctx, "a path");
    eq_status status = unlink(path) != 0 && errno != ENOENT ? eq_fail_system(j->ctx, "replace", path, errno) : EQ_OK;
    free(path);
    return status;
}

/* Makes the folders, and removes the tables of an earlier set: they must not vouch for an unfinished one. */
static eq_status prepare_folder(job *j)
{
    char *images = eq_path_join(j->options->out_dir, "images");
    eq_status status = images ? eq_make_folders(j->ctx, images) : eq_fail_memory(j->ctx, "a path");
    free(images);
    EQ_TRY(status);
    EQ_TRY(remove_table(j, labels_name));
    return remove_table(j, captions_name);
}

static eq_status check_options(eq_context *ctx, const eq_synth_options *options)
{
    if (options->count < 1 || options->count > MAX_COUNT)
        return eq_fail(ctx, EQ_BAD_USAGE, "count must be 1 to %d, not %" PRIu64, MAX_COUNT, options->count);
    if (options->first_index > UINT64_MAX - options->count)
        return eq_fail(ctx, EQ_BAD_USAGE, "first index %" PRIu64 " leaves no room for %" PRIu64 " portraits",
                       options->first_index, options->count);
    if (options->size != 0 && (options->size < EQ_PORTRAIT_MIN_SIZE || options->size > EQ_PORTRAIT_MAX_SIZE))
        return eq_fail(ctx, EQ_BAD_USAGE, "portrait size must be %d..%d pixels, got %d", EQ_PORTRAIT_MIN_SIZE,
                       EQ_PORTRAIT_MAX_SIZE, options->size);
    if (!options->out_dir || options->out_dir[0] == '\0')
        return eq_fail(ctx, EQ_BAD_USAGE, "portraits need an output folder");
    return EQ_OK;
}

eq_status eq_synth_write(eq_context *ctx, const eq_synth_options *options, eq_synth_progress progress, void *user)
{
    EQ_TRY(check_options(ctx, options));
    eq_portrait_distribution biased = eq_portrait_biased();
    job j = {.ctx = ctx,
             .options = options,
             .distribution = options->distribution ? options->distribution : &biased,
             .size = options->size ? options->size : EQ_PORTRAIT_SIZE,
             .progress = progress,
             .user = user};
    EQ_TRY(prepare_folder(&j));
    write_images(&j);
    EQ_TRY(j.status);
    if (eq_cancelled(ctx))
        return eq_fail(ctx, EQ_CANCELLED, "stopped after %" PRIu64 " of %" PRIu64 " portraits", j.done, options->count);
    return write_tables(&j);
}
