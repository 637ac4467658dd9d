/* The parts of `equipoise generate`: what it was told, the run, and what it prints. */
#ifndef EQUIPOISE_GENERATE_PARTS_H
#define EQUIPOISE_GENERATE_PARTS_H

#include "command.h"
#include "prompts.h"
#include "run/session.h"

typedef struct eq_generate_settings {
    const char *model, *vae, *out, *evaluator, *verify;
    bool resume, allow_unused;
    double checkpoint_minutes, verify_limit;
    int report;
    int64_t count, steps, first_index;
    int sampler;
    const char *spacing;
    double eta;
    eq_texts targets, target_files, adps;
    int method, loss, preset, dtype;
    double strength, temperature;
    eq_range guide_steps;
    int64_t coupled, micro_batch, memory;
    const char *prompt, *prompt_file, *negative, *tokenizer;
    eq_texts class_words;
    double cfg, edit_threshold, edit_momentum, edit_momentum_decay;
    int64_t class_label;
    const char *guide_classifier;
    bool jacobian, allow_self_grading;
} eq_generate_settings;

enum { EQ_REPORT_AUTO, EQ_REPORT_NONE, EQ_REPORT_PLAIN, EQ_REPORT_TWINS };

/* What one run holds. */
typedef struct eq_generate_run {
    const eq_invocation *call;
    const eq_generate_settings *s;
    char *model, *evaluator_folder, *verifier_folder, *guide_folder, *twins_folder;
    eq_pipeline *pipeline;
    eq_classifier *evaluator, *verifier;
    eq_targets targets;
    eq_prompt_choice prompts;
    eq_session session;
    eq_session_result result;
} eq_generate_run;

/* --- generate_options.c --- */

extern const eq_option eq_generate_table[];
/* The names that the settings' `method` counts through; ends with NULL. */
extern const char *const eq_generate_methods[];

/* The session's options, as the settings have them. */
void eq_generate_fill_options(eq_generate_run *run);
/* The rest of the session, of what has been opened. */
void eq_generate_fill_session(eq_generate_run *run);

/* --- generate_print.c --- */

/* The finished run on stdout: for readers, or as JSON. */
eq_status eq_generate_print(const eq_generate_run *run);

#endif
