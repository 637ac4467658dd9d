/* The course of a training run, whatever is trained: updates until all are done, the time is up or it is cancelled,
 * with checkpoints, sheets of samples and progress on the way, and a model in the end. */
#ifndef EQ_TRAIN_TRAINING_LOOP_H
#define EQ_TRAIN_TRAINING_LOOP_H

#include "train/trainer.h"

/* What all runs are told. */
typedef struct eq_training_course {
    const char *out;                  /* folder: the model, checkpoint.safetensors and samples/ */
    double checkpoint_seconds;        /* between checkpoints; 0: only at the end */
    double sheet_seconds;             /* between sheets; 0: none */
    double budget_seconds;            /* stop after this long, resumable; 0: no limit */
    bool resume;                      /* continue from the checkpoint in `out` if there is one */
    eq_training_progress_fn progress; /* after every step; may be NULL */
    void *progress_user;
} eq_training_course;

typedef struct eq_training_loop {
    const eq_training_course *course;
    eq_trainer *trainer;  /* open, fresh */
    const char *settings; /* what must be the same for a resumed run to be the same run */
    int batch;
    void *user; /* of these, of which the last two find the moving average in place of the parameters */
    eq_status (*step)(void *user, double *loss, double *gradient_norm);
    eq_status (*save)(void *user);                    /* writes the model */
    eq_status (*sheet)(void *user, const char *path); /* writes a PNG; NULL: no sheets */
} eq_training_loop;

/* Ends with checkpoint and model written, also where it is cancelled (EQ_CANCELLED) or out of time; `finished` says
 * whether all steps are done. Without `resume`, a checkpoint in `out` is an error rather than lost. */
eq_status eq_training_loop_run(eq_context *ctx, const eq_training_loop *loop, bool *finished);

#endif
