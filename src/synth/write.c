#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/path.h"
#include "synth/portraits.h"

enum { MAX_COUNT = 10000000 };

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

static eq_status write_image(eq_context *ctx, const job *j, uint64_t index)
{
    char *path = eq_format("%s/images/%06" PRIu64 ".png", j->options->out_dir, index);
    if (!path)
        return eq_fail_memory(ctx, "a path");
    eq_image image = {0};
    eq_portrait_labels labels = eq_portrait_sample_labels(j->distribution, j->options->seed, index);
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

static eq_status write_labels(job *j)
{
    char *path = eq_path_join(j->options->out_dir, "labels.csv");
    if (!path)
        return eq_fail_memory(j->ctx, "a path");
    eq_file_writer file = {0};
    eq_status status = eq_file_writer_open(j->ctx, path, &file);
    if (status == EQ_OK)
        status = eq_file_writer_printf(j->ctx, &file, "file_name");
    for (int a = 0; a < EQ_PORTRAIT_ATTRIBUTES && status == EQ_OK; a++)
        status = eq_file_writer_printf(j->ctx, &file, ",%s", eq_portrait_attributes[a].name);
    for (uint64_t i = 0; i < j->options->count && status == EQ_OK; i++) {
        uint64_t index = j->options->first_index + i;
        eq_portrait_labels labels = eq_portrait_sample_labels(j->distribution, j->options->seed, index);
        status = eq_file_writer_printf(j->ctx, &file, "\n%06" PRIu64 ".png", index);
        for (int a = 0; a < EQ_PORTRAIT_ATTRIBUTES && status == EQ_OK; a++)
            status = eq_file_writer_printf(j->ctx, &file, ",%s",
                                           eq_portrait_attributes[a].classes[eq_portrait_label(labels, a)]);
    }
    if (status == EQ_OK)
        status = eq_file_writer_printf(j->ctx, &file, "\n");
    if (status == EQ_OK)
        status = eq_file_writer_commit(j->ctx, &file);
    else
        eq_file_writer_abort(&file);
    free(path);
    return status;
}

/* Makes the folders, and removes the labels of an earlier set: they must not vouch for an unfinished one. */
static eq_status prepare_folder(job *j)
{
    char *images = eq_path_join(j->options->out_dir, "images");
    char *labels = eq_path_join(j->options->out_dir, "labels.csv");
    eq_status status = images && labels ? eq_make_folders(j->ctx, images) : eq_fail_memory(j->ctx, "a path");
    if (status == EQ_OK && unlink(labels) != 0 && errno != ENOENT)
        status = eq_fail_system(j->ctx, "replace", labels, errno);
    free(labels);
    free(images);
    return status;
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
    return write_labels(&j);
}
