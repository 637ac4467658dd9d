/* The parts of `equipoise train adp`: what it was told, recording with labels, and the report. */
#ifndef EQUIPOISE_TRAIN_ADP_H
#define EQUIPOISE_TRAIN_ADP_H

#include "class_prompts.h"
#include "command.h"
#include "eval/labelling.h"
#include "io/labels.h"
#include "run/record.h"
#include "train/dataset.h"
#include "train/h_store.h"

typedef struct eq_adp_settings {
    const char *model, *out, *classifier, *images, *labels, *h_file;
    const char *prompt, *negative, *tokenizer;
    eq_texts attributes, class_prompts;
    int from, dtype, directions;
    int64_t count, own_samples, steps, every, hidden, epochs, batch, per_class, micro_batch;
    double eta, learning_rate, weight_decay, held_out, confidence, label_noise, cfg;
    bool unbalanced, strict, allow_unused;
} eq_adp_settings;

enum { EQ_ADP_FROM_SAMPLES, EQ_ADP_FROM_NOISE, EQ_ADP_FROM_INVERSION };
enum { EQ_ADP_DIRECTIONS_AUTO, EQ_ADP_DIRECTIONS_MEANS, EQ_ADP_DIRECTIONS_DECODER };

typedef struct eq_adp_run {
    const eq_invocation *call;
    const eq_adp_settings *s;
    char *model;
    eq_pipeline *pipeline;
    int64_t count;
    eq_dataset data; /* names of --images */
    char *h_path;
    eq_h_store store;
    eq_classifier *classifier; /* NULL: labels come from elsewhere */
    eq_class_prompts prompts;
    int attribute_count;
    const eq_attribute *attributes; /* of the classifier, the labels or the prompts */
    int *classes;                   /* [attribute_count, count], -1: unknown */
    json_t *report;                 /* {attribute: {timesteps, accuracy}} */
} eq_adp_run;

/* train_adp_record.c: records h, opens the store, and labels what was recorded. The attributes are known. */
eq_status eq_adp_record_classified(eq_adp_run *run); /* by run->classifier */
eq_status eq_adp_record_prompted(eq_adp_run *run);   /* by run->prompts */
eq_status eq_adp_record_labelled(eq_adp_run *run, const eq_labels *labels);

/* train_adp_directions.c: finds the directions through the decoder where --directions wants it or, on auto, where that
 * can be had. adps: [count], trained */
eq_status eq_adp_directions(eq_adp_run *run, eq_adp *adps, int count);

/* train_adp_outcomes.c: fits the heads to what becomes of --own-samples of the model's. adps: [count], trained */
eq_status eq_adp_outcomes(eq_adp_run *run, eq_adp *adps, int count);

/* train_adp_report.c: accuracy by timestep, about ten rows; and accuracy.html in --out, its curves. */
void eq_adp_print_table(const eq_adp_run *run);
eq_status eq_adp_write_curves(const eq_adp_run *run);

#endif
