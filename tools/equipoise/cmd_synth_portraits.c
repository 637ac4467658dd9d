#include <inttypes.h>

#include "command.h"
#include "io/json.h"
#include "synth/portraits.h"

enum { JOINT_BIASED, JOINT_BALANCED };

typedef struct settings {
    int64_t count, size, first_index;
    const char *out;
    eq_texts marginals;
    int joint;
} settings;

static const char *const joints[] = {"biased", "balanced", NULL};

static const eq_option options[] = {
    {.name = "count",
     .letter = 'n',
     .kind = EQ_INTEGER,
     .value = "N",
     .required = true,
     .range = {1, 10000000},
     .member = offsetof(settings, count),
     .help = "portraits to draw"},
    {.name = "out",
     .letter = 'o',
     .kind = EQ_FOLDER,
     .value = "DIR",
     .required = true,
     .member = offsetof(settings, out),
     .help = "folder to write images/ and labels.csv to, created where missing"},
    {.name = "size",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "64",
     .range = {EQ_PORTRAIT_MIN_SIZE, EQ_PORTRAIT_MAX_SIZE},
     .member = offsetof(settings, size),
     .help = "pixels a side"},
    {.name = "first-index",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "0",
     .range = {0, INT64_C(1000000000000)},
     .member = offsetof(settings, first_index),
     .help = "number of the first portrait: another range of the same world"},
    {.name = "joint",
     .kind = EQ_CHOICE,
     .value = "WORLD",
     .choices = joints,
     .standard = "biased",
     .member = offsetof(settings, joint),
     .help = "joint distribution of the attributes"},
    {.name = "marginals",
     .kind = EQ_TEXTS,
     .value = "A=C:P,...",
     .member = offsetof(settings, marginals),
     .help = "reweight the biased world until attribute A has its classes C with these probabilities P"},
    {0}};

static const char *const examples[] = {
    "equipoise synth portraits --count 2000 --out portraits",
    "equipoise synth portraits --count 500 --out even --joint balanced --seed 7",
    "equipoise synth portraits --count 500 --out men --marginals gender=female:0.1,male:0.9",
    NULL,
};

static void show_progress(void *user, uint64_t done, uint64_t total)
{
    eq_progress_set(user, (double)done, (double)total, NULL);
}

static eq_status choose_distribution(const eq_invocation *call, eq_portrait_distribution *out)
{
    const settings *s = call->settings;
    if (s->joint == JOINT_BALANCED && s->marginals.count > 0)
        return eq_fail(call->ctx, EQ_BAD_USAGE, "--marginals reweight the biased world; leave out --joint balanced");
    if (s->marginals.count > 0)
        return eq_portrait_from_marginals(call->ctx, s->marginals.item, (size_t)s->marginals.count, out);
    *out = s->joint == JOINT_BALANCED ? eq_portrait_balanced() : eq_portrait_biased();
    return EQ_OK;
}

/* Of each attribute's classes, how many portraits show them. */
typedef struct label_counts {
    int64_t of[EQ_PORTRAIT_ATTRIBUTES][EQ_PORTRAIT_MAX_CLASSES];
} label_counts;

static label_counts count_labels(const settings *s, const eq_portrait_distribution *distribution, uint64_t seed)
{
    label_counts counts = {0};
    for (int64_t i = 0; i < s->count; i++) {
        eq_portrait_labels labels = eq_portrait_sample_labels(distribution, seed, (uint64_t)(s->first_index + i));
        for (int a = 0; a < EQ_PORTRAIT_ATTRIBUTES; a++)
            counts.of[a][eq_portrait_label(labels, a)]++;
    }
    return counts;
}

static json_t *counts_json(const label_counts *counts)
{
    json_t *attributes = json_object();
    for (int a = 0; a < EQ_PORTRAIT_ATTRIBUTES; a++) {
        const eq_portrait_attribute *attribute = &eq_portrait_attributes[a];
        json_t *classes = json_object();
        for (int k = 0; k < attribute->class_count; k++)
            json_object_set_new(classes, attribute->classes[k], json_integer(counts->of[a][k]));
        json_object_set_new(attributes, attribute->name, classes);
    }
    return attributes;
}

static void print_counts(const label_counts *counts, int64_t n)
{
    for (int a = 0; a < EQ_PORTRAIT_ATTRIBUTES; a++) {
        const eq_portrait_attribute *attribute = &eq_portrait_attributes[a];
        printf("%-8s", attribute->name);
        for (int k = 0; k < attribute->class_count; k++)
            printf("  %s %" PRId64 " (%.1f%%)", attribute->classes[k], counts->of[a][k],
                   100 * (double)counts->of[a][k] / (double)n);
        putchar('\n');
    }
}

static eq_status report(const eq_invocation *call, const eq_portrait_distribution *distribution)
{
    const settings *s = call->settings;
    label_counts counts = count_labels(s, distribution, (uint64_t)call->common.seed);
    if (call->common.json)
        return eq_print_json(call, json_pack("{sI, so, sI, so}", "n", (json_int_t)s->count, "out", eq_json_text(s->out),
                                             "seed", (json_int_t)call->common.seed, "counts", counts_json(&counts)));
    printf("%" PRId64 " portraits in %s/images, labels in %s/labels.csv\n", s->count, s->out, s->out);
    print_counts(&counts, s->count);
    return EQ_OK;
}

static eq_status run(const eq_invocation *call)
{
    const settings *s = call->settings;
    eq_portrait_distribution distribution;
    EQ_TRY(choose_distribution(call, &distribution));
    eq_progress_begin(call->progress, "drawing", "portraits");
    EQ_TRY(eq_synth_write(call->ctx,
                          &(eq_synth_options){.count = (uint64_t)s->count,
                                              .size = (int)s->size,
                                              .seed = (uint64_t)call->common.seed,
                                              .first_index = (uint64_t)s->first_index,
                                              .distribution = &distribution,
                                              .out_dir = s->out},
                          show_progress, call->progress));
    eq_progress_end(call->progress);
    return report(call, &distribution);
}

const eq_command eq_command_synth_portraits = {
    .name = "synth portraits",
    .summary = "draw portraits with exact attribute labels",
    .description =
        "Draws head-and-shoulders portraits that show a gender, a skin tone, an age and glasses or none, each "
        "exactly as labels.csv says. By default the attributes have the biases of a web-scraped face "
        "collection. A portrait depends on the seed and its index alone.",
    .examples = examples,
    .options = options,
    .settings_size = sizeof(settings),
    .reports = true,
    .run = run,
};
