#include <stdlib.h>

#include "command.h"
#include "eval/label_folder.h"
#include "io/json.h"

typedef struct settings {
    const char *classifier, *images, *out;
    bool strict;
} settings;

static const eq_option options[] = {{.name = "classifier",
                                     .letter = 'c',
                                     .kind = EQ_FILE,
                                     .value = "DIR|FILE",
                                     .required = true,
                                     .member = offsetof(settings, classifier),
                                     .help =
                                         "classifier: a folder that train classifier wrote, a file of torchvision's "
                                         "residual networks (.pth, .safetensors; FairFace's, for one), or a folder "
                                         "of CLIP's with a zero_shot.json"},
                                    EQ_OPTION_IMAGES("folder of the images to label, searched to any depth"),
                                    {.name = "out",
                                     .letter = 'o',
                                     .kind = EQ_FILE,
                                     .value = "FILE",
                                     .member = offsetof(settings, out),
                                     .help = "CSV file to write; without it the table goes to standard output"},
                                    EQ_OPTION_STRICT,
                                    {0}};

static const char *const examples[] = {
    "equipoise label --classifier classifier --images out/images --out labels.csv",
    NULL,
};

static void show_progress(void *user, int64_t done, int64_t total)
{
    eq_progress_set(user, (double)done, (double)total, NULL);
}

typedef struct labelling {
    eq_classifier *classifier;
    int attribute_count;
    const eq_attribute *attributes;
    eq_folder_labels labels;
} labelling;

/* {"gender": {"female": 512, "male": 488}, ...} */
static json_t *counts_json(const labelling *l)
{
    json_t *attributes = json_object();
    for (int a = 0; a < l->attribute_count; a++) {
        const eq_attribute *attribute = &l->attributes[a];
        int64_t counts[256] = {0};
        for (size_t i = 0; i < l->labels.files.count; i++)
            counts[eq_most_probable(l->labels.probabilities[a] + i * (size_t)attribute->classes, attribute->classes)]++;
        json_t *classes = json_object();
        for (int k = 0; k < attribute->classes; k++)
            json_object_set_new(classes, attribute->class_names[k], json_integer(counts[k]));
        json_object_set_new(attributes, attribute->name, classes);
    }
    return attributes;
}

static eq_status report(const eq_invocation *call, const labelling *l)
{
    const settings *s = call->settings;
    const char *const *files = (const char *const *)l->labels.files.name;
    int64_t n = (int64_t)l->labels.files.count;
    float *const *p = l->labels.probabilities;
    if (s->out)
        EQ_TRY(eq_write_labels(call->ctx, s->out, files, n, l->attributes, l->attribute_count, p));
    if (call->common.json)
        return eq_print_json(call, json_pack("{so, ss, sI, sI, so, so}", "classifier", eq_json_text(s->classifier),
                                             "hash", eq_classifier_hash(l->classifier), "n", (json_int_t)n, "skipped",
                                             (json_int_t)l->labels.skipped, "out",
                                             s->out ? eq_json_text(s->out) : json_null(), "counts", counts_json(l)));
    if (!s->out)
        return eq_print_labels(call->ctx, stdout, files, n, l->attributes, l->attribute_count, p);
    printf("%lld images labelled in %s\n", (long long)n, s->out);
    return EQ_OK;
}

static eq_status run(const eq_invocation *call)
{
    const settings *s = call->settings;
    labelling l = {0};
    EQ_TRY(eq_classifier_open(call->ctx, s->classifier, &l.classifier));
    l.attributes = eq_classifier_attributes(l.classifier, &l.attribute_count);
    eq_progress_begin(call->progress, "labelling", "images");
    eq_status status = eq_label_folder(
        call->ctx, l.classifier,
        &(eq_label_folder_options){
            .folder = s->images, .strict = s->strict, .progress = show_progress, .progress_user = call->progress},
        &l.labels);
    eq_progress_end(call->progress);
    if (status == EQ_OK)
        status = report(call, &l);
    eq_folder_labels_free(&l.labels);
    eq_classifier_close(l.classifier);
    return status;
}

const eq_command eq_command_label = {
    .name = "label",
    .summary = "label images with a classifier",
    .description =
        "Writes a table with a line an image: file_name, and for each of the classifier's attributes its most probable "
        "class and, in a column of the attribute's name and \"_p\", that class's probability. Images are cropped and "
        "scaled as the classifier's makers did it.\n\n"
        "Labels say what an image appears to show to this classifier, no more.",
    .examples = examples,
    .options = options,
    .settings_size = sizeof(settings),
    .reports = true,
    .run = run,
};
