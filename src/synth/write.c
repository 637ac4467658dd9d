#include <inttypes.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/path.h"
#include "synth/portraits.h"

/* What the threads share. */
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

/* Counts the image, or keeps the first failure with the message that it left in `ctx`. One thread at a time. */
static void finish_image(job *j, eq_context *ctx, eq_status status)
{
    if (status != EQ_OK && j->status == EQ_OK) {
        eq_fail(j->ctx, status, "%s", ctx ? eq_last_error(ctx) : "");
#pragma omp atomic write
        j->status = status;
    }
    if (status != EQ_OK)
        return;
    j->done++;
    if (j->progress)
        j->progress(j->user, j->done, j->options->count);
}

static void write_images(job *j)
{
#pragma omp parallel
    {
        eq_context *ctx = eq_context_new(); /* for messages: j->ctx serves one thread at a time */
#pragma omp for schedule(dynamic, 16)
        for (uint64_t i = 0; i < j->options->count; i++) {
            eq_status status;
#pragma omp atomic read
            status = j->status;
            if (status != EQ_OK || eq_cancelled(j->ctx))
                continue;
            status = write_image(ctx, j, j->options->first_index + i);
#pragma omp critical(eq_synth_progress)
            finish_image(j, ctx, status);
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

static eq_status make_folders(job *j)
{
    char *images = eq_path_join(j->options->out_dir, "images");
    if (!images)
        return eq_fail_memory(j->ctx, "a path");
    eq_status status = eq_make_folders(j->ctx, images);
    free(images);
    return status;
}

eq_status eq_synth_write(eq_context *ctx, const eq_synth_options *options, eq_synth_progress progress, void *user)
{
    if (options->count < 1 || options->count > 10000000)
        return eq_fail(ctx, EQ_BAD_USAGE, "count must be 1 to 10000000, not %" PRIu64, options->count);
    eq_portrait_distribution biased = eq_portrait_biased();
    job j = {.ctx = ctx,
             .options = options,
             .distribution = options->distribution ? options->distribution : &biased,
             .size = options->size ? options->size : EQ_PORTRAIT_SIZE,
             .progress = progress,
             .user = user};
    EQ_TRY(make_folders(&j));
    write_images(&j);
    EQ_TRY(j.status);
    if (eq_cancelled(ctx))
        return eq_fail(ctx, EQ_CANCELLED, "stopped after %" PRIu64 " of %" PRIu64 " portraits", j.done, options->count);
    return write_labels(&j);
}
