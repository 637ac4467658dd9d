#include <inttypes.h>
#include <stdlib.h>

#include "command.h"
#include "diffusion/model.h"
#include "io/json.h"
#include "models.h"
#include "run/compute_dtype.h"
#include "train/diffusion_run.h"
#include "training_options.h"

typedef struct settings {
    const char *images, *out, *init, *captions, *vae, *tokenizer;
    bool resume, strict;
    int64_t size, layers, groups, head_dim;
    eq_integers channels, attention;
    int beta_schedule, prediction;
    int64_t steps, batch, warmup;
    int weighting, dtype, spacing, weights;
    int64_t text_width, text_layers;
    double caption_dropout;
    double learning_rate, ema, weight_decay, clip;
    bool no_flip;
    double skip_dropout, timestep_power;
    double minutes, checkpoint_minutes, sheet_minutes;
} settings;

/* In the order of the enumerations that they name. */
static const char *const beta_schedules[] = {"linear", "scaled_linear", "squaredcos_cap_v2", NULL};
static const char *const predictions[] = {"epsilon", "v_prediction", "sample", NULL};
static const char *const weightings[] = {"uniform", "min-snr", "p2", NULL};
static const char *const spacings[] = {"default", "leading", "trailing", "linspace", "paper", NULL};

static const eq_option options[] = {
    {.heading = "Folders"},
    EQ_OPTION_IMAGES("folder of PNG, JPEG and WebP images to learn from, searched to any depth"),
    EQ_OPTION_OUT("folder for the model, its checkpoint and sample sheets"),
    {.name = "init",
     .kind = EQ_FOLDER,
     .value = "MODEL",
     .member = offsetof(settings, init),
     .help = "start from this model rather than from nothing; network and noise schedule are that model's"},
    EQ_TRAINING_RESUME,
    EQ_OPTION_STRICT,
    {.heading = "Network"},
    EQ_TRAINING_SIZE("64"),
    {.name = "channels",
     .kind = EQ_INTEGERS,
     .value = "N,N,...",
     .standard = "32,64,96,128",
     .range = {2, 8192},
     .member = offsetof(settings, channels),
     .help = "channels of each level, the finest first; every level halves the sides"},
    {.name = "attention",
     .kind = EQ_INTEGERS,
     .value = "N,...",
     .standard = "3",
     .range = {0, EQ_UNET_MAX_LEVELS},
     .member = offsetof(settings, attention),
     .help = "levels with attention, 1 being the finest; 0 for none. The middle always has it"},
    {.name = "layers",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "2",
     .range = {1, 8},
     .member = offsetof(settings, layers),
     .help = "residual layers a level"},
    EQ_TRAINING_GROUPS,
    {.name = "head-dim",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "32",
     .range = {0, 1024},
     .member = offsetof(settings, head_dim),
     .help = "channels of an attention head, 0 for a single head; must divide all channels"},
    {.heading = "Models of latents and text"},
    {.name = "captions",
     .kind = EQ_FILE,
     .value = "FILE",
     .member = offsetof(settings, captions),
     .help = "train a model that makes images from text: a table of what is said about each image, CSV or JSON lines "
             "with file_name and caption. It works on the latents of --vae, and reads text by --tokenizer"},
    {.name = "vae",
     .kind = EQ_FOLDER,
     .value = "DIR",
     .member = offsetof(settings, vae),
     .help = "autoencoder, as 'equipoise train vae' writes it"},
    {.name = "tokenizer",
     .kind = EQ_FOLDER,
     .value = "DIR",
     .member = offsetof(settings, tokenizer),
     .help = "tokenizer, as 'equipoise train tokenizer' writes it; its length is the text transformer's"},
    {.name = "text-width",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "128",
     .range = {32, 4096},
     .member = offsetof(settings, text_width),
     .help = "channels of the text transformer, a multiple of 32"},
    {.name = "text-layers",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "2",
     .range = {1, 64},
     .member = offsetof(settings, text_layers),
     .help = "blocks of the text transformer"},
    {.name = "caption-dropout",
     .kind = EQ_REAL,
     .value = "P",
     .standard = "0.1",
     .real = {0, 1},
     .member = offsetof(settings, caption_dropout),
     .help = "how often an image goes without its caption, which classifier-free guidance needs"},
    {.heading = "Diffusion"},
    {.name = "beta-schedule",
     .kind = EQ_CHOICE,
     .value = "NAME",
     .choices = beta_schedules,
     .standard = "linear",
     .member = offsetof(settings, beta_schedule),
     .help = "how noise grows over the 1000 timesteps"},
    {.name = "prediction",
     .kind = EQ_CHOICE,
     .value = "NAME",
     .choices = predictions,
     .standard = "epsilon",
     .member = offsetof(settings, prediction),
     .help = "what the network puts out: the noise, v, or the image"},
    {.name = "spacing",
     .kind = EQ_CHOICE,
     .value = "NAME",
     .choices = spacings,
     .standard = "trailing",
     .member = offsetof(settings, spacing),
     .help = "which timesteps sampling visits when it is not told; kept in the model"},
    {.name = "weighting",
     .kind = EQ_CHOICE,
     .value = "NAME",
     .choices = weightings,
     .standard = "uniform",
     .member = offsetof(settings, weighting),
     .help = "weight of the loss at each timestep"},
    {.name = "timestep-power",
     .kind = EQ_REAL,
     .value = "P",
     .standard = "1",
     .real = {1, EQ_TIMESTEP_POWER_MAX},
     .member = offsetof(settings, timestep_power),
     .help = "above 1, noisy timesteps are drawn more often, as t to the power P-1: there it is decided how often each "
             "attribute appears"},
    {.heading = "Optimiser"},
    EQ_TRAINING_STEPS("10000"),
    EQ_TRAINING_BATCH("32"),
    EQ_TRAINING_LEARNING_RATE("0.0002"),
    EQ_TRAINING_WARMUP("200"),
    EQ_TRAINING_EMA("0.999", "model"),
    EQ_TRAINING_WEIGHT_DECAY("0.01"),
    EQ_TRAINING_CLIP("1"),
    EQ_TRAINING_DTYPE,
    EQ_TRAINING_NO_FLIP,
    {.name = "skip-dropout",
     .kind = EQ_REAL,
     .value = "P",
     .standard = "0",
     .member = offsetof(settings, skip_dropout),
     .real = {0, 0.9},
     .help = "how often noisy images lose skip connections, so that more passes through h, where guidance works"},
    {.heading = "Run"},
    EQ_TRAINING_WEIGHTS("model"),
    EQ_TRAINING_MINUTES,
    EQ_TRAINING_CHECKPOINT_MINUTES("10"),
    EQ_TRAINING_SHEET_MINUTES("samples"),
    {0}};

static const char *const examples[] = {
    "equipoise train diffusion --images portraits/images --out model",
    "equipoise train diffusion --images portraits/images --out model --channels 64,128,256 --attention 2,3 "
    "--weighting min-snr --minutes 30",
    "equipoise train diffusion --images portraits/images --out model --resume",
    "equipoise train diffusion --images work/images --captions work/captions.csv --vae vae --tokenizer tokenizer "
    "--channels 64,96,128 --attention 2,3 --prediction v_prediction --out model",
    "equipoise train diffusion --images faces --init model --out finer --learning-rate 0.0001",
    NULL,
};

/* The default is for four levels; where there are fewer, it means the coarsest. */
static eq_status fill_attention(const eq_invocation *call, eq_unet_config *unet)
{
    const settings *s = call->settings;
    for (int i = 0; i < s->attention.count; i++) {
        int64_t level = s->attention.item[i];
        if (level > unet->levels && !eq_given(call, "attention"))
            level = unet->levels;
        if (level > unet->levels)
            return eq_fail(call->ctx, EQ_BAD_USAGE, "--attention %" PRId64 ": --channels gives only %d levels", level,
                           unet->levels);
        if (level == 0)
            continue;
        unet->down_attention[level - 1] = true;
        unet->up_attention[unet->levels - level] = true; /* up blocks count from the coarsest */
    }
    return EQ_OK;
}

static eq_status fill_unet(const eq_invocation *call, eq_unet_config *unet)
{
    const settings *s = call->settings;
    eq_context *ctx = call->ctx;
    if (s->channels.count > EQ_UNET_MAX_LEVELS)
        return eq_fail(ctx, EQ_BAD_USAGE, "--channels gives %d levels; there can be up to %d", s->channels.count,
                       EQ_UNET_MAX_LEVELS);
    *unet = (eq_unet_config){.sample_size = (int)s->size,
                             .in_channels = 3,
                             .out_channels = 3,
                             .levels = s->channels.count,
                             .mid_attention = true,
                             .layers_per_block = (int)s->layers,
                             .norm_num_groups = (int)s->groups,
                             .norm_eps = 1e-5f,
                             .flip_sin_to_cos = true,
                             .downsample_padding = 1,
                             .mid_block_scale_factor = 1};
    for (int i = 0; i < s->channels.count; i++) {
        int64_t channels = s->channels.item[i];
        if (channels % s->groups != 0)
            return eq_fail(ctx, EQ_BAD_USAGE, "--channels %" PRId64 " is not a multiple of --groups %" PRId64, channels,
                           s->groups);
        if (s->head_dim > 0 && channels % s->head_dim != 0)
            return eq_fail(ctx, EQ_BAD_USAGE, "--channels %" PRId64 " is not a multiple of --head-dim %" PRId64,
                           channels, s->head_dim);
        unet->block_out_channels[i] = (int)channels;
        unet->heads[i] = s->head_dim > 0 ? (int)(channels / s->head_dim) : 1;
        unet->transformer_layers[i] = 1;
    }
    int multiple = eq_unet_size_multiple(unet);
    if (!s->captions && s->size % multiple != 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "--size must be a multiple of %d with %d levels of --channels, not %" PRId64,
                       multiple, unet->levels, s->size);
    return fill_attention(call, unet);
}

/* A whole head of 32 channels, as everywhere. */
enum { TEXT_HEAD = 32 };

static eq_status fill_text(const eq_invocation *call, eq_diffusion_run *run)
{
    const settings *s = call->settings;
    static const char *const needed[] = {"vae", "tokenizer", NULL};
    static const char *const optional[] = {"vae", "tokenizer", "text-width", "text-layers", "caption-dropout", NULL};
    for (int i = 0; !s->captions && optional[i]; i++)
        if (eq_given(call, optional[i]))
            return eq_fail(call->ctx, EQ_BAD_USAGE, "--%s is for models of text, which --captions asks for",
                           optional[i]);
    if (!s->captions)
        return EQ_OK;
    for (int i = 0; needed[i]; i++)
        if (!eq_given(call, needed[i]))
            return eq_fail(call->ctx, EQ_BAD_USAGE, "--captions needs --%s", needed[i]);
    if (s->init)
        return eq_fail(call->ctx, EQ_BAD_USAGE, "--init is for models of pixels, not with --captions");
    if (s->text_width % TEXT_HEAD != 0)
        return eq_fail(call->ctx, EQ_BAD_USAGE, "--text-width must be a multiple of %d, not %" PRId64, TEXT_HEAD,
                       s->text_width);
    run->captions = s->captions;
    run->vae = s->vae;
    run->tokenizer = s->tokenizer;
    run->size = (int)s->size;
    run->schedule.clip_sample = false; /* latents have no bounds */
    run->training.caption_dropout = s->caption_dropout;
    run->training.text = (eq_clip_text_config){.hidden_size = (int)s->text_width,
                                               .intermediate_size = 4 * (int)s->text_width,
                                               .num_hidden_layers = (int)s->text_layers,
                                               .num_attention_heads = (int)s->text_width / TEXT_HEAD,
                                               .hidden_act = EQ_ACT_QUICK_GELU,
                                               .layer_norm_eps = 1e-5f};
    return EQ_OK;
}

static eq_status fill_run(const eq_invocation *call, eq_training_watch *w, eq_diffusion_run *run)
{
    const settings *s = call->settings;
    eq_optimiser_options optimiser = EQ_TRAINING_OPTIMISER(s);
    *run = (eq_diffusion_run){.images = s->images,
                              .training = {.weighting = (eq_loss_weighting)s->weighting,
                                           .optimiser = optimiser,
                                           .batch = (int)s->batch,
                                           .flip = !s->no_flip,
                                           .skip_dropout = s->skip_dropout,
                                           .timestep_power = s->timestep_power,
                                           .seed = (uint64_t)call->common.seed,
                                           .dtype = eq_compute_dtype(call->ctx, eq_training_dtypes[s->dtype])},
                              .schedule = eq_schedule_config_default(),
                              .course = EQ_TRAINING_COURSE(s, w),
                              .strict = s->strict,
                              .save_dtype = (eq_dtype)s->weights};
    run->schedule.beta_kind = (eq_beta_kind)s->beta_schedule;
    run->schedule.prediction = (eq_prediction_type)s->prediction;
    run->schedule.spacing = (eq_spacing)s->spacing;
    EQ_TRY(fill_text(call, run));
    return s->init ? EQ_OK : fill_unet(call, &run->training.unet);
}

/* Network and schedule of --init's model, which must stay open while training. */
static eq_status start_from(const eq_invocation *call, const eq_model *model, eq_diffusion_run *run)
{
    static const char *const fixed[] = {"size",     "channels",      "attention",  "layers",  "groups",
                                        "head-dim", "beta-schedule", "prediction", "spacing", NULL};
    for (int i = 0; fixed[i]; i++)
        if (eq_given(call, fixed[i]))
            return eq_fail(call->ctx, EQ_BAD_USAGE, "--%s: with --init, network and noise schedule are that model's",
                           fixed[i]);
    run->training.unet = model->unet;
    run->training.initial = model->params;
    run->schedule = model->schedule.config;
    return EQ_OK;
}

static eq_status report(const eq_invocation *call, const eq_training_progress *last, bool finished)
{
    const settings *s = call->settings;
    /* Without a step in this call there is no loss to tell. */
    bool stepped = last->step > 0;
    int64_t step = !stepped && finished ? s->steps : last->step;
    if (call->common.json)
        return eq_print_json(call, json_pack("{so, sb, sI, sI, so, so}", "out", eq_json_text(s->out), "finished",
                                             (int)finished, "step", (json_int_t)step, "steps", (json_int_t)s->steps,
                                             "loss", stepped ? json_real(last->loss) : json_null(), "images_per_second",
                                             stepped ? json_real(last->images_per_second) : json_null()));
    if (finished && !stepped)
        printf("model in %s: all %" PRId64 " steps had been done before\n", s->out, s->steps);
    else if (finished)
        printf("model in %s: %" PRId64 " steps, loss %.4f\n", s->out, s->steps, last->loss);
    else
        printf("model in %s: stopped in time at step %" PRId64 " of %" PRId64 ", loss %.4f; continue with --resume\n",
               s->out, step, s->steps, last->loss);
    return EQ_OK;
}

static eq_status open_initial(eq_context *ctx, const char *name, eq_model *model)
{
    char *folder;
    EQ_TRY(eq_model_folder(ctx, name, &folder));
    eq_status status = eq_model_open(ctx, folder, model);
    free(folder);
    return status;
}

static eq_status run(const eq_invocation *call)
{
    eq_training_watch w = {.progress = call->progress};
    const settings *s = call->settings;
    eq_diffusion_run training;
    eq_model initial = {0};
    bool finished;
    EQ_TRY(fill_run(call, &w, &training));
    if (s->init)
        EQ_TRY(open_initial(call->ctx, s->init, &initial));
    eq_status status = s->init ? start_from(call, &initial, &training) : EQ_OK;
    if (status == EQ_OK) {
        eq_progress_begin(call->progress, "training", "steps");
        status = eq_diffusion_run_train(call->ctx, &training, &finished);
        eq_progress_end(call->progress);
    }
    eq_model_close(&initial);
    return status == EQ_OK ? report(call, &w.last, finished) : status;
}

const eq_command eq_command_train_diffusion = {
    .name = "train diffusion",
    .summary = "train a diffusion model on a folder of images",
    .description =
        "Trains a U-Net, of pixels or with --captions of latents and text, and writes the model as a diffusers folder, "
        "from the moving average of the parameters. A text transformer is trained along with a U-Net of text. An "
        "interrupted run, by Ctrl-C or by --minutes, leaves a checkpoint, and --resume with the same options continues "
        "it as if nothing had happened.\n\n"
        "samples/ in the output folder gets a sheet of samples from time to time, always from the same noise.",
    .examples = examples,
    .options = options,
    .settings_size = sizeof(settings),
    .reports = true,
    .run = run,
};
