#include "run/suite.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guidance/loss.h"
#include "guidance/target.h"

enum { MOST_KEYS = 32 };

/* known: ends with NULL. */
static eq_status check_keys(eq_context *ctx, const eq_json *json, const char *const *known)
{
    const char *key;
    json_t *value;
    int count = 0;
    while (known[count])
        count++;
    json_object_foreach(json->object, key, value)
    {
        bool found = false;
        for (int i = 0; i < count; i++)
            found = found || strcmp(known[i], key) == 0;
        char names[512];
        if (!found)
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: there is no key \"%.60s\"; there are: %s", json->where, key,
                           eq_join_names(known, count, names, sizeof names));
    }
    return EQ_OK;
}

/* What is not a letter, digit, dot or underscore becomes a dash, never two in a row. */
static void file_name(const char *text, char out[EQ_SUITE_NAME])
{
    size_t used = 0;
    for (; *text && used + 1 < EQ_SUITE_NAME; text++) {
        bool plain = isalnum((unsigned char)*text) || *text == '_' || (*text == '.' && used > 0);
        if (plain)
            out[used++] = *text;
        else if (used > 0 && out[used - 1] != '-')
            out[used++] = '-';
    }
    out[used] = '\0';
}

/* Element i of the array under `key`, as a view for messages: "suite.json: methods[2]". */
static eq_json element(const eq_json *json, const char *key, size_t i)
{
    eq_json view = {.object = json_array_get(json_object_get(json->object, key), i)};
    if (snprintf(view.where, sizeof view.where, "%.200s: %s[%zu]", json->where, key, i + 1) < 0)
        view.where[0] = 0;
    return view;
}

/* Its length, at least 1. */
static eq_status array_length(eq_context *ctx, const eq_json *json, const char *key, int *out)
{
    const json_t *array = json_object_get(json->object, key);
    *out = (int)json_array_size(array);
    return *out > 0 ? EQ_OK
                    : eq_fail(ctx, EQ_BAD_INPUT, "%s: \"%s\" should be an array that is not empty%s", json->where, key,
                              array ? "" : "; it is missing");
}

/* words: [EQ_SUITE_TARGET_TEXTS] */
static eq_status read_class_words(eq_context *ctx, const eq_json *json, const char **words, int *count)
{
    *count = 0;
    return eq_json_has(json, "class_words")
               ? eq_json_strings(ctx, json, "class_words", EQ_SUITE_TARGET_TEXTS, words, count)
               : EQ_OK;
}

/* --- images --- */

static eq_status read_images(eq_context *ctx, const eq_json *suite, const char *key, eq_suite_images *out, bool *has)
{
    static const char *const known[] = {"synth", "joint", "count", "seed", NULL};
    *out = (eq_suite_images){0};
    *has = eq_json_has(suite, key);
    if (!*has)
        return EQ_OK;
    if (json_is_string(json_object_get(suite->object, key)))
        return eq_json_string(ctx, suite, key, &out->folder);
    eq_json json;
    const char *synth, *joint;
    EQ_TRY(eq_json_object(ctx, suite, key, &json));
    EQ_TRY(check_keys(ctx, &json, known));
    EQ_TRY(eq_json_string(ctx, &json, "synth", &synth));
    EQ_TRY(eq_json_string_or(ctx, &json, "joint", "balanced", &joint));
    EQ_TRY(eq_json_int_or(ctx, &json, "count", 2000, 1, 1000000, &out->count));
    EQ_TRY(eq_json_int_or(ctx, &json, "seed", 77, 0, INT64_MAX, &out->seed));
    if (strcmp(synth, "portraits") != 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: \"synth\" should be \"portraits\", found \"%.60s\"", json.where, synth);
    out->balanced = strcmp(joint, "balanced") == 0;
    return out->balanced || strcmp(joint, "biased") == 0
               ? EQ_OK
               : eq_fail(ctx, EQ_BAD_INPUT, "%s: \"joint\" should be \"balanced\" or \"biased\", found \"%.60s\"",
                         json.where, joint);
}

/* --- methods --- */

static eq_status read_strength(eq_context *ctx, const eq_json *json, eq_suite_method *out)
{
    const json_t *value = json_object_get(json->object, "strength");
    const char *word = json_string_value(value);
    if (!value || (word && strcmp(word, "tuned") == 0)) {
        out->strength = EQ_SUITE_TUNED;
        return EQ_OK;
    }
    if (word && strcmp(word, "stored") == 0) {
        out->strength = EQ_SUITE_STORED;
        return EQ_OK;
    }
    out->strength = EQ_SUITE_FIXED;
    if (word)
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: \"strength\" should be \"tuned\", \"stored\" or a number, found \"%.60s\"", json->where,
                       word);
    return eq_json_float(ctx, json, "strength", 1e-6, 1e6, &out->fixed);
}

/* "5..20" */
static eq_status read_steps(eq_context *ctx, const eq_json *json, int64_t steps, eq_suite_method *out)
{
    const char *text;
    int end = 0;
    EQ_TRY(eq_json_string_or(ctx, json, "guide_steps", "", &text));
    if (!text[0])
        return EQ_OK;
    bool read = sscanf(text, "%9d..%9d%n", &out->guide_first, &out->guide_last, &end) == 2 && !text[end];
    return read && out->guide_first >= 1 && out->guide_first <= out->guide_last && out->guide_last <= steps
               ? EQ_OK
               : eq_fail(ctx, EQ_BAD_INPUT, "%s: \"guide_steps\" should be A..B within 1..%d, found \"%.60s\"",
                         json->where, (int)steps, text);
}

static eq_status read_heads(eq_context *ctx, const eq_json *method, eq_suite_method *out)
{
    static const char *const known[] = {"per_class", "hidden", "label_noise", "epochs", NULL};
    out->has_heads = eq_json_has(method, "heads");
    if (!out->has_heads)
        return EQ_OK;
    eq_json json;
    int64_t hidden, epochs;
    EQ_TRY(eq_json_object(ctx, method, "heads", &json));
    EQ_TRY(check_keys(ctx, &json, known));
    EQ_TRY(eq_json_int_or(ctx, &json, "per_class", 0, 0, 10000000, &out->heads.per_class));
    EQ_TRY(eq_json_int_or(ctx, &json, "hidden", 0, 0, 4096, &hidden));
    EQ_TRY(eq_json_int_or(ctx, &json, "epochs", 20, 1, 10000, &epochs));
    EQ_TRY(eq_json_float_or(ctx, &json, "label_noise", 0, 0, 1, &out->heads.label_noise));
    out->heads.hidden = (int)hidden;
    out->heads.epochs = (int)epochs;
    return EQ_OK;
}

static eq_status set_name(eq_context *ctx, const eq_json *json, const char *name, eq_suite_method *out)
{
    char plain[EQ_SUITE_NAME];
    file_name(name, plain);
    if (!name[0] || strlen(name) >= EQ_SUITE_NAME || strcmp(plain, name) != 0)
        return eq_fail(
            ctx, EQ_BAD_INPUT,
            "%s: a method's name should be of letters, digits, '.', '_' and '-', %d at most, found \"%.100s\"",
            json->where, EQ_SUITE_NAME - 1, name);
    memcpy(out->name, plain, sizeof plain);
    return EQ_OK;
}

/* json: a name alone, or an object. */
static eq_status read_method(eq_context *ctx, const eq_json *json, int64_t steps, eq_suite_method *out)
{
    static const char *const known[] = {"name",    "method",   "loss",        "strength", "temperature", "guide_steps",
                                        "coupled", "jacobian", "class_words", "heads",    NULL};
    *out = (eq_suite_method){.method = json_string_value(json->object)};
    if (out->method)
        return set_name(ctx, json, out->method, out);
    if (!json_is_object(json->object))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: a method should be a name or an object", json->where);
    const char *name;
    EQ_TRY(check_keys(ctx, json, known));
    EQ_TRY(eq_json_string(ctx, json, "method", &out->method));
    EQ_TRY(eq_json_string_or(ctx, json, "name", out->method, &name));
    EQ_TRY(set_name(ctx, json, name, out));
    EQ_TRY(eq_json_string_or(ctx, json, "loss", NULL, &out->loss));
    if (out->loss && !eq_loss_find(out->loss))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: \"loss\" should be chi2, kl or l2, found \"%.60s\"", json->where,
                       out->loss);
    EQ_TRY(read_strength(ctx, json, out));
    EQ_TRY(eq_json_float_or(ctx, json, "temperature", 0, 0, 1e6, &out->temperature));
    EQ_TRY(read_steps(ctx, json, steps, out));
    EQ_TRY(eq_json_int_or(ctx, json, "coupled", 0, 0, 1000000, &out->coupled));
    EQ_TRY(eq_json_bool_or(ctx, json, "jacobian", false, &out->jacobian));
    EQ_TRY(read_class_words(ctx, json, out->class_words, &out->class_word_count));
    return read_heads(ctx, json, out);
}

static eq_status read_methods(eq_context *ctx, eq_suite *suite)
{
    EQ_TRY(array_length(ctx, &suite->json, "methods", &suite->method_count));
    suite->methods = calloc((size_t)suite->method_count, sizeof *suite->methods);
    if (!suite->methods)
        return eq_fail_memory(ctx, "a suite");
    for (int i = 0; i < suite->method_count; i++) {
        eq_json json = element(&suite->json, "methods", (size_t)i);
        EQ_TRY(read_method(ctx, &json, suite->steps, &suite->methods[i]));
        for (int j = 0; j < i; j++)
            if (strcmp(suite->methods[j].name, suite->methods[i].name) == 0)
                return eq_fail(ctx, EQ_BAD_INPUT, "%s: there are two methods \"%s\"; give one of them another \"name\"",
                               json.where, suite->methods[i].name);
        if (suite->methods[i].has_heads && !suite->has_heads_images)
            return eq_fail(ctx, EQ_BAD_INPUT,
                           "%s: \"heads\" needs the suite's \"heads_images\", which predictors are to learn from",
                           json.where);
    }
    return EQ_OK;
}

/* --- targets --- */

static eq_status target_text(eq_context *ctx, const eq_json *json, const json_t *value, eq_suite_target *out)
{
    const char *text = json_string_value(value);
    if (!text || out->count == EQ_SUITE_TARGET_TEXTS)
        return eq_fail(
            ctx, EQ_BAD_INPUT,
            "%s: a target should be a text such as \"gender=female:0.5,male:0.5\", or an object with \"name\" "
            "and up to %d of them in \"targets\"",
            json->where, EQ_SUITE_TARGET_TEXTS);
    out->texts[out->count++] = text;
    return EQ_OK;
}

/* json: a text, or an object. */
static eq_status read_target(eq_context *ctx, const eq_json *json, eq_suite_target *out)
{
    static const char *const known[] = {"name", "targets", NULL};
    *out = (eq_suite_target){0};
    const char *name = json_string_value(json->object);
    if (json_is_object(json->object)) {
        int count;
        EQ_TRY(check_keys(ctx, json, known));
        EQ_TRY(eq_json_string(ctx, json, "name", &name));
        EQ_TRY(array_length(ctx, json, "targets", &count));
        for (size_t i = 0; i < (size_t)count; i++)
            EQ_TRY(target_text(ctx, json, json_array_get(json_object_get(json->object, "targets"), i), out));
    } else {
        EQ_TRY(target_text(ctx, json, json->object, out));
    }
    if (!name[0] || strlen(name) >= EQ_SUITE_NAME)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: a target's \"name\" should be of 1 to %d bytes, found \"%.60s%s\"",
                       json->where, EQ_SUITE_NAME - 1, name, strlen(name) > 60 ? "..." : "");
    snprintf(out->name, sizeof out->name, "%s", name);
    file_name(name, out->folder);
    return out->folder[0]
               ? EQ_OK
               : eq_fail(ctx, EQ_BAD_INPUT, "%s: \"name\" has no letter or digit: \"%s\"", json->where, name);
}

static eq_status read_targets(eq_context *ctx, eq_suite *suite)
{
    EQ_TRY(array_length(ctx, &suite->json, "targets", &suite->target_count));
    suite->targets = calloc((size_t)suite->target_count, sizeof *suite->targets);
    if (!suite->targets)
        return eq_fail_memory(ctx, "a suite");
    for (int i = 0; i < suite->target_count; i++) {
        eq_json json = element(&suite->json, "targets", (size_t)i);
        EQ_TRY(read_target(ctx, &json, &suite->targets[i]));
        for (int j = 0; j < i; j++)
            if (strcmp(suite->targets[j].folder, suite->targets[i].folder) == 0)
                return eq_fail(ctx, EQ_BAD_INPUT,
                               "%s: two targets are called \"%s\"; give one of them another \"name\"", json.where,
                               suite->targets[i].name);
    }
    return EQ_OK;
}

/* --- the whole --- */

static eq_status read_tuning(eq_context *ctx, eq_suite *s)
{
    static const char *const known[] = {"count", "seed", "factors", NULL};
    static const double usual[] = {0.5, 1, 2, 4, 8};
    eq_json json = {.object = NULL};
    snprintf(json.where, sizeof json.where, "%.200s: tuning", s->json.where);
    if (eq_json_has(&s->json, "tuning"))
        EQ_TRY(eq_json_object(ctx, &s->json, "tuning", &json));
    if (json.object)
        EQ_TRY(check_keys(ctx, &json, known));
    EQ_TRY(eq_json_int_or(ctx, &json, "count", 64, 2, 100000, &s->tuning_count));
    EQ_TRY(eq_json_int_or(ctx, &json, "seed", 1000003, 0, INT64_MAX, &s->tuning_seed));
    for (int i = 0; i < s->seed_count; i++)
        if (s->seeds[i] == s->tuning_seed)
            return eq_fail(ctx, EQ_BAD_INPUT,
                           "%s: \"seed\" is one of the suite's \"seeds\"; strengths must be tuned on others",
                           json.where);
    const json_t *factors = json_object_get(json.object, "factors");
    if (!factors) {
        s->factor_count = (int)(sizeof usual / sizeof usual[0]);
        memcpy(s->factors, usual, sizeof usual);
        return EQ_OK;
    }
    s->factor_count = (int)json_array_size(factors);
    for (int i = 0; i < s->factor_count && i < EQ_SUITE_FACTORS; i++)
        s->factors[i] = json_number_value(json_array_get(factors, (size_t)i));
    bool good = s->factor_count >= 1 && s->factor_count <= EQ_SUITE_FACTORS;
    for (int i = 0; good && i < s->factor_count; i++)
        good = s->factors[i] > 0 && s->factors[i] <= 1e6;
    return good ? EQ_OK
                : eq_fail(ctx, EQ_BAD_INPUT, "%s: \"factors\" should be an array of 1 to %d numbers above 0",
                          json.where, EQ_SUITE_FACTORS);
}

static eq_status read_suite(eq_context *ctx, eq_suite *s)
{
    static const char *const known[] = {
        "format",    "name",       "about",  "count",        "steps",       "sampler",
        "eta",       "dtype",      "seeds",  "methods",      "targets",     "evaluator",
        "reference", "classifier", "tuning", "heads_images", "heads_every", "heads_confidence",
        "prompt",    "negative",   "cfg",    "class_words",  NULL};
    static const char FORMAT[] = "equipoise suite 1";
    const char *format;
    EQ_TRY(check_keys(ctx, &s->json, known));
    EQ_TRY(eq_json_string(ctx, &s->json, "format", &format));
    if (strcmp(format, FORMAT) != 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: \"format\" should be \"%s\", found \"%.60s\"", s->json.where, FORMAT,
                       format);
    EQ_TRY(eq_json_string_or(ctx, &s->json, "name", "", &s->name));
    EQ_TRY(eq_json_string_or(ctx, &s->json, "about", "", &s->about));
    EQ_TRY(eq_json_int(ctx, &s->json, "count", 2, 1000000, &s->count));
    EQ_TRY(eq_json_int_or(ctx, &s->json, "steps", 50, 1, 100000, &s->steps));
    EQ_TRY(eq_json_string_or(ctx, &s->json, "sampler", NULL, &s->sampler));
    EQ_TRY(eq_json_float_or(ctx, &s->json, "eta", 1, 0, 1, &s->eta));
    EQ_TRY(eq_json_string_or(ctx, &s->json, "dtype", "auto", &s->dtype));
    if (strcmp(s->dtype, "auto") != 0 && strcmp(s->dtype, "f32") != 0 && strcmp(s->dtype, "bf16") != 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: \"dtype\" should be auto, f32 or bf16, found \"%.60s\"", s->json.where,
                       s->dtype);
    EQ_TRY(eq_json_string_or(ctx, &s->json, "prompt", NULL, &s->prompt));
    EQ_TRY(eq_json_string_or(ctx, &s->json, "negative", NULL, &s->negative));
    EQ_TRY(eq_json_float_or(ctx, &s->json, "cfg", 0, 1, 1000, &s->cfg));
    EQ_TRY(read_class_words(ctx, &s->json, s->class_words, &s->class_word_count));
    EQ_TRY(eq_json_string_or(ctx, &s->json, "evaluator", "evaluator", &s->evaluator));
    EQ_TRY(eq_json_string_or(ctx, &s->json, "classifier", "classifier", &s->classifier));
    EQ_TRY(eq_json_ints(ctx, &s->json, "seeds", 0, INT64_MAX, EQ_SUITE_SEEDS, s->seeds, &s->seed_count));
    for (int i = 0; i < s->seed_count; i++)
        for (int j = 0; j < i; j++)
            if (s->seeds[i] == s->seeds[j])
                return eq_fail(ctx, EQ_BAD_INPUT, "%s: \"seeds\" has %lld twice", s->json.where,
                               (long long)s->seeds[i]);
    if (s->seed_count == 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: \"seeds\" is empty", s->json.where);
    EQ_TRY(read_images(ctx, &s->json, "reference", &s->reference, &s->has_reference));
    EQ_TRY(read_images(ctx, &s->json, "heads_images", &s->heads_images, &s->has_heads_images));
    EQ_TRY(eq_json_int_or(ctx, &s->json, "heads_every", 1, 1, 1000, &s->heads_every));
    EQ_TRY(eq_json_float_or(ctx, &s->json, "heads_confidence", 0.8, 0, 1, &s->heads_confidence));
    EQ_TRY(read_tuning(ctx, s));
    EQ_TRY(read_methods(ctx, s));
    return read_targets(ctx, s);
}

/* Takes the document over. */
static eq_status take(eq_context *ctx, eq_status status, eq_suite *out)
{
    if (status == EQ_OK)
        status = read_suite(ctx, out);
    if (status != EQ_OK)
        eq_suite_close(out);
    return status;
}

eq_status eq_suite_read(eq_context *ctx, const char *path, eq_suite *out)
{
    *out = (eq_suite){0};
    return take(ctx, eq_json_read(ctx, path, &out->json), out);
}

eq_status eq_suite_parse(eq_context *ctx, const char *text, size_t size, const char *name, eq_suite *out)
{
    *out = (eq_suite){0};
    return take(ctx, eq_json_parse(ctx, text, size, name, &out->json), out);
}

void eq_suite_close(eq_suite *suite)
{
    free(suite->methods);
    free(suite->targets);
    eq_json_close(&suite->json);
    *suite = (eq_suite){0};
}
