#include <inttypes.h>

#include "command.h"
#include "io/json.h"
#include "synth/occupations.h"

enum { JOINT_BIASED, JOINT_BALANCED };

typedef struct settings {
    int64_t count, size, first_index;
    const char *out;
    eq_texts marginals;
    int joint;
    bool occupations;
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
    EQ_OPTION_OUT("folder to write images/ and labels.csv to, created where missing"),
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
    {.name = "occupations",
     .kind = EQ_FLAG,
     .member = offsetof(settings, occupations),
     .help = "people at work: an attribute occupation, each with its own bias, and captions in captions.csv"},
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
    "equipoise synth portraits --count 5000 --out work --occupations",
    "equipoise synth portraits --count 500 --out men --marginals gender=female:0.1,male:0.9",
    NULL,
};

static void show_progress(void *user, uint64_t done, uint64_t total)
{
    eq_progress_set(user, (double)done, (double)total, NULL);
}

/* One of the two. */
typedef struct world {
    eq_portrait_distribution portraits;
    eq_occupation_world occupations;
} world;

static eq_status choose_world(const eq_invocation *call, world *out)
{
    const settings *s = call->settings;
    const bool balanced = s->joint == JOINT_BALANCED;
    const size_t marginals = (size_t)s->marginals.count;
    if (balanced && marginals > 0)
        return eq_fail(call->ctx, EQ_BAD_USAGE, "--marginals reweight the biased world; leave out --joint balanced");
    if (s->occupations) {
        out->occupations = balanced ? eq_occupations_balanced() : eq_occupations_biased();
        return marginals ? eq_occupations_reweight(call->ctx, s->marginals.item, marginals, &out->occupations) : EQ_OK;
    }
    out->portraits = balanced ? eq_portrait_balanced() : eq_portrait_biased();
    return marginals ? eq_portrait_reweight(call->ctx, &out->portraits, s->marginals.item, marginals, &out->portraits)
                     : EQ_OK;
}

/* Of each attribute's classes, and of each occupation, how many portraits show them, and how many of those women. */
typedef struct label_counts {
    int64_t of[EQ_PORTRAIT_ATTRIBUTES][EQ_PORTRAIT_MAX_CLASSES];
    int64_t occupations[EQ_OCCUPATION_COUNT], women[EQ_OCCUPATION_COUNT];
} label_counts;

static label_counts count_labels(const settings *s, const world *w, uint64_t seed)
{
    label_counts counts = {0};
    for (int64_t i = 0; i < s->count; i++) {
        const uint64_t index = (uint64_t)(s->first_index + i);
        eq_portrait_labels labels = s->occupations ? eq_occupations_sample_labels(&w->occupations, seed, index)
                                                   : eq_portrait_sample_labels(&w->portraits, seed, index);
        for (int a = 0; a < EQ_PORTRAIT_ATTRIBUTES; a++)
            counts.of[a][eq_portrait_label(labels, a)]++;
        counts.occupations[labels.occupation]++;
        counts.women[labels.occupation] += labels.gender == EQ_GENDER_FEMALE;
    }
    return counts;
}

static json_t *occupations_json(const int64_t *counts)
{
    json_t *object = json_object();
    for (int o = EQ_OCCUPATION_NONE + 1; o < EQ_OCCUPATION_COUNT; o++)
        json_object_set_new(object, eq_occupation_names[o], json_integer(counts[o]));
    return object;
}

static json_t *counts_json(const label_counts *counts, bool occupations)
{
    json_t *attributes = json_object();
    for (int a = 0; a < EQ_PORTRAIT_ATTRIBUTES; a++) {
        const eq_portrait_attribute *attribute = &eq_portrait_attributes[a];
        json_t *classes = json_object();
        for (int k = 0; k < attribute->class_count; k++)
            json_object_set_new(classes, attribute->classes[k], json_integer(counts->of[a][k]));
        json_object_set_new(attributes, attribute->name, classes);
    }
    if (occupations)
        json_object_set_new(attributes, "occupation", occupations_json(counts->occupations));
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

static void print_occupations(const label_counts *counts)
{
    printf("occupation\n");
    for (int o = EQ_OCCUPATION_NONE + 1; o < EQ_OCCUPATION_COUNT; o++) {
        const int64_t count = counts->occupations[o], women = counts->women[o];
        printf("  %-12s %" PRId64, eq_occupation_names[o], count);
        if (count > 0)
            printf("  female %" PRId64 " (%.1f%%)", women, 100 * (double)women / (double)count);
        putchar('\n');
    }
}

static eq_status report(const eq_invocation *call, const world *w)
{
    const settings *s = call->settings;
    label_counts counts = count_labels(s, w, (uint64_t)call->common.seed);
    if (call->common.json) {
        json_t *json = json_pack("{sI, so, sI, so}", "n", (json_int_t)s->count, "out", eq_json_text(s->out), "seed",
                                 (json_int_t)call->common.seed, "counts", counts_json(&counts, s->occupations));
        if (s->occupations)
            json_object_set_new(json, "women", occupations_json(counts.women));
        return eq_print_json(call, json);
    }
    printf("%" PRId64 " portraits in %s/images, labels in %s/labels.csv\n", s->count, s->out, s->out);
    if (s->occupations)
        printf("captions in %s/captions.csv\n", s->out);
    print_counts(&counts, s->count);
    if (s->occupations)
        print_occupations(&counts);
    return EQ_OK;
}

static eq_status run(const eq_invocation *call)
{
    const settings *s = call->settings;
    world w = {0};
    EQ_TRY(choose_world(call, &w));
    eq_progress_begin(call->progress, "drawing", "portraits");
    EQ_TRY(eq_synth_write(call->ctx,
                          &(eq_synth_options){.count = (uint64_t)s->count,
                                              .size = (int)s->size,
                                              .seed = (uint64_t)call->common.seed,
                                              .first_index = (uint64_t)s->first_index,
                                              .distribution = &w.portraits,
                                              .occupations = s->occupations ? &w.occupations : NULL,
                                              .out_dir = s->out},
                          show_progress, call->progress));
    eq_progress_end(call->progress);
    return report(call, &w);
}

const eq_command eq_command_synth_portraits = {
    .name = "synth portraits",
    .summary = "draw portraits with exact attribute labels",
    .description =
        "Draws head-and-shoulders portraits that show a gender, a skin tone, an age and glasses or none, each "
        "exactly as labels.csv says. By default the attributes have the biases of a web-scraped face "
        "collection. A portrait depends on the seed and its index alone.\n\n"
        "With --occupations the portraits show people at work: as many doctors as nurses, teachers, judges, chefs, "
        "builders, firefighters, executives, scientists and florists, of whom between 5 (builders) and 90 (nurses) in "
        "a hundred are women; --joint balanced makes that half. captions.csv describes every portrait in words.",
    .examples = examples,
    .options = options,
    .settings_size = sizeof(settings),
    .reports = true,
    .run = run,
};
