/* A suite: the methods, targets and seeds of a comparison, read from JSON (see doc/formats.md, "Suites"). */
#ifndef EQ_RUN_SUITE_H
#define EQ_RUN_SUITE_H

#include "io/json.h"

enum { EQ_SUITE_SEEDS = 64, EQ_SUITE_FACTORS = 16, EQ_SUITE_TARGET_TEXTS = 8, EQ_SUITE_NAME = 96 };

/* Images to compare with or to learn from: a folder, or drawn ones. */
typedef struct eq_suite_images {
    const char *folder; /* NULL: the portrait world's */
    bool balanced;      /* drawn with every combination of classes equally often; else with the world's biases */
    int64_t count, seed;
} eq_suite_images;

/* How strongly a method guides. */
typedef enum eq_suite_strength {
    EQ_SUITE_TUNED,  /* as tuning finds it */
    EQ_SUITE_STORED, /* the method's own, times what calibration stored in the predictors */
    EQ_SUITE_FIXED,  /* a number, as --strength of generate */
} eq_suite_strength;

/* Predictors of its own for a method. */
typedef struct eq_suite_heads {
    int64_t per_class; /* images of each class to learn from at most; 0: all */
    int hidden;        /* units of a hidden layer; 0: linear heads */
    double label_noise;
    int epochs;
} eq_suite_heads;

typedef struct eq_suite_method {
    char name[EQ_SUITE_NAME]; /* in the report, and of its folders */
    const char *method, *loss;
    eq_suite_strength strength;
    double fixed, temperature;
    int guide_first, guide_last;
    int64_t coupled;
    bool jacobian;
    int class_word_count; /* 0: the suite's */
    const char *class_words[EQ_SUITE_TARGET_TEXTS];
    bool has_heads;
    eq_suite_heads heads;
} eq_suite_method;

typedef struct eq_suite_target {
    char name[EQ_SUITE_NAME];   /* in the report */
    char folder[EQ_SUITE_NAME]; /* the same as a file name */
    int count;
    const char *texts[EQ_SUITE_TARGET_TEXTS]; /* [count] see eq_target_parse */
} eq_suite_target;

/* Strings point into the document. */
typedef struct eq_suite {
    eq_json json;
    const char *name, *about, *evaluator, *classifier, *sampler;
    int64_t count, steps;
    double eta;
    const char *dtype; /* "f32", "bf16", "auto" */
    /* For models with a text encoder: */
    const char *prompt, *negative; /* NULL: none */
    double cfg;                    /* 0: the default */
    int class_word_count;
    const char *class_words[EQ_SUITE_TARGET_TEXTS]; /* see eq_generate_options */
    int seed_count;
    int64_t seeds[EQ_SUITE_SEEDS];
    int method_count, target_count;
    eq_suite_method *methods; /* [method_count] owned */
    eq_suite_target *targets; /* [target_count] owned */
    bool has_reference;
    eq_suite_images reference;
    /* Tuning: every factor is tried for every attribute, on `tuning_count` images of `tuning_seed`. */
    int64_t tuning_count, tuning_seed;
    int factor_count;
    double factors[EQ_SUITE_FACTORS];
    /* What predictors of the suite's own learn from. */
    bool has_heads_images;
    eq_suite_images heads_images;
    int64_t heads_every;
    double heads_confidence; /* less sure labels are not learnt from */
} eq_suite;

/* EQ_BAD_INPUT names file and key: what is missing, of another type or out of range; keys that are not known, with
 * those that are; names that are given twice. Whether methods, targets and classifiers exist is found out where they
 * are used. Freed with eq_suite_close. */
eq_status eq_suite_read(eq_context *ctx, const char *path, eq_suite *out);
/* The same from memory; `name` stands for the file in messages. */
eq_status eq_suite_parse(eq_context *ctx, const char *text, size_t size, const char *name, eq_suite *out);
void eq_suite_close(eq_suite *suite);

#endif
