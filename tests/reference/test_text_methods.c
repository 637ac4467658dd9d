/* Text methods on the Stable Diffusion fixture: prompt-quota's images are those of the prompts it made; semantic
 * guidance by prompts that are the image's own, or empty, is classifier-free guidance of another scale; interrupted
 * runs continue; texts are encoded once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/path.h"
#include "io/json.h"
#include "io/manifest.h"
#include "reference/fixtures.h"
#include "run/session.h"
#include "temporary.h"
#include "unit/tiny.h"

enum { IMAGES = 4, STEPS = 4 };

static const char *const prompt = "a doctor";

static eq_context *ctx;
static void *folder;
static eq_pipeline *pipeline;
static eq_targets target;

static int setup(void **state)
{
    if (temporary_setup(&folder) != 0)
        return -1;
    assert_ok(eq_pipeline_open(ctx, fixture_path("stable-diffusion-tiny"), &pipeline));
    assert_ok(eq_targets_add(ctx, &target, "gender=female:0.5,male:0.5", NULL, 0));
    return 0;
}

static int teardown(void **state)
{
    eq_targets_free(&target);
    eq_pipeline_close(pipeline);
    return temporary_teardown(&folder);
}

/* DDIM without noise of its own, which would hide how images differ. */
static eq_generate_options options_of(const char *method)
{
    return (eq_generate_options){.count = IMAGES,
                                 .seed = 5,
                                 .steps = STEPS,
                                 .deterministic = 1,
                                 .method = method,
                                 .prompts = &prompt,
                                 .prompt_count = 1,
                                 .cfg = 3,
                                 .tokenizer = fixture_path("clip-tokenizer")};
}

static eq_generation generate(const eq_generate_options *options)
{
    eq_generation out;
    assert_ok(eq_generate(pipeline, options, &target, &out));
    return out;
}

/* Largest difference of two pixels of image i. */
static int most_apart(const eq_generation *a, const eq_generation *b, int64_t i)
{
    int most = 0;
    size_t count = (size_t)a->width * (size_t)a->height * 3;
    for (size_t k = (size_t)i * count; k < (size_t)(i + 1) * count; k++) {
        int d = abs(a->pixels[k] - b->pixels[k]);
        most = d > most ? d : most;
    }
    return most;
}

static void images_of_their_own_prompts(void **state)
{
    static const char *const worded[] = {"a female doctor", "a male doctor"};
    eq_generate_options o = options_of("prompt-quota");
    eq_generation quota = generate(&o), plain[2];
    o.method = "none";
    for (int k = 0; k < 2; k++) {
        o.prompts = &worded[k];
        plain[k] = generate(&o);
    }
    int count[2] = {0};
    for (int64_t i = 0; i < IMAGES; i++) {
        int cell = quota.cells[i];
        assert_in_range(cell, 0, 1);
        count[cell]++;
        assert_true(most_apart(&quota, &plain[cell], i) <= 1);
        assert_true(most_apart(&quota, &plain[1 - cell], i) > 1);
        assert_true(quota.moved[i]);
    }
    assert_int_equal(count[0], IMAGES / 2);
    assert_near(quota.unet_passes, plain[0].unet_passes, 0);
    eq_generation_free(&quota);
    eq_generation_free(&plain[0]);
    eq_generation_free(&plain[1]);
}

/* Women are edited towards the prompt itself and away from nothing, men the other way round: with the scale s,
 * eps_u + cfg (eps_c - eps_u) +- s (eps_c - eps_u). */
static void edits_by_the_prompt_itself(void **state)
{
    static const char *const words = "gender=female:a doctor,male:";
    eq_generate_options o = options_of("none");
    eq_generation plain[2];
    for (int k = 0; k < 2; k++) {
        o.cfg = k == 0 ? 5 : 1;
        plain[k] = generate(&o);
    }
    o = options_of("fair-diffusion");
    o.class_words = &words;
    o.class_word_count = 1;
    o.strength = 2;
    o.edit_threshold = o.edit_momentum = -1;
    o.guide_first = 1;
    o.guide_last = STEPS;
    eq_generation edited = generate(&o);
    for (int64_t i = 0; i < IMAGES; i++) {
        assert_true(most_apart(&edited, &plain[edited.cells[i]], i) <= 1);
        assert_true(most_apart(&edited, &plain[1 - edited.cells[i]], i) > 1);
    }
    assert_near(edited.unet_passes, 4 * IMAGES * STEPS, 0);
    eq_generation_free(&edited);
    eq_generation_free(&plain[0]);
    eq_generation_free(&plain[1]);
}

static void no_difference_no_edit(void **state)
{
    static const char *const words = "gender=female:person,male:person";
    eq_generate_options o = options_of("none");
    eq_generation plain = generate(&o);
    o = options_of("fair-diffusion");
    eq_generation edited = generate(&o);
    o.class_words = &words;
    o.class_word_count = 1;
    eq_generation same = generate(&o);
    for (int64_t i = 0; i < IMAGES; i++) {
        assert_true(most_apart(&same, &plain, i) <= 1);
        assert_true(most_apart(&edited, &plain, i) > 1);
    }
    eq_generation_free(&plain);
    eq_generation_free(&edited);
    eq_generation_free(&same);
}

static void stop_at(void *user, int64_t done, int64_t total)
{
    int64_t *left = user;
    if (--*left == 0)
        eq_cancel(ctx);
}

static json_t *read_run(const char *out)
{
    eq_json run;
    char *path = eq_path_join(out, "run.json");
    assert_ok(eq_json_read(ctx, path, &run));
    json_t *root = json_deep_copy(run.object);
    eq_json_close(&run);
    free(path);
    return root;
}

static void assert_prompts(const char *out, const char *method)
{
    eq_manifest manifest;
    char *path = eq_path_join(out, "manifest.jsonl");
    int women = 0;
    assert_ok(eq_manifest_read(ctx, path, &manifest));
    for (size_t i = 0; i < manifest.count; i++) {
        const char *text = manifest.entries[i].prompt;
        if (strcmp(method, "fair-diffusion") == 0)
            assert_string_equal(text, "a doctor");
        else if (strcmp(text, "a female doctor") == 0)
            women++;
        else
            assert_string_equal(text, "a male doctor");
    }
    assert_int_equal(women, strcmp(method, "fair-diffusion") == 0 ? 0 : IMAGES / 2);
    eq_manifest_free(&manifest);
    free(path);
}

static void stopped_runs_continue(void **state)
{
    static const char *const methods[] = {"prompt-quota", "fair-diffusion"}, *const samplers[] = {"ddim",
                                                                                                  "dpmsolver++"};
    for (int m = 0; m < 2; m++) {
        char *whole = eq_path_join(folder, m ? "whole-1" : "whole-0"),
             *out = eq_path_join(folder, m ? "cut-1" : "cut-0");
        int64_t never = 1000, left = 4; /* the beginning is told of, too */
        eq_session session = {
            .pipeline = pipeline, .targets = &target, .out = whole, .options = options_of(methods[m])};
        session.options.sampler = samplers[m];
        session.options.progress = stop_at;
        session.options.progress_user = &never;
        eq_session_result a, b;
        assert_ok(eq_session_run(&session, &a));
        session.out = out;
        session.options.progress_user = &left;
        assert_fails(eq_session_run(&session, &b), EQ_CANCELLED, "--resume");
        eq_session_result_free(&b);
        eq_cancel_clear(ctx);
        session.resume = true;
        session.options.progress_user = &never;
        session.options.edit_momentum = 0.25;
        if (m == 1)
            assert_fails(eq_session_run(&session, &b), EQ_BAD_USAGE, "edit_momentum 0.5, not 0.25");
        if (m == 1)
            eq_session_result_free(&b);
        session.options.edit_momentum = 0;
        assert_ok(eq_session_run(&session, &b));
        for (int64_t i = 0; i < IMAGES; i++)
            assert_int_equal(most_apart(&a.generation, &b.generation, i), 0);
        assert_prompts(out, methods[m]);
        json_t *run = read_run(out);
        assert_string_equal(json_string_value(json_object_get(json_object_get(run, "settings"), "method")), methods[m]);
        assert_near(json_number_value(json_object_get(run, "unet_passes")), IMAGES * STEPS * (m ? 4 : 2), 0);
        json_decref(run);
        eq_session_result_free(&a);
        eq_session_result_free(&b);
        free(whole);
        free(out);
    }
}

static void texts_are_encoded_once(void **state)
{
    eq_generate_options o = options_of("none");
    o.count = 1;
    o.steps = 1;
    eq_generation g = generate(&o);
    const eq_encoded *before = pipeline->encoded;
    eq_generation_free(&g);
    o.seed = 6;
    g = generate(&o);
    assert_ptr_equal(pipeline->encoded, before);
    assert_int_equal(before->holders, 1);
    eq_generation_free(&g);
    o.negative_prompt = "a nurse";
    g = generate(&o);
    assert_true(strstr(pipeline->encoded->key, "a nurse") != NULL);
    eq_generation_free(&g);
}

static void refusals(void **state)
{
    const eq_targets nothing = {0};
    static const char *const empty = "doctors";
    eq_generation g;
    eq_generate_options o = options_of("prompt-quota");
    assert_fails(eq_generate(pipeline, &o, &nothing, &g), EQ_BAD_USAGE, "prompt-quota needs a target");
    o.prompts = &empty;
    assert_fails(eq_generate(pipeline, &o, &target, &g), EQ_BAD_USAGE, "write {}");
    o = options_of("fair-diffusion");
    o.cfg = 1;
    assert_fails(eq_generate(pipeline, &o, &target, &g), EQ_BAD_USAGE, "--cfg above 1");
    o.cfg = 3;
    o.edit_threshold = 1;
    assert_fails(eq_generate(pipeline, &o, &target, &g), EQ_BAD_USAGE, "threshold");
    assert_fails(eq_calibrate(pipeline, &o, &target), EQ_BAD_USAGE, "no strength to be found");
}

int main(void)
{
    if (!fixture_exists("stable-diffusion-tiny") || !fixture_exists("clip-tokenizer"))
        return FIXTURES_SKIP;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_of_their_own_prompts), cmocka_unit_test(edits_by_the_prompt_itself),
        cmocka_unit_test(no_difference_no_edit),       cmocka_unit_test(stopped_runs_continue),
        cmocka_unit_test(texts_are_encoded_once),      cmocka_unit_test(refusals),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    eq_context_free(ctx);
    return failed;
}
