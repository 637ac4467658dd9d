/* Where the models that come with the tool are. */
#ifndef EQUIPOISE_MODELS_H
#define EQUIPOISE_MODELS_H

#include "base/error.h"

/* Rows of commands that open a model: they fill `model` and `allow_unused` of their `settings`. */
#define EQ_OPTION_MODEL(help_)                                                                                         \
    {                                                                                                                  \
        .name = "model", .letter = 'm', .kind = EQ_FOLDER, .value = "DIR|NAME", .required = true,                      \
        .member = offsetof(settings, model), .help = help_                                                             \
    }

#define EQ_OPTION_ALLOW_UNUSED                                                                                         \
    {                                                                                                                  \
        .name = "allow-unused", .kind = EQ_FLAG, .member = offsetof(settings, allow_unused),                           \
        .help = "take a model although its files hold tensors that it has no use for, and list them"                   \
    }

/* The row of commands that read prompts: fills `tokenizer`. */
#define EQ_OPTION_TOKENIZER                                                                                            \
    {                                                                                                                  \
        .name = "tokenizer", .kind = EQ_FOLDER, .value = "DIR", .member = offsetof(settings, tokenizer),               \
        .help = "folder of vocab.json and merges.txt, for models in a single file"                                     \
    }

/* The row of commands that run a network on many images: fills `micro_batch`. more: what else is to be said. */
#define EQ_OPTION_MICRO_BATCH(more)                                                                                    \
    {                                                                                                                  \
        .name = "micro-batch", .kind = EQ_INTEGER, .value = "N", .standard = "0", .range = {0, 4096},                  \
        .member = offsetof(settings, micro_batch),                                                                     \
        .help = "images through the network at a time, 0 to let the tool choose" more                                  \
    }

/* The folder of the model `name` ("portraits"): below $EQUIPOISE_MODELS, ./models, the installed data folder, or the
 * sources the tool was built from. A name that is a model's folder stands for itself, and so does any other path.
 * Malloc'ed, the caller frees it. EQ_BAD_INPUT says where it was looked for. */
eq_status eq_model_folder(eq_context *ctx, const char *name, char **folder);

/* The folder of the classifier `name`: that path if there is something, else one in the model's folder ("evaluator").
 * Malloc'ed, the caller frees it. */
eq_status eq_classifier_folder(eq_context *ctx, const char *model, const char *name, char **folder);

#endif
