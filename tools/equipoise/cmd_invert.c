#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"
#include "command.h"
#include "equipoise/image.h"
#include "models.h"
#include "run/compute_dtype.h"
#include "run/invert.h"
#include "train/dataset.h"

typedef struct settings {
    const char *model, *images, *out, *spacing, *prompt, *tokenizer;
    int64_t steps, micro_batch;
    int dtype;
    bool reconstruct, strict, allow_unused;
} settings;

static const char *const dtypes[] = {"f32", "bf16", NULL};

static const eq_option options[] = {
    EQ_OPTION_MODEL("diffusion model: a folder, or a name as in generate"),
    EQ_OPTION_ALLOW_UNUSED,
    EQ_OPTION_IMAGES("folder of the images, searched to any depth; they are cropped and scaled to the model's size"),
    EQ_OPTION_OUT("new folder for noise.safetensors and what --reconstruct writes"),
    {.name = "steps",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "50",
     .range = {1, 100000},
     .member = offsetof(settings, steps),
     .help = "steps from image to noise; more of them lose less"},
    {.name = "spacing",
     .kind = EQ_TEXT,
     .value = "NAME",
     .member = offsetof(settings, spacing),
     .help = "which timesteps: leading, trailing, linspace or paper; the model's own if not given"},
    {.name = "prompt",
     .letter = 'p',
     .kind = EQ_TEXT,
     .value = "TEXT",
     .member = offsetof(settings, prompt),
     .help = "what the images show, for models with a text encoder; the empty prompt if not given"},
    EQ_OPTION_TOKENIZER,
    {.name = "reconstruct",
     .kind = EQ_FLAG,
     .member = offsetof(settings, reconstruct),
     .help = "sample back from the noise, too: images and how near they come to the originals"},
    {.name = "dtype",
     .kind = EQ_CHOICE,
     .value = "NAME",
     .choices = dtypes,
     .standard = "f32",
     .member = offsetof(settings, dtype),
     .help = "numbers to compute the network in; the rounding of bf16 shows in reconstructions"},
    EQ_OPTION_MICRO_BATCH(""),
    EQ_OPTION_STRICT,
    {0}};

static const char *const examples[] = {
    "equipoise invert --model portraits --images photos --out inverted --reconstruct",
    NULL,
};

/* What one run holds. */
typedef struct invert_run {
    const eq_invocation *call;
    const settings *s;
    char *model, *noise_path, *images_folder;
    eq_pipeline *pipeline;
    eq_dataset data;
    eq_invert_options options;
    float *noise;    /* [count, side, side, channels] */
    uint8_t *pixels; /* [count, size, size, 3] the reconstructions; NULL without */
    double *psnr;    /* [count]; NULL without */
} invert_run;

static void show_progress(void *user, int64_t done, int64_t total)
{
    invert_run *r = user;
    eq_progress_set(r->call->progress, (double)done / (double)total * (double)r->data.count, (double)r->data.count,
                    NULL);
}

static size_t image_bytes(const invert_run *r)
{
    return (size_t)r->data.size * (size_t)r->data.size * 3;
}

static eq_status open_all(invert_run *r)
{
    eq_context *ctx = r->call->ctx;
    const settings *s = r->s;
    if (eq_path_exists(s->out))
        return eq_fail(ctx, EQ_BAD_USAGE, "--out %s: there is something already; choose a new folder", s->out);
    eq_set_allow_unused(ctx, s->allow_unused);
    EQ_TRY(eq_model_folder(ctx, s->model, &r->model));
    EQ_TRY(eq_pipeline_open(ctx, r->model, &r->pipeline));
    EQ_TRY(eq_dataset_open(ctx, s->images, eq_model_image_size(&r->pipeline->model), s->strict, &r->data));
    r->options = (eq_invert_options){.count = r->data.count,
                                     .steps = (int)s->steps,
                                     .spacing = s->spacing,
                                     .micro_batch = s->micro_batch,
                                     .bf16 = eq_compute_dtype(ctx, dtypes[s->dtype]) == EQ_BF16,
                                     .prompt = s->prompt,
                                     .tokenizer = s->tokenizer,
                                     .progress = show_progress,
                                     .progress_user = r};
    size_t count = (size_t)r->data.count;
    r->noise_path = eq_path_join(s->out, "noise.safetensors");
    r->images_folder = eq_path_join(s->out, "images");
    r->noise = malloc(count * eq_invert_count(r->pipeline) * sizeof *r->noise);
    if (s->reconstruct) {
        r->pixels = malloc(count * image_bytes(r));
        r->psnr = malloc(count * sizeof *r->psnr);
    }
    bool complete = r->noise_path && r->images_folder && r->noise && (!s->reconstruct || (r->pixels && r->psnr));
    return complete ? EQ_OK : eq_fail_memory(ctx, "the images to invert");
}

static eq_status invert(invert_run *r)
{
    eq_context *ctx = r->call->ctx;
    eq_progress_begin(r->call->progress, "inverting", "images");
    EQ_TRY(eq_invert_images(r->pipeline, &r->options, r->data.pixels, r->noise));
    eq_progress_end(r->call->progress);
    EQ_TRY(eq_make_folders(ctx, r->s->out));
    return eq_inversion_write(r->pipeline, &r->options, r->noise_path, (const char *const *)r->data.names, r->noise);
}

/* JSON has no infinity: a PSNR of images that are the same is null. */
static json_t *psnr_json(double psnr)
{
    return isfinite(psnr) ? json_real(round(psnr * 100) / 100) : json_null();
}

/* One line of reconstruction.jsonl, and the image. */
static eq_status write_image(invert_run *r, int64_t i, FILE *table)
{
    char name[32];
    snprintf(name, sizeof name, "images/%06" PRId64 ".png", i);
    char *path = eq_path_join(r->s->out, name);
    json_t *line =
        json_pack("{s:s, s:s, s:o}", "file_name", r->data.names[i], "image", name, "psnr", psnr_json(r->psnr[i]));
    eq_status status = EQ_OK;
    if (path && line) {
        const uint8_t *pixels = r->pixels + (size_t)i * image_bytes(r);
        status = eq_write_png(r->call->ctx, path, pixels, r->data.size, r->data.size);
        json_dumpf(line, table, JSON_COMPACT | JSON_REAL_PRECISION(6));
        fputc('\n', table);
    } else {
        status = eq_fail_memory(r->call->ctx, "a line of reconstruction.jsonl");
    }
    json_decref(line);
    free(path);
    return status;
}

static eq_status write_reconstructions(invert_run *r)
{
    eq_context *ctx = r->call->ctx;
    EQ_TRY(eq_make_folders(ctx, r->images_folder));
    char *text = NULL, *path = eq_path_join(r->s->out, "reconstruction.jsonl");
    size_t size = 0;
    FILE *table = path ? open_memstream(&text, &size) : NULL;
    eq_status status = table ? EQ_OK : eq_fail_memory(ctx, "reconstruction.jsonl");
    for (int64_t i = 0; i < r->data.count && status == EQ_OK; i++)
        status = write_image(r, i, table);
    if (table && fclose(table) != 0 && status == EQ_OK)
        status = eq_fail_memory(ctx, "reconstruction.jsonl");
    if (status == EQ_OK)
        status = eq_file_write(ctx, path, text, size);
    free(text);
    free(path);
    return status;
}

static eq_status reconstruct(invert_run *r)
{
    if (!r->s->reconstruct)
        return EQ_OK;
    eq_progress_begin(r->call->progress, "reconstructing", "images");
    EQ_TRY(eq_reconstruct_images(r->pipeline, &r->options, r->noise, r->pixels));
    eq_progress_end(r->call->progress);
    for (int64_t i = 0; i < r->data.count; i++) {
        size_t at = (size_t)i * image_bytes(r);
        r->psnr[i] = eq_psnr(r->pixels + at, r->data.pixels + at, image_bytes(r));
    }
    return write_reconstructions(r);
}

static eq_status report(const invert_run *r)
{
    double sum = 0, least = INFINITY;
    for (int64_t i = 0; r->psnr && i < r->data.count; i++) {
        sum += r->psnr[i];
        least = fmin(least, r->psnr[i]);
    }
    double mean = sum / (double)r->data.count;
    if (r->call->common.json) {
        json_t *json = json_pack("{s:s, s:I, s:I, s:I}", "out", r->s->out, "n", (json_int_t)r->data.count, "skipped",
                                 (json_int_t)r->data.skipped, "steps", (json_int_t)r->s->steps);
        if (json && r->psnr)
            json_object_set_new(json, "psnr",
                                json_pack("{s:o, s:o}", "mean", psnr_json(mean), "least", psnr_json(least)));
        return eq_print_json(r->call, json);
    }
    printf("%" PRId64 " images inverted to %s\n", r->data.count, r->noise_path);
    if (r->psnr)
        printf("reconstructed in %s: PSNR %.1f dB on average, %.1f dB at least\n", r->images_folder, mean, least);
    return EQ_OK;
}

static eq_status run(const eq_invocation *call)
{
    invert_run r = {.call = call, .s = call->settings};
    eq_status status = open_all(&r);
    if (status == EQ_OK)
        status = invert(&r);
    if (status == EQ_OK)
        status = reconstruct(&r);
    if (status == EQ_OK)
        status = report(&r);
    eq_dataset_close(&r.data);
    eq_pipeline_close(r.pipeline);
    free(r.model);
    free(r.noise_path);
    free(r.images_folder);
    free(r.noise);
    free(r.pixels);
    free(r.psnr);
    return status;
}

const eq_command eq_command_invert = {
    .name = "invert",
    .summary = "find the noise that a model makes given images from",
    .description =
        "Runs deterministic sampling (DDIM at eta 0) backwards: from each image to the noise that leads to it. "
        "noise.safetensors has an array [channels, height, width] an image, under the image's name: of pixels, or of the latents that the image is encoded to. With --reconstruct the "
        "noise is sampled from again, to see how much of an image survives: images/ and, with the peak signal-to-noise "
        "ratio of each, reconstruction.jsonl. There is no classifier-free guidance in either direction.",
    .examples = examples,
    .options = options,
    .settings_size = sizeof(settings),
    .reports = true,
    .run = run,
};
