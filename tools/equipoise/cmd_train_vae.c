#include <inttypes.h>

#include "command.h"
#include "diffusion/model.h"
#include "io/json.h"
#include "run/compute_dtype.h"
#include "train/vae_run.h"
#include "training_options.h"

typedef struct settings {
    const char *images, *out, *init;
    bool resume, strict;
    int64_t size, layers, groups, latent_channels;
    eq_integers channels;
    int loss;
    double edges, kl;
    int64_t steps, batch, warmup;
    int dtype, weights;
    double learning_rate, ema, weight_decay, clip;
    bool no_flip;
    double minutes, checkpoint_minutes, sheet_minutes;
} settings;

/* In the order of the enumerations that they name. */
static const char *const losses[] = {"l1", "l2", NULL};

static const eq_option options[] = {
    {.heading = "Folders"},
    EQ_OPTION_IMAGES("folder of PNG, JPEG and WebP images to learn from, searched to any depth"),
    EQ_OPTION_OUT("folder for the autoencoder, its checkpoint and sheets of originals and results"),
    {.name = "init",
     .kind = EQ_FOLDER,
     .value = "DIR",
     .member = offsetof(settings, init),
     .help = "start from this autoencoder rather than from nothing; the network is its"},
    EQ_TRAINING_RESUME,
    EQ_OPTION_STRICT,
    {.heading = "Network"},
    EQ_TRAINING_SIZE("64"),
    {.name = "channels",
     .kind = EQ_INTEGERS,
     .value = "N,N,...",
     .standard = "32,64,96",
     .range = {1, 8192},
     .member = offsetof(settings, channels),
     .help = "channels of each level, the finest first; every level but the first halves the sides"},
    {.name = "latent-channels",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "4",
     .range = {1, 64},
     .member = offsetof(settings, latent_channels),
     .help = "channels of a latent"},
    {.name = "layers",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "1",
     .range = {1, 8},
     .member = offsetof(settings, layers),
     .help = "residual layers a level; the decoder has one more"},
    EQ_TRAINING_GROUPS,
    {.heading = "Loss"},
    {.name = "loss",
     .kind = EQ_CHOICE,
     .value = "NAME",
     .choices = losses,
     .standard = "l1",
     .member = offsetof(settings, loss),
     .help = "of pixels: mean absolute or mean squared difference"},
    {.name = "edges",
     .kind = EQ_REAL,
     .value = "F",
     .standard = "0.5",
     .real = {0, 1000},
     .member = offsetof(settings, edges),
     .help = "weight of the mean absolute difference in what neighbouring pixels differ by: sharp lines; 0 for none"},
    {.name = "kl",
     .kind = EQ_REAL,
     .value = "F",
     .standard = "0.0001",
     .real = {0, 1000},
     .member = offsetof(settings, kl),
     .help = "weight of the latents' divergence from the standard normal"},
    {.heading = "Optimiser"},
    EQ_TRAINING_STEPS("10000"),
    EQ_TRAINING_BATCH("16"),
    EQ_TRAINING_LEARNING_RATE("0.001"),
    EQ_TRAINING_WARMUP("100"),
    EQ_TRAINING_EMA("0.998", "autoencoder"),
    EQ_TRAINING_WEIGHT_DECAY("0"),
    EQ_TRAINING_CLIP("1"),
    EQ_TRAINING_DTYPE,
    EQ_TRAINING_NO_FLIP,
    {.heading = "Run"},
    EQ_TRAINING_WEIGHTS("autoencoder"),
    EQ_TRAINING_MINUTES,
    EQ_TRAINING_CHECKPOINT_MINUTES("10"),
    EQ_TRAINING_SHEET_MINUTES("originals and results"),
    {0}};

static const char *const examples[] = {
    "equipoise train vae --images portraits/images --out vae",
    "equipoise train vae --images portraits/images --out vae --channels 16,32,64 --dtype bf16 --minutes 15",
    "equipoise train vae --images portraits/images --out vae --resume",
    NULL,
};

static eq_status fill_network(const eq_invocation *call, eq_vae_config *vae)
{
    const settings *s = call->settings;
    if (s->channels.count > EQ_VAE_MAX_LEVELS)
        return eq_fail(call->ctx, EQ_BAD_USAGE, "--channels gives %d levels; there can be up to %d", s->channels.count,
                       EQ_VAE_MAX_LEVELS);
    *vae = (eq_vae_config){.in_channels = 3,
                           .out_channels = 3,
                           .latent_channels = (int)s->latent_channels,
                           .levels = s->channels.count,
                           .layers_per_block = (int)s->layers,
                           .norm_num_groups = (int)s->groups,
                           .scaling_factor = 1};
    for (int i = 0; i < s->channels.count; i++) {
        if (s->channels.item[i] % s->groups != 0)
            return eq_fail(call->ctx, EQ_BAD_USAGE, "--channels %" PRId64 " is not a multiple of --groups %" PRId64,
                           s->channels.item[i], s->groups);
        vae->block_out_channels[i] = (int)s->channels.item[i];
    }
    return EQ_OK;
}

static eq_status fill_run(const eq_invocation *call, eq_training_watch *w, eq_vae_run *run)
{
    const settings *s = call->settings;
    eq_optimiser_options optimiser = EQ_TRAINING_OPTIMISER(s);
    *run = (eq_vae_run){.images = s->images,
                        .training = {.size = (int)s->size,
                                     .loss = (eq_vae_loss)s->loss,
                                     .edge_weight = s->edges,
                                     .kl_weight = s->kl,
                                     .optimiser = optimiser,
                                     .batch = (int)s->batch,
                                     .flip = !s->no_flip,
                                     .seed = (uint64_t)call->common.seed,
                                     .dtype = eq_compute_dtype(call->ctx, eq_training_dtypes[s->dtype])},
                        .course = EQ_TRAINING_COURSE(s, w),
                        .strict = s->strict,
                        .save_dtype = (eq_dtype)s->weights};
    return s->init ? EQ_OK : fill_network(call, &run->training.vae);
}

/* The network of --init's autoencoder, which must stay open while training. */
static eq_status start_from(const eq_invocation *call, const eq_model_vae *initial, eq_vae_run *run)
{
    static const char *const fixed[] = {"channels", "latent-channels", "layers", "groups", NULL};
    for (int i = 0; fixed[i]; i++)
        if (eq_given(call, fixed[i]))
            return eq_fail(call->ctx, EQ_BAD_USAGE, "--%s: with --init, the network is that autoencoder's", fixed[i]);
    run->training.vae = initial->config;
    run->training.initial = initial->params;
    return EQ_OK;
}

static eq_status report(const eq_invocation *call, const eq_training_progress *last, bool finished,
                        const eq_vae_quality *quality)
{
    const settings *s = call->settings;
    int64_t step = last->step > 0 || !finished ? last->step : s->steps;
    if (call->common.json)
        return eq_print_json(call, json_pack("{so, sb, sI, sI, sI, sf, sf}", "out", eq_json_text(s->out), "finished",
                                             (int)finished, "step", (json_int_t)step, "steps", (json_int_t)s->steps,
                                             "held_out", (json_int_t)quality->images, "psnr", quality->psnr,
                                             "latent_std", quality->latent_std));
    printf("autoencoder in %s: step %" PRId64 " of %" PRId64 ", PSNR %.2f dB on %" PRId64
           " images not learnt from, latents vary by %.3f%s\n",
           s->out, step, s->steps, quality->psnr, quality->images, quality->latent_std,
           finished ? "" : "; stopped in time, continue with --resume");
    return EQ_OK;
}

static eq_status run(const eq_invocation *call)
{
    eq_training_watch w = {.progress = call->progress};
    const settings *s = call->settings;
    eq_vae_run training;
    eq_model_vae initial = {0};
    eq_vae_quality quality;
    bool finished;
    EQ_TRY(fill_run(call, &w, &training));
    if (s->init)
        EQ_TRY(eq_model_vae_open(call->ctx, s->init, &initial));
    eq_status status = s->init ? start_from(call, &initial, &training) : EQ_OK;
    if (status == EQ_OK) {
        eq_progress_begin(call->progress, "training", "steps");
        status = eq_vae_run_train(call->ctx, &training, &finished, &quality);
        eq_progress_end(call->progress);
    }
    eq_model_vae_close(&initial);
    return status == EQ_OK ? report(call, &w.last, finished, &quality) : status;
}

const eq_command eq_command_train_vae = {
    .name = "train vae",
    .summary = "train the autoencoder of a latent diffusion model",
    .description =
        "Trains an autoencoder on images and writes it as diffusers' AutoencoderKL: config.json, with a scaling factor "
        "that makes its latents vary by 1, and weights, from the moving average of the parameters. A tenth of the "
        "images, at most 256, is kept back to grade it. An interrupted run, by Ctrl-C or by --minutes, leaves a "
        "checkpoint, and --resume with the same options continues it as if nothing had happened.",
    .examples = examples,
    .options = options,
    .settings_size = sizeof(settings),
    .reports = true,
    .run = run,
};
