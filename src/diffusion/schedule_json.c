/* Schedules in diffusers' scheduler_config.json. */
#include "diffusion/schedule.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "diffusion/prediction.h"
#include "diffusion/timesteps.h"
#include "io/json.h"

typedef struct choice {
    const char *name;
    int value;
} choice;

/* A scheduler class of diffusers: the sampler here, and how its defaults differ from DDIM's. */
typedef struct scheduler_class {
    const char *name, *sampler;
    bool stands_in; /* the sampler is the nearest there is, not the same method */
    bool clip_sample, set_alpha_to_one;
    double beta_start, beta_end; /* 0: DDIM's */
} scheduler_class;

/* DPM-Solver's classes end at abar_0 where "final_sigmas_type" does not say otherwise. */
static const scheduler_class classes[] = {
    {.name = "DDIMScheduler", .sampler = "ddim", .clip_sample = true, .set_alpha_to_one = true},
    {.name = "DDPMScheduler", .sampler = "ddpm", .clip_sample = true, .set_alpha_to_one = true},
    {.name = "PNDMScheduler", .sampler = "pndm"},
    {.name = "EulerDiscreteScheduler", .sampler = "euler", .set_alpha_to_one = true},
    {.name = "EulerAncestralDiscreteScheduler", .sampler = "euler-ancestral", .set_alpha_to_one = true},
    {.name = "HeunDiscreteScheduler",
     .sampler = "heun",
     .set_alpha_to_one = true,
     .beta_start = 0.00085,
     .beta_end = 0.012},
    {.name = "DPMSolverMultistepScheduler", .sampler = "dpmsolver++"},
    {.name = "DPMSolverSinglestepScheduler", .sampler = "dpmsolver++", .stands_in = true},
    {.name = "DEISMultistepScheduler", .sampler = "dpmsolver++", .stands_in = true},
    {.name = "UniPCMultistepScheduler", .sampler = "dpmsolver++", .stands_in = true},
    {.name = "LMSDiscreteScheduler", .sampler = "dpmsolver++", .stands_in = true, .set_alpha_to_one = true},
    {.name = "KDPM2DiscreteScheduler",
     .sampler = "heun",
     .stands_in = true,
     .set_alpha_to_one = true,
     .beta_start = 0.00085,
     .beta_end = 0.012},
    {.name = "KDPM2AncestralDiscreteScheduler",
     .sampler = "euler-ancestral",
     .stands_in = true,
     .set_alpha_to_one = true,
     .beta_start = 0.00085,
     .beta_end = 0.012},
};
enum { CLASSES = sizeof classes / sizeof classes[0] };
static const choice final_sigmas[] = {{"zero", true}, {"sigma_min", false}};
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

/* Leaves *out alone where the key is missing or null, which diffusers takes for missing. */
static eq_status read_choice(eq_context *ctx, const eq_json *json, const char *key, const choice *choices, size_t count,
                             int *out)
{
    const char *found;
    EQ_TRY(eq_json_string_or(ctx, json, key, NULL, &found));
    if (!found)
        return EQ_OK;
    char names[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(found, choices[i].name) == 0) {
            *out = choices[i].value;
            return EQ_OK;
        }
        if (used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s\"%s\"", i ? ", " : "", choices[i].name);
    }
    return eq_fail(ctx, EQ_BAD_INPUT, "%s: \"%s\" should be one of %s, found \"%.60s\"", json->where, key, names,
                   found);
}

#define READ_CHOICE(ctx, json, key, choices, out)                                                                      \
    read_choice(ctx, json, key, choices, sizeof(choices) / sizeof(choices)[0], out)

/* Settings that would change the numbers and are not implemented: reading them as off would be wrong quietly. */
static eq_status check_unsupported(eq_context *ctx, const eq_json *json)
{
    static const char *const keys[] = {"thresholding", "rescale_betas_zero_snr"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        bool on;
        EQ_TRY(eq_json_bool_or(ctx, json, keys[i], false, &on));
        if (on)
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: \"%s\" should be false, found true: it is not supported",
                           json->where, keys[i]);
    }
    return EQ_OK;
}

static eq_status read_int(eq_context *ctx, const eq_json *json, const char *key, int low, int high, int *value)
{
    int64_t found;
    EQ_TRY(eq_json_int_or(ctx, json, key, *value, low, high, &found));
    *value = (int)found;
    return EQ_OK;
}

static eq_status read_number(eq_context *ctx, const eq_json *json, const char *key, double *value)
{
    return eq_json_float_or(ctx, json, key, *value, -INFINITY, INFINITY, value);
}

static eq_status read_bool(eq_context *ctx, const eq_json *json, const char *key, bool *value)
{
    return eq_json_bool_or(ctx, json, key, *value, value);
}

static eq_status read_class(eq_context *ctx, const eq_json *json, const scheduler_class **out)
{
    const char *name;
    EQ_TRY(eq_json_string_or(ctx, json, "_class_name", classes[0].name, &name));
    for (int i = 0; i < CLASSES; i++) {
        if (strcmp(classes[i].name, name) == 0) {
            *out = &classes[i];
            return EQ_OK;
        }
    }
    char names[512] = "";
    size_t used = 0;
    for (int i = 0; i < CLASSES && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", classes[i].name);
    return eq_fail(ctx, EQ_BAD_INPUT, "%s: \"_class_name\" should be one of %s, found \"%.60s\"", json->where, names,
                   name);
}

static void take_class(const scheduler_class *class, eq_schedule_config *config)
{
    config->scheduler = class->name;
    config->sampler = class->sampler;
    config->sampler_differs = class->stands_in;
    config->clip_sample = class->clip_sample;
    config->set_alpha_to_one = class->set_alpha_to_one;
    config->prk_steps = strcmp(class->sampler, "pndm") == 0;
    if (class->beta_start > 0) {
        config->beta_start = class->beta_start;
        config->beta_end = class->beta_end;
    }
}

static bool is_text_other_than(const eq_json *json, const char *key, const char *expected)
{
    const json_t *value = json_object_get(json->object, key);
    return json_is_string(value) && strcmp(json_string_value(value), expected) != 0;
}

/* Settings of the class's own sampler that are not implemented. They are no fault of the model: it can be sampled
 * without them. */
static void note_differences(eq_context *ctx, const eq_json *json, const scheduler_class *class)
{
    static const char *const switches[] = {"use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas",
                                           "use_flow_sigmas", "euler_at_final"};
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++)
        if (json_is_true(json_object_get(json->object, switches[i])))
            eq_log(ctx, EQ_LOG_WARNING, "%s: \"%s\" is not implemented and is taken as false", json->where,
                   switches[i]);
    if (is_text_other_than(json, "interpolation_type", "linear"))
        eq_log(ctx, EQ_LOG_WARNING, "%s: \"interpolation_type\" is taken as \"linear\"", json->where);
    if (strcmp(class->name, "DPMSolverMultistepScheduler") != 0)
        return;
    const json_t *order = json_object_get(json->object, "solver_order");
    if (is_text_other_than(json, "algorithm_type", "dpmsolver++") ||
        is_text_other_than(json, "solver_type", "midpoint") ||
        (json_is_integer(order) && json_integer_value(order) != 2) ||
        json_is_false(json_object_get(json->object, "lower_order_final")))
        eq_log(ctx, EQ_LOG_WARNING,
               "%s: the model's own sampler is taken as DPM-Solver++ of order 2 with midpoint steps, whatever "
               "\"algorithm_type\", \"solver_order\", \"solver_type\" and \"lower_order_final\" say",
               json->where);
}

/* Which of the class's own settings there are depends on the class. */
static eq_status read_sampler(eq_context *ctx, const eq_json *json, const scheduler_class *class,
                              eq_schedule_config *config)
{
    bool skip_prk_steps = !config->prk_steps;
    int ends_at_zero = config->set_alpha_to_one;
    EQ_TRY(read_bool(ctx, json, "use_karras_sigmas", &config->karras_sigmas));
    EQ_TRY(READ_CHOICE(ctx, json, "final_sigmas_type", final_sigmas, &ends_at_zero));
    config->set_alpha_to_one = ends_at_zero;
    EQ_TRY(read_bool(ctx, json, "set_alpha_to_one", &config->set_alpha_to_one));
    if (strcmp(class->sampler, "pndm") == 0)
        EQ_TRY(read_bool(ctx, json, "skip_prk_steps", &skip_prk_steps));
    config->prk_steps = !skip_prk_steps;
    note_differences(ctx, json, class);
    return EQ_OK;
}

static eq_status read_config(eq_context *ctx, const eq_json *json, eq_schedule_config *config)
{
    const scheduler_class *class = NULL;
    EQ_TRY(read_class(ctx, json, &class));
    take_class(class, config);
    int beta_kind = (int)config->beta_kind, prediction = (int)config->prediction;
    int variance = (int)config->variance, spacing = (int)config->spacing;
    EQ_TRY(read_int(ctx, json, "num_train_timesteps", 1, EQ_MAX_TRAIN_TIMESTEPS, &config->num_train_timesteps));
    EQ_TRY(READ_CHOICE(ctx, json, "beta_schedule", beta_schedules, &beta_kind));
    EQ_TRY(read_number(ctx, json, "beta_start", &config->beta_start));
    EQ_TRY(read_number(ctx, json, "beta_end", &config->beta_end));
    EQ_TRY(READ_CHOICE(ctx, json, "prediction_type", predictions, &prediction));
    EQ_TRY(READ_CHOICE(ctx, json, "variance_type", variances, &variance));
    EQ_TRY(read_bool(ctx, json, "clip_sample", &config->clip_sample));
    EQ_TRY(read_number(ctx, json, "clip_sample_range", &config->clip_sample_range));
    EQ_TRY(read_sampler(ctx, json, class, config));
    EQ_TRY(read_int(ctx, json, "steps_offset", 0, config->num_train_timesteps - 1, &config->steps_offset));
    EQ_TRY(READ_CHOICE(ctx, json, "timestep_spacing", spacings, &spacing));
    EQ_TRY(check_unsupported(ctx, json));
    config->beta_kind = (eq_beta_kind)beta_kind;
    config->prediction = (eq_prediction_type)prediction;
    config->variance = (eq_variance_kind)variance;
    config->spacing = (eq_spacing)spacing;
    return EQ_OK;
}

/* Where "trained_betas" lists betas they replace the schedule by name, as in diffusers. *out is malloc'ed, or NULL. */
static eq_status read_trained_betas(eq_context *ctx, const eq_json *json, int count, double **out)
{
    *out = NULL;
    if (!eq_json_has(json, "trained_betas"))
        return EQ_OK;
    const json_t *list = json_object_get(json->object, "trained_betas");
    if (!json_is_array(list) || json_array_size(list) != (size_t)count)
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: \"trained_betas\" should be null or %d numbers, one a training timestep, found %zu",
                       json->where, count, json_array_size(list));
    double *betas = malloc((size_t)count * sizeof *betas);
    if (!betas)
        return eq_fail_memory(ctx, "trained betas");
    for (size_t t = 0; t < (size_t)count; t++) {
        const json_t *value = json_array_get(list, t);
        if (!json_is_number(value)) {
            free(betas);
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: \"trained_betas\" should hold numbers only, not so at index %zu",
                           json->where, t);
        }
        betas[t] = json_number_value(value);
    }
    *out = betas;
    return EQ_OK;
}

static eq_status read_schedule(eq_context *ctx, const eq_json *json, eq_schedule *out)
{
    eq_schedule_config config = eq_schedule_config_default();
    EQ_TRY(read_config(ctx, json, &config));
    double *betas;
    EQ_TRY(read_trained_betas(ctx, json, config.num_train_timesteps, &betas));
    if (betas)
        config.beta_kind = EQ_BETA_TRAINED;
    eq_status status = eq_schedule_new(ctx, &config, betas, out);
    free(betas);
    /* A value that reads well but is out of range is the file's fault, not the caller's. */
    if (status == EQ_BAD_USAGE)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s", json->where, ctx ? eq_last_error(ctx) : "");
    return status;
}

/* Closes the document. */
static eq_status read_and_close(eq_context *ctx, eq_json *json, eq_schedule *out)
{
    eq_status status = read_schedule(ctx, json, out);
    eq_json_close(json);
    return status;
}

eq_status eq_schedule_read(eq_context *ctx, const char *path, eq_schedule *out)
{
    *out = (eq_schedule){0};
    eq_json json;
    EQ_TRY(eq_json_read(ctx, path, &json));
    return read_and_close(ctx, &json, out);
}

eq_status eq_schedule_parse(eq_context *ctx, const char *text, size_t size, const char *name, eq_schedule *out)
{
    *out = (eq_schedule){0};
    eq_json json;
    EQ_TRY(eq_json_parse(ctx, text, size, name, &json));
    return read_and_close(ctx, &json, out);
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
    bool pndm = strcmp(c->sampler, "pndm") == 0, dpm = strcmp(c->sampler, "dpmsolver++") == 0;
    /* json_pack takes `betas` over, and fails if it is NULL. A key with a NULL string ("s*") is left out. */
    return json_pack("{s:s, s:i, s:f, s:f, s:s, s:o, s:s, s:s, s:b, s:f, s:b, s:i, s:s*, s:o*, s:o*, s:s*}",
                     "_class_name", c->scheduler, "num_train_timesteps", c->num_train_timesteps, "beta_start",
                     c->beta_start, "beta_end", c->beta_end, "beta_schedule",
                     trained ? "linear" : CHOICE_NAME(beta_schedules, c->beta_kind), "trained_betas", betas,
                     "prediction_type", eq_prediction_name(c->prediction), "variance_type",
                     CHOICE_NAME(variances, c->variance), "clip_sample", c->clip_sample, "clip_sample_range",
                     c->clip_sample_range, "set_alpha_to_one", c->set_alpha_to_one, "steps_offset", c->steps_offset,
                     "timestep_spacing", CHOICE_NAME(spacings, c->spacing), "use_karras_sigmas",
                     c->karras_sigmas ? json_true() : NULL, "skip_prk_steps", pndm ? json_boolean(!c->prk_steps) : NULL,
                     "final_sigmas_type", dpm ? CHOICE_NAME(final_sigmas, c->set_alpha_to_one) : NULL);
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
