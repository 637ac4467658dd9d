/* Rows of the option tables that the training commands share. Each fills the member of its name of the command's own
 * `settings`; what differs between the commands is the default. */
#ifndef EQUIPOISE_TRAINING_OPTIONS_H
#define EQUIPOISE_TRAINING_OPTIONS_H

#include "options.h"

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

#define EQ_TRAINING_STRICT                                                                                             \
    {                                                                                                                  \
        .name = "strict", .kind = EQ_FLAG, .member = offsetof(settings, strict),                                       \
        .help = "fail at an unreadable image rather than skip it"                                                      \
    }

#define EQ_TRAINING_SIZE(default_)                                                                                     \
    {                                                                                                                  \
        .name = "size", .kind = EQ_INTEGER, .value = "N", .standard = default_, .range = {8, 1024},                    \
        .member = offsetof(settings, size), .help = "pixels a side; images are cropped and scaled to it"               \
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

#endif
