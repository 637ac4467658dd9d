/* A whole training run of a diffusion model: from a folder of images to a model folder, with checkpoints, sample sheets
 * and exact resume. */
#ifndef EQ_TRAIN_DIFFUSION_RUN_H
#define EQ_TRAIN_DIFFUSION_RUN_H

#include "train/diffusion_trainer.h"

typedef struct eq_diffusion_run {
    const char *images; /* folder */
    const char *out;    /* folder: the model, checkpoint.safetensors and samples/ */
    eq_diffusion_training training;
    eq_schedule_config schedule;
    double checkpoint_seconds;        /* between checkpoints; 0: only at the end */
    double sheet_seconds;             /* between sample sheets of the moving average; 0: none */
    double budget_seconds;            /* stop after this long, resumable; 0: no limit */
    bool resume;                      /* continue from the checkpoint in `out` if there is one */
    bool strict;                      /* an unreadable image is an error */
    eq_dtype save_dtype;              /* of the weights in the model folder */
    eq_training_progress_fn progress; /* after every step; may be NULL */
    void *progress_user;
} eq_diffusion_run;

/* Ends with the model folder written from the moving average of the parameters. Cancelled or out of budget, it leaves a
 * checkpoint to resume from and a model folder of that moment; `finished` says whether all steps were done. Without
 * `resume`, a checkpoint in `out` is an error rather than lost. */
eq_status eq_diffusion_run_train(eq_context *ctx, const eq_diffusion_run *run, bool *finished);

#endif
