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

/* Images whose h is recorded, and what they turn out to be. */
typedef struct eq_adp_recorded {
    struct eq_adp_run *run;
    int64_t count;
    int *classes; /* [the run's attribute_count, count], -1: unknown; owned */
    char *path;   /* of their h, owned; removed in the end but where the user wants to keep it */
    bool keep;
    eq_h_store store;
} eq_adp_recorded;

typedef struct eq_adp_run {
    const eq_invocation *call;
    const eq_adp_settings *s;
    char *model;
    eq_pipeline *pipeline;
    eq_dtype dtype;            /* that the network is computed in */
    eq_dataset data;           /* names of --images */
    eq_adp_recorded learnt;    /* what the heads learn from */
    eq_classifier *classifier; /* NULL: labels come from elsewhere */
    eq_class_prompts prompts;
    int attribute_count;
    const eq_attribute *attributes; /* of the classifier, the labels or the prompts */
    json_t *report;                 /* {attribute: {timesteps, accuracy}} */
} eq_adp_run;

/* train_adp_record.c: records h, opens the store, and labels what was recorded. The attributes are known. */
eq_status eq_adp_record_classified(eq_adp_run *run); /* by run->classifier */
eq_status eq_adp_record_prompted(eq_adp_run *run);   /* by run->prompts */
eq_status eq_adp_record_labelled(eq_adp_run *run, const eq_labels *labels);

/* Its parts, for other images: room for the labels of `count` of them, with the attributes known; what recording them
 * is told; drawing them with such options, labelled by the run's classifier where it has one; and the end, also after a
 * failure. path: of the file for their h, taken over; NULL where memory was short. */
eq_status eq_adp_recorded_open(eq_adp_run *run, int64_t count, char *path, eq_adp_recorded *out);
eq_record_options eq_adp_record_options(eq_adp_recorded *images);
eq_status eq_adp_record_samples(eq_adp_recorded *images, const eq_record_options *options, const char *doing);
void eq_adp_recorded_close(eq_adp_recorded *images);

/* train_adp_directions.c: finds the directions through the decoder where --directions wants it or, on auto, where that
 * can be had. adps: [count], trained */
eq_status eq_adp_directions(eq_adp_run *run, eq_adp *adps, int count);

/* train_adp_outcomes.c: fits the heads to what becomes of --own-samples of the model's. adps: [count], trained */
eq_status eq_adp_outcomes(eq_adp_run *run, eq_adp *adps, int count);

/* train_adp_report.c: accuracy by timestep, about ten rows; and accuracy.html in --out, its curves. */
void eq_adp_print_table(const eq_adp_run *run);
eq_status eq_adp_write_curves(const eq_adp_run *run);

#endif
