/* Schedules in diffusers' scheduler_config.json. */
#include "diffusion/schedule.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "diffusion/prediction.h"
#include "diffusion/timesteps.h"

/* Room for EQ_MAX_TRAIN_TIMESTEPS trained betas. */
static const size_t max_file_bytes = 16 << 20;

/* The file being read, for messages. */
typedef struct source {
    eq_context *ctx;
    const char *path;
    const json_t *root;
} source;

static eq_status wrong(const source *in, const char *key, const char *expected, const json_t *found)
{
    char *text = json_dumps(found, JSON_ENCODE_ANY | JSON_COMPACT);
    eq_status status = eq_fail(in->ctx, EQ_BAD_INPUT, "%s: key \"%s\": expected %s, found %.80s", in->path, key,
                               expected, text ? text : "something else");
    free(text);
    return status;
}

/* NULL where the key is absent or null, which diffusers takes for absent. */
static const json_t *get(const source *in, const char *key)
{
    const json_t *value = json_object_get(in->root, key);
    return json_is_null(value) ? NULL : value;
}

static eq_status read_bool(const source *in, const char *key, bool *out)
{
    const json_t *value = get(in, key);
    if (!value)
        return EQ_OK;
    if (!json_is_boolean(value))
        return wrong(in, key, "true or false", value);
    *out = json_is_true(value);
    return EQ_OK;
}

static eq_status read_int(const source *in, const char *key, int least, int most, int *out)
{
    const json_t *value = get(in, key);
    if (!value)
        return EQ_OK;
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < least || number > most) {
        char expected[64];
        snprintf(expected, sizeof expected, "a whole number in %d..%d", least, most);
        return wrong(in, key, expected, value);
    }
    *out = (int)number;
    return EQ_OK;
}

static eq_status read_number(const source *in, const char *key, double *out)
{
    const json_t *value = get(in, key);
    if (!value)
        return EQ_OK;
    if (!json_is_number(value))
        return wrong(in, key, "a number", value);
    *out = json_number_value(value);
    return EQ_OK;
}

typedef struct choice {
    const char *name;
    int value;
} choice;

static eq_status read_choice(const source *in, const char *key, const choice *choices, size_t count, int *out)
{
    const json_t *value = get(in, key);
    if (!value)
        return EQ_OK;
    char expected[256] = "one of";
    size_t used = strlen(expected);
    for (size_t i = 0; i < count; i++) {
        if (json_is_string(value) && strcmp(json_string_value(value), choices[i].name) == 0) {
            *out = choices[i].value;
            return EQ_OK;
        }
        if (used < sizeof expected)
            used +=
                (size_t)snprintf(expected + used, sizeof expected - used, "%s \"%s\"", i ? "," : "", choices[i].name);
    }
    return wrong(in, key, expected, value);
}

#define READ_CHOICE(in, key, choices, out) read_choice(in, key, choices, sizeof(choices) / sizeof(choices)[0], out)

enum { CLASS_DDIM, CLASS_DDPM, CLASS_PNDM };

static const choice classes[] = {
    {"DDIMScheduler", CLASS_DDIM},
    {"DDPMScheduler", CLASS_DDPM},
    {"PNDMScheduler", CLASS_PNDM},
};
static const choice beta_schedules[] = {
    {"linear", EQ_BETA_LINEAR},
    {"scaled_linear", EQ_BETA_SCALED_LINEAR},
    {"squaredcos_cap_v2", EQ_BETA_COSINE},
};
static const choice predictions[] = {
    {"epsilon", EQ_PREDICT_EPSILON},
    {"v_prediction", EQ_PREDICT_V},
    {"sample", EQ_PREDICT_SAMPLE},
};
/* The _log forms are the same numbers reached another way; a learned range is told by the network's channels. */
static const choice variances[] = {
    {"fixed_small", EQ_VARIANCE_SMALL}, {"fixed_small_log", EQ_VARIANCE_SMALL}, {"learned_range", EQ_VARIANCE_SMALL},
    {"fixed_large", EQ_VARIANCE_LARGE}, {"fixed_large_log", EQ_VARIANCE_LARGE},
};
static const choice spacings[] = {
    {"leading", EQ_SPACING_LEADING},
    {"trailing", EQ_SPACING_TRAILING},
    {"linspace", EQ_SPACING_LINSPACE},
    {"paper", EQ_SPACING_PAPER},
};

/* Settings that would change the numbers and are not implemented: reading them as off would be wrong quietly. */
static eq_status check_unsupported(const source *in)
{
    static const char *const keys[] = {"thresholding", "rescale_betas_zero_snr"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        bool on = false;
        EQ_TRY(read_bool(in, keys[i], &on));
        if (on)
            return wrong(in, keys[i], "false (it is not supported)", get(in, keys[i]));
    }
    return EQ_OK;
}

static eq_status read_config(const source *in, eq_schedule_config *config)
{
    int class = CLASS_DDIM;
    EQ_TRY(READ_CHOICE(in, "_class_name", classes, &class));
    if (class == CLASS_PNDM) {
        config->clip_sample = false;
        config->set_alpha_to_one = false;
    }
    int beta_kind = config->beta_kind, prediction = config->prediction;
    int variance = config->variance, spacing = config->spacing;
    EQ_TRY(read_int(in, "num_train_timesteps", 1, EQ_MAX_TRAIN_TIMESTEPS, &config->num_train_timesteps));
    EQ_TRY(READ_CHOICE(in, "beta_schedule", beta_schedules, &beta_kind));
    EQ_TRY(read_number(in, "beta_start", &config->beta_start));
    EQ_TRY(read_number(in, "beta_end", &config->beta_end));
    EQ_TRY(READ_CHOICE(in, "prediction_type", predictions, &prediction));
    EQ_TRY(READ_CHOICE(in, "variance_type", variances, &variance));
    EQ_TRY(read_bool(in, "clip_sample", &config->clip_sample));
    EQ_TRY(read_number(in, "clip_sample_range", &config->clip_sample_range));
    EQ_TRY(read_bool(in, "set_alpha_to_one", &config->set_alpha_to_one));
    EQ_TRY(read_int(in, "steps_offset", 0, config->num_train_timesteps - 1, &config->steps_offset));
    EQ_TRY(READ_CHOICE(in, "timestep_spacing", spacings, &spacing));
    EQ_TRY(check_unsupported(in));
    config->beta_kind = (eq_beta_kind)beta_kind;
    config->prediction = (eq_prediction_type)prediction;
    config->variance = (eq_variance_kind)variance;
    config->spacing = (eq_spacing)spacing;
    return EQ_OK;
}

/* Where "trained_betas" lists betas they replace the schedule by name, as in diffusers. *out is malloc'ed, or NULL. */
static eq_status read_trained_betas(const source *in, int count, double **out)
{
    *out = NULL;
    const json_t *list = get(in, "trained_betas");
    if (!list)
        return EQ_OK;
    if (!json_is_array(list) || json_array_size(list) != (size_t)count) {
        char expected[80];
        snprintf(expected, sizeof expected, "null or a list of %d numbers, one a training timestep", count);
        return wrong(in, "trained_betas", expected, list);
    }
    double *betas = malloc((size_t)count * sizeof *betas);
    if (!betas)
        return eq_fail_memory(in->ctx, "trained betas");
    for (size_t t = 0; t < (size_t)count; t++) {
        const json_t *value = json_array_get(list, t);
        if (!json_is_number(value)) {
            free(betas);
            return wrong(in, "trained_betas", "numbers only", value);
        }
        betas[t] = json_number_value(value);
    }
    *out = betas;
    return EQ_OK;
}

/* A value that reads well but is out of range is the file's fault, not the caller's. */
static eq_status new_from_file(const source *in, const eq_schedule_config *config, const double *betas,
                               eq_schedule *out)
{
    eq_status status = eq_schedule_new(in->ctx, config, betas, out);
    if (status != EQ_BAD_USAGE)
        return status;
    return eq_fail(in->ctx, EQ_BAD_INPUT, "%s: %s", in->path, in->ctx ? eq_last_error(in->ctx) : "");
}

static eq_status read_root(const source *in, eq_schedule *out)
{
    if (!json_is_object(in->root))
        return eq_fail(in->ctx, EQ_BAD_INPUT, "%s: expected a JSON object, as in diffusers' scheduler_config.json",
                       in->path);
    eq_schedule_config config = eq_schedule_config_default();
    EQ_TRY(read_config(in, &config));
    double *betas;
    EQ_TRY(read_trained_betas(in, config.num_train_timesteps, &betas));
    if (betas)
        config.beta_kind = EQ_BETA_TRAINED;
    eq_status status = new_from_file(in, &config, betas, out);
    free(betas);
    return status;
}

eq_status eq_schedule_read(eq_context *ctx, const char *path, eq_schedule *out)
{
    memset(out, 0, sizeof *out);
    uint8_t *bytes;
    size_t size;
    EQ_TRY(eq_file_read(ctx, path, max_file_bytes, &bytes, &size));
    json_error_t error;
    json_t *root = json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES, &error);
    free(bytes);
    if (!root)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: line %d: %s", path, error.line, error.text);
    eq_status status = read_root(&(source){.ctx = ctx, .path = path, .root = root}, out);
    json_decref(root);
    return status;
}

static const char *choice_name(const choice *choices, size_t count, int value)
{
    for (size_t i = 0; i < count; i++) {
        if (choices[i].value == value)
            return choices[i].name;
    }
    return NULL;
}

#define CHOICE_NAME(choices, value) choice_name(choices, sizeof(choices) / sizeof(choices)[0], (int)(value))

static json_t *config_to_json(const eq_schedule *schedule)
{
    const eq_schedule_config *c = &schedule->config;
    bool trained = c->beta_kind == EQ_BETA_TRAINED;
    json_t *betas = trained ? json_array() : json_null();
    for (int t = 0; trained && t < c->num_train_timesteps; t++)
        json_array_append_new(betas, json_real(schedule->betas[t]));
    /* json_pack takes `betas` over, and fails if it is NULL. A key with a NULL string ("s*") is left out. */
    return json_pack(
        "{s:s, s:i, s:f, s:f, s:s, s:o, s:s, s:s, s:b, s:f, s:b, s:i, s:s*}", "_class_name", "DDIMScheduler",
        "num_train_timesteps", c->num_train_timesteps, "beta_start", c->beta_start, "beta_end", c->beta_end,
        "beta_schedule", trained ? "linear" : CHOICE_NAME(beta_schedules, c->beta_kind), "trained_betas", betas,
        "prediction_type", eq_prediction_name(c->prediction), "variance_type", CHOICE_NAME(variances, c->variance),
        "clip_sample", c->clip_sample, "clip_sample_range", c->clip_sample_range, "set_alpha_to_one",
        c->set_alpha_to_one, "steps_offset", c->steps_offset, "timestep_spacing", CHOICE_NAME(spacings, c->spacing));
}

/* 15 significant digits write 0.00085 as it was given; 17 are needed for numbers that were computed. */
static int digits_needed(const eq_schedule *schedule)
{
    const eq_schedule_config *c = &schedule->config;
    const double scalars[] = {c->beta_start, c->beta_end, c->clip_sample_range};
    size_t trained = c->beta_kind == EQ_BETA_TRAINED ? (size_t)c->num_train_timesteps : 0;
    for (size_t i = 0; i < 3 + trained; i++) {
        double value = i < 3 ? scalars[i] : schedule->betas[i - 3];
        char text[32];
        snprintf(text, sizeof text, "%.15g", value);
        if (strtod(text, NULL) != value)
            return 17;
    }
    return 15;
}

eq_status eq_schedule_write(eq_context *ctx, const char *path, const eq_schedule *schedule)
{
    json_t *root = config_to_json(schedule);
    char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(digits_needed(schedule))) : NULL;
    eq_status status = text ? eq_file_write(ctx, path, text, strlen(text)) : eq_fail_memory(ctx, "a schedule's JSON");
    free(text);
    json_decref(root);
    return status;
}
