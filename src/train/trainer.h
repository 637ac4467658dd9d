/* What every trainer shares: parameters in one flat array, the program that computes their gradients, the optimiser,
 * and checkpoints that resume exactly. */
#ifndef EQ_TRAIN_TRAINER_H
#define EQ_TRAIN_TRAINER_H

#include "kernels/program.h"
#include "tensor/params.h"
#include "train/optimiser.h"

typedef struct eq_trainer {
    eq_context *ctx;
    eq_params *params;   /* allocated; not owned */
    float *gradients;    /* [params->total], owned */
    eq_program *program; /* owned */
    eq_value loss;
    eq_optimiser optimiser;
} eq_trainer;

/* One step done, for progress lines. */
typedef struct eq_training_progress {
    int64_t step, total_steps; /* steps done */
    double loss;               /* smoothed */
    double gradient_norm, learning_rate;
    double images_per_second, seconds_left;
} eq_training_progress;
typedef void (*eq_training_progress_fn)(void *user, const eq_training_progress *progress);

/* Storage for the declared parameters, with the values of `initial` (of the same network; not owned), or fresh ones
 * from the seed where that is NULL. */
eq_status eq_params_start(eq_params *params, const eq_params *initial, uint64_t seed);

/* Differentiates `loss` ([1]) with respect to every parameter of the graph and compiles. Takes ownership of the graph,
 * also on failure. params must be allocated and must outlive the trainer. */
eq_status eq_trainer_open(eq_context *ctx, eq_params *params, eq_graph *graph, eq_value loss,
                          const eq_optimiser_options *options, eq_trainer *out);
void eq_trainer_close(eq_trainer *trainer);

/* Runs the program on the inputs that the caller has filled and updates the parameters. A loss or gradient that is not
 * finite is an error that names the step. */
eq_status eq_trainer_step(eq_trainer *trainer, double *loss, double *gradient_norm);

/* Writes parameters, average, moments and step to `path`; `settings` (may be NULL) is kept beside them, and loading
 * with other settings is refused: a run resumed differently would not be the same run. */
eq_status eq_trainer_save(const eq_trainer *trainer, const char *path, const char *settings);
eq_status eq_trainer_load(eq_trainer *trainer, const char *path, const char *settings);

/* Exchanges the parameters and their moving average, in place: around an evaluation or a final save, then back. */
void eq_trainer_swap_average(eq_trainer *trainer);

#endif
