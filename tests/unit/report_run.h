/* Reports in tests: folders of runs from a few names and numbers, and what is written of them. */
#ifndef EQ_TESTS_UNIT_REPORT_RUN_H
#define EQ_TESTS_UNIT_REPORT_RUN_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/path.h"
#include "eval/evaluation.h"
#include "eval/html.h"
#include "eval/report.h"
#include "io/image.h"
#include "temporary.h"

/* Of the images. Each is shown by the joint target and by its two attributes. */
enum { SIDE = 4, VIEWS = 3 };

static eq_context *ctx;
static const char *folder; /* of the test */

static inline int make_context(void **state)
{
    ctx = eq_context_new();
    return ctx ? 0 : -1;
}

static inline int drop_context(void **state)
{
    eq_context_free(ctx);
    return 0;
}

static inline int setup(void **state)
{
    int result = temporary_setup(state);
    folder = *state;
    return result;
}

/* The names and numbers that a run's folder is written from. */
typedef struct sample {
    const char *name; /* of the folder */
    int n, female;    /* the first images are female */
    const char *gender, *classes[2], *evaluator, *command;
    bool labels, manifest, images;
} sample;

static inline sample good(const char *name, int n, int female)
{
    return (sample){name, n,    female, "gender", {"female", "male"}, "an evaluator", "equipoise generate",
                    true, true, true};
}

static inline char *in_folder(const char *name, const char *file)
{
    static char path[4][1024];
    static int next;
    char *out = path[next++ % 4];
    snprintf(out, sizeof(path[0]), "%s/%s%s%s", folder, name, file[0] ? "/" : "", file);
    return out;
}

static inline void write_text(const char *name, const char *file, const char *text)
{
    assert_int_equal(eq_file_write(ctx, in_folder(name, file), text, strlen(text)), EQ_OK);
}

/* An image's colour tells its number. */
static inline void write_image(const sample *s, int i)
{
    char file[64];
    eq_image image;
    assert_int_equal(eq_image_new(ctx, SIDE, SIDE, &image), EQ_OK);
    for (int k = 0; k < SIDE * SIDE * 3; k++)
        image.pixels[k] = (uint8_t)(k % 3 == 0 ? i % 256 : k % 3 == 1 ? i / 256 : 77);
    snprintf(file, sizeof(file), "images/%06d.png", i);
    assert_int_equal(eq_image_write_png(ctx, in_folder(s->name, file), &image), EQ_OK);
    eq_image_free(&image);
}

static inline json_t *evaluate(const sample *s)
{
    static const double confusion_counts[] = {95, 5, 8, 92};
    static const char *const glasses_classes[] = {"no", "yes"};
    const eq_attribute attributes[] = {{s->gender, 2, s->classes}, {"glasses", 2, glasses_classes}};
    float *gender = calloc((size_t)s->n * 2, sizeof(float)), *glasses = calloc((size_t)s->n * 2, sizeof(float));
    for (int i = 0; i < s->n; i++) {
        gender[2 * i + (i >= s->female)] = 1;
        glasses[2 * i + i % 2] = 1;
    }
    const float *probabilities[] = {gender, glasses};
    const eq_confusion confusions[] = {{2, confusion_counts}, {0}};
    double p[] = {0.25, 0.25, 0.25, 0.25};
    eq_target joint = {2, (eq_attribute *)attributes, 4, p};
    /* One feature: 0 and 1 in turn, moved by 1.5 from the reference's. */
    float *ours = calloc((size_t)s->n, sizeof(float)), *theirs = calloc((size_t)s->n, sizeof(float));
    for (int i = 0; i < s->n; i++)
        ours[i] = 1.5f + (theirs[i] = (float)(i % 2));
    const eq_reference_set reference = {"evaluator", s->evaluator, s->n, 1, theirs, ours, probabilities, false};
    const eq_estimate some = {0.25, 0.125, 0.5};
    const eq_drift drift = {(char *)s->evaluator, s->n, some, {31.25, 30, 32}, "evaluator", {2.5, 2.25, 2.75}, 7};
    eq_evaluation_input input = {.n = s->n,
                                 .evaluator = s->evaluator,
                                 .attribute_count = 2,
                                 .attributes = attributes,
                                 .probabilities = probabilities,
                                 .confusions = confusions,
                                 .targets = &joint,
                                 .target_count = 1,
                                 .reference = &reference,
                                 .drift = &drift};
    eq_evaluation evaluation;
    json_t *json;
    assert_int_equal(eq_evaluate(ctx, &input, &evaluation), EQ_OK);
    assert_int_equal(eq_evaluation_json(ctx, &evaluation, &json), EQ_OK);
    eq_evaluation_free(&evaluation);
    free(ours);
    free(theirs);
    free(gender);
    free(glasses);
    return json;
}

static inline json_t *run_json(const sample *s)
{
    char *joint = eq_format("%s*glasses", s->gender), *cells[4];
    for (int i = 0; i < 4; i++)
        cells[i] = eq_format("%s/%s", s->classes[i / 2], i % 2 ? "yes" : "no");
    json_t *json = json_pack(
        "{s:s, s:s, s:{s:s, s:i, s:f, s:b, s:s}, s:{s:s, s:s, s:[i,i,i]}, s:[{s:s, s:s, s:s, s:i}], s:{s:{s:f, s:f, s:f, "
        "s:f}}, s:{s:f, s:f, s:f, s:f}, s:f, s:I, s:{s:{s:[s,s], s:[f,f,f], s:[[f,f],[f,f],[f,f]]}}, s:o}",
        "format", "equipoise run 1", "version", "1.2.3", "settings", "command", s->command, "seed", 7, "eta", 0.5,
        "resume", 0, s->gender, s->command, "model", "folder", s->evaluator, "hash", "abc123", "h_shape", 8, 8, 64,
        "heads", "attribute", s->gender, "file", s->evaluator, "hash", "def456", "heads", 25, "targets", joint,
        cells[0], 0.25, cells[1], 0.25, cells[2], 0.25, cells[3], 0.25, "seconds", "total", 20.0, "sampling", 18.0,
        "guidance", 0.5, "labelling", 2.0, "unet_passes", 400.0, "peak_rss_bytes", (json_int_t)123000000, "p_per_step",
        s->gender, "classes", s->classes[0], s->classes[1], "timesteps", 999.0, 500.0, 0.0, "p", 0.5, 0.5, 0.4, 0.6,
        0.3, 0.7, "evaluation", evaluate(s));
    assert_non_null(json);
    free(joint);
    for (int i = 0; i < 4; i++)
        free(cells[i]);
    return json;
}

static inline void write_json(const sample *s, const json_t *json)
{
    assert_int_equal(json_dump_file(json, in_folder(s->name, "run.json"), 0), 0);
}

static inline void write_run(const sample *s)
{
    char *labels = malloc((size_t)s->n * 1024 + 1024), *manifest = malloc((size_t)s->n * 256 + 1);
    size_t labels_size = (size_t)sprintf(labels, "file_name,\"%s\",\"%s_p\",glasses\n", s->gender, s->gender), size = 0;
    assert_int_equal(eq_make_folders(ctx, in_folder(s->name, "images")), EQ_OK);
    manifest[0] = 0;
    for (int i = 0; i < s->n; i++) {
        if (s->images)
            write_image(s, i);
        labels_size += (size_t)sprintf(labels + labels_size, "images/%06d.png,\"%s\",%.2f,%s\n", i,
                                       s->classes[i >= s->female], i == 1 ? 0.61 : 0.99, i % 2 ? "yes" : "no");
        size += (size_t)sprintf(manifest + size,
                                "{\"file\": \"images/%06d.png\", \"seed\": 7, \"index\": %d, \"batch\": 0, "
                                "\"target_class\": {}, \"adp\": {}, \"guided\": true}\n",
                                i, i);
    }
    if (s->labels)
        write_text(s->name, "labels.csv", labels);
    if (s->manifest)
        write_text(s->name, "manifest.jsonl", manifest);
    json_t *json = run_json(s);
    write_json(s, json);
    json_decref(json);
    free(labels);
    free(manifest);
}

/* -- reading the report -- */

static inline bool is_void(const char *name)
{
    return strcmp(name, "meta") == 0 || strcmp(name, "br") == 0;
}

/* Every element that is opened is closed, in the right order, and attributes hold no stray markup. */
static inline void assert_well_formed(const char *html)
{
    char open[64][16];
    int depth = 0;
    for (const char *at = strchr(html, '<'); at != NULL; at = strchr(at, '<')) {
        char name[16] = "";
        bool closing = at[1] == '/';
        sscanf(at + 1 + closing, "%15[a-z0-9]", name);
        const char *end = at;
        for (bool quoted = false; *end && (quoted || *end != '>'); end++) {
            quoted ^= *end == '"';
            if (end > at && *end == '<')
                fail_msg("'<' within the tag %.60s", at);
        }
        if (!*end)
            fail_msg("a tag without end: %.60s", at);
        if (at[1] == '!') {
            assert_int_equal(strncmp(at, "<!doctype html>", 15), 0);
        } else if (closing) {
            if (depth == 0 || strcmp(open[depth - 1], name) != 0)
                fail_msg("%s closed, %s open: %.60s", name, depth ? open[depth - 1] : "nothing", at);
            depth--;
        } else if (end[-1] != '/' && !is_void(name)) {
            assert_true(name[0] && depth < 64);
            strcpy(open[depth++], name);
        }
        at = end;
    }
    if (depth > 0)
        fail_msg("%s is never closed", open[depth - 1]);
}

/* Writes a report and reads it back; the caller frees it. (Inlined, gcc 12 warns of what is not so.) */
__attribute__((noinline, unused)) static char *report_of(const char *run, const char *before)
{
    uint8_t *html;
    size_t size;
    eq_status status =
        eq_report_write(ctx, in_folder(run, ""), before ? in_folder(before, "") : NULL, in_folder("report.html", ""));
    if (status != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
    assert_int_equal(eq_file_read(ctx, in_folder("report.html", ""), 1 << 26, &html, &size), EQ_OK);
    assert_int_equal(strlen((char *)html), size);
    assert_well_formed((char *)html);
    return (char *)html;
}

#endif
