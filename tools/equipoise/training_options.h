/* Rows of the option tables that the training commands share. Each fills the member of its name of the command's own
 * `settings`; what differs between the commands is the default. */
#ifndef EQUIPOISE_TRAINING_OPTIONS_H
#define EQUIPOISE_TRAINING_OPTIONS_H

#include "command.h"
#include "models/classifier.h"
#include "options.h"
#include "train/training_loop.h"

#define EQ_TRAINING_STEPS(default_)                                                                                    \
    {                                                                                                                  \
        .name = "steps", .kind = EQ_INTEGER, .value = "N", .standard = default_, .range = {1, 100000000},              \
        .member = offsetof(settings, steps), .help = "updates"                                                         \
    }

#define EQ_TRAINING_BATCH(default_)                                                                                    \
    {                                                                                                                  \
        .name = "batch", .kind = EQ_INTEGER, .value = "N", .standard = default_, .range = {1, 4096},                   \
        .member = offsetof(settings, batch), .help = "images an update"                                                \
    }

#define EQ_TRAINING_LEARNING_RATE(default_)                                                                            \
    {                                                                                                                  \
        .name = "learning-rate", .kind = EQ_REAL, .value = "F", .standard = default_, .real = {1e-9, 1},               \
        .member = offsetof(settings, learning_rate), .help = "peak of the learning rate"                               \
    }

#define EQ_TRAINING_WARMUP(default_)                                                                                   \
    {                                                                                                                  \
        .name = "warmup", .kind = EQ_INTEGER, .value = "N", .standard = default_, .range = {0, 1000000},               \
        .member = offsetof(settings, warmup), .help = "updates until the peak"                                         \
    }

#define EQ_TRAINING_EMA(default_, becomes)                                                                             \
    {                                                                                                                  \
        .name = "ema", .kind = EQ_REAL, .value = "F", .standard = default_, .real = {0, 0.999999},                     \
        .member = offsetof(settings, ema),                                                                             \
        .help = "decay of the moving average that becomes the " becomes ", 0 for none"                                 \
    }

#define EQ_TRAINING_WEIGHT_DECAY(default_)                                                                             \
    {                                                                                                                  \
        .name = "weight-decay", .kind = EQ_REAL, .value = "F", .standard = default_, .real = {0, 100},                 \
        .member = offsetof(settings, weight_decay), .help = "AdamW's weight decay"                                     \
    }

#define EQ_TRAINING_CLIP(default_)                                                                                     \
    {                                                                                                                  \
        .name = "clip", .kind = EQ_REAL, .value = "F", .standard = default_, .real = {0, 1e6},                         \
        .member = offsetof(settings, clip), .help = "norm at which gradients are clipped, 0 for never"                 \
    }

#define EQ_TRAINING_RESUME                                                                                             \
    {                                                                                                                  \
        .name = "resume", .kind = EQ_FLAG, .member = offsetof(settings, resume),                                       \
        .help = "continue from the checkpoint in --out, if there is one"                                               \
    }

#define EQ_TRAINING_SIZE(default_)                                                                                     \
    {                                                                                                                  \
        .name = "size", .kind = EQ_INTEGER, .value = "N", .standard = default_, .range = {8, 1024},                    \
        .member = offsetof(settings, size), .help = "pixels a side; images are cropped and scaled to it"               \
    }

#define EQ_TRAINING_CLASSIFIER_CHANNELS                                                                                \
    {                                                                                                                  \
        .name = "channels", .kind = EQ_INTEGERS, .value = "N,N,...", .standard = "16,32,48,64", .range = {4, 4096},    \
        .member = offsetof(settings, channels),                                                                        \
        .help = "channels of each stage, multiples of 4; every stage halves the sides"                                 \
    }

#define EQ_TRAINING_GROUPS                                                                                             \
    {                                                                                                                  \
        .name = "groups", .kind = EQ_INTEGER, .value = "N", .standard = "8", .range = {1, 1024},                       \
        .member = offsetof(settings, groups), .help = "groups of the group norms; must divide all channels"            \
    }

#define EQ_TRAINING_CHECKPOINT_MINUTES(default_)                                                                       \
    {                                                                                                                  \
        .name = "checkpoint-minutes", .kind = EQ_REAL, .value = "F", .standard = default_, .real = {0, 1e6},           \
        .member = offsetof(settings, checkpoint_minutes),                                                              \
        .help = "time between checkpoints, 0 for one at the end only"                                                  \
    }

#define EQ_TRAINING_MINUTES                                                                                            \
    {                                                                                                                  \
        .name = "minutes", .kind = EQ_REAL, .value = "F", .standard = "0", .real = {0, 1e6},                           \
        .member = offsetof(settings, minutes),                                                                         \
        .help = "stop after this time, to be continued with --resume; 0 for no limit"                                  \
    }

#define EQ_TRAINING_SHEET_MINUTES(of)                                                                                  \
    {                                                                                                                  \
        .name = "sheet-minutes", .kind = EQ_REAL, .value = "F", .standard = "10", .real = {0, 1e6},                    \
        .member = offsetof(settings, sheet_minutes), .help = "time between sheets of " of ", 0 for none"               \
    }

#define EQ_TRAINING_NO_FLIP                                                                                            \
    {                                                                                                                  \
        .name = "no-flip", .kind = EQ_FLAG, .member = offsetof(settings, no_flip),                                     \
        .help = "do not mirror half of the images"                                                                     \
    }

#define EQ_TRAINING_BALANCE                                                                                            \
    {                                                                                                                  \
        .name = "balance", .kind = EQ_FLAG, .member = offsetof(settings, balance),                                     \
        .help = "show images of rare classes more often, up to ten times"                                              \
    }

static const char *const eq_training_dtypes[] = {"f32", "bf16", NULL};

#define EQ_TRAINING_DTYPE                                                                                              \
    {                                                                                                                  \
        .name = "dtype", .kind = EQ_CHOICE, .value = "NAME", .choices = eq_training_dtypes, .standard = "f32",         \
        .member = offsetof(settings, dtype), .help = "numbers to compute the network in"                               \
    }

#define EQ_TRAINING_WEIGHTS(of)                                                                                        \
    {                                                                                                                  \
        .name = "weights", .kind = EQ_CHOICE, .value = "NAME",                                                         \
        .choices = (const char *const[]){"f32", "bf16", "f16", NULL}, .standard = "f32",                               \
        .member = offsetof(settings, weights), .help = "numbers of the weights in the " of "'s file"                   \
    }

/* What the rows' members say, of a pointer to such settings: the optimiser's options, and the course of a training
 * whose progress goes to `watch`, an eq_training_watch. */
#define EQ_TRAINING_OPTIMISER(s)                                                                                       \
    eq_training_optimiser(&(eq_optimiser_options){.learning_rate = (s)->learning_rate,                                 \
                                                  .weight_decay = (s)->weight_decay,                                   \
                                                  .clip_norm = (s)->clip,                                              \
                                                  .ema_decay = (s)->ema,                                               \
                                                  .warmup_steps = (s)->warmup,                                         \
                                                  .total_steps = (s)->steps})
#define EQ_TRAINING_COURSE(s, watch)                                                                                   \
    {                                                                                                                  \
        .out = (s)->out, .checkpoint_seconds = 60 * (s)->checkpoint_minutes, .sheet_seconds = 60 * (s)->sheet_minutes, \
        .budget_seconds = 60 * (s)->minutes, .resume = (s)->resume, .progress = eq_training_show,                      \
        .progress_user = (watch)                                                                                       \
    }

/* The defaults but for what is given: all but the shape of the schedule and AdamW's own constants. */
eq_optimiser_options eq_training_optimiser(const eq_optimiser_options *given);

/* A training's progress line, and the last progress, for the report. */
typedef struct eq_training_watch {
    eq_progress *progress;
    eq_training_progress last;
} eq_training_watch;
void eq_training_show(void *user, const eq_training_progress *now);

/* A classifier's network as --size and --channels have it. EQ_BAD_USAGE names the option that does not fit. */
eq_status eq_training_classifier(const eq_invocation *call, const eq_classifier_trunk *trunk, int64_t size,
                                 const eq_integers *channels, int64_t blocks, eq_classifier_config *out);

#endif
