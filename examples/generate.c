/* Generates a set of images that follows a target, with progress, and with Ctrl-C to stop it.
 *
 *     cc generate.c $(pkg-config --cflags --libs equipoise) -o generate
 *     ./generate models/portraits 16 gender=female:0.5,male:0.5 out
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <equipoise/equipoise.h>

static eq_context *ctx;

static void stop(int signal_number)
{
    (void)signal_number;
    eq_cancel(ctx); /* the call under way returns EQ_CANCELLED */
}

static void show(void *user, int64_t done, int64_t total)
{
    (void)user;
    fprintf(stderr, "\r%3.0f%%", 100.0 * (double)done / (double)total);
}

static eq_status save(const eq_generation *set, const char *folder)
{
    size_t bytes = (size_t)set->width * (size_t)set->height * 3;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return EQ_IO_ERROR;
    for (int64_t i = 0; i < set->count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%06" PRId64 ".png", folder, i);
        eq_status status = eq_write_png(ctx, path, set->pixels + (size_t)i * bytes, set->width, set->height);
        if (status != EQ_OK)
            return status;
    }
    return EQ_OK;
}

/* What the attribute predictors made of the finished set: P at the last step, beside the target. */
static void print_prediction(const eq_generation *set, const eq_attribute *known)
{
    for (int a = 0; a < set->attribute_count; a++) {
        printf("%s:", known[a].name);
        const double *last = set->mean_per_step[a] + (size_t)(set->steps - 1) * (size_t)known[a].classes;
        for (int k = 0; k < known[a].classes; k++)
            printf(" %s %.3f", known[a].class_names[k], last[k]);
        printf("\n");
    }
}

static eq_status generate(eq_pipeline *pipeline, int64_t count, const char *target, const char *folder)
{
    int known_count;
    const eq_attribute *known = eq_pipeline_attributes(pipeline, &known_count);
    eq_targets targets = {0};
    eq_generation set;
    eq_status status = eq_targets_add(ctx, &targets, target, known, known_count);
    if (status == EQ_OK) {
        eq_generate_options options = {.count = count, .seed = 1, .steps = 20, .progress = show};
        status = eq_generate(pipeline, &options, &targets, &set);
        fprintf(stderr, "\n");
    }
    eq_targets_free(&targets);
    if (status != EQ_OK)
        return status;
    status = save(&set, folder);
    print_prediction(&set, known);
    eq_generation_free(&set);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s MODEL COUNT TARGET FOLDER\n", argv[0]);
        return 2;
    }
    ctx = eq_context_new();
    if (!ctx)
        return 1;
    signal(SIGINT, stop);
    eq_pipeline *pipeline = NULL;
    eq_status status = eq_pipeline_open(ctx, argv[1], &pipeline);
    if (status == EQ_OK)
        status = generate(pipeline, atoi(argv[2]), argv[3], argv[4]);
    if (status != EQ_OK)
        fprintf(stderr, "%s: %s: %s\n", argv[0], eq_status_name(status), eq_last_error(ctx));
    eq_pipeline_close(pipeline);
    eq_context_free(ctx);
    return status == EQ_OK ? 0 : 1;
}
