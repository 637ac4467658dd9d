#include "models/family.h"

#include <ctype.h>
#include <stdio.h>

/* clang-format off */
static const char *const adm_required[] = {
    "time_embed.0.weight", "input_blocks.0.0.weight", "middle_block.0.in_layers.0.weight", "out.0.weight",
    "out.2.weight", NULL};
static const char *const adm_patterns[] = {
    "time_embed.0.*", "time_embed.2.*", "label_emb.weight",
    "input_blocks.#.#.weight", "input_blocks.#.#.bias", "input_blocks.#.#.op.*",
    "input_blocks.#.#.in_layers.#.*", "input_blocks.#.#.emb_layers.1.*", "input_blocks.#.#.out_layers.#.*",
    "input_blocks.#.#.skip_connection.*", "input_blocks.#.#.norm.*", "input_blocks.#.#.qkv.*",
    "input_blocks.#.#.proj_out.*",
    "middle_block.#.in_layers.#.*", "middle_block.#.emb_layers.1.*", "middle_block.#.out_layers.#.*",
    "middle_block.#.skip_connection.*", "middle_block.#.norm.*", "middle_block.#.qkv.*", "middle_block.#.proj_out.*",
    "output_blocks.#.#.conv.*",
    "output_blocks.#.#.in_layers.#.*", "output_blocks.#.#.emb_layers.1.*", "output_blocks.#.#.out_layers.#.*",
    "output_blocks.#.#.skip_connection.*", "output_blocks.#.#.norm.*", "output_blocks.#.#.qkv.*",
    "output_blocks.#.#.proj_out.*",
    "out.0.*", "out.2.*", NULL};

static const char *const ddpm_required[] = {
    "temb.dense.0.weight", "conv_in.weight", "down.0.block.0.norm1.weight", "mid.block_1.norm1.weight",
    "norm_out.weight", "conv_out.weight", NULL};
static const char *const ddpm_patterns[] = {
    "temb.dense.0.*", "temb.dense.1.*", "conv_in.*", "norm_out.*", "conv_out.*",
    "down.#.block.#.*", "down.#.attn.#.*", "down.#.downsample.conv.*",
    "mid.block_#.*", "mid.attn_#.*",
    "up.#.block.#.*", "up.#.attn.#.*", "up.#.upsample.conv.*", NULL};

static const char *const ldm_required[] = {
    "model.diffusion_model.time_embed.0.weight", "model.diffusion_model.input_blocks.0.0.weight",
    "model.diffusion_model.out.2.weight", NULL};
/* Training leaves its own tensors (the schedule's tables, averaged weights) beside the networks. */
static const char *const ldm_patterns[] = {
    "model.diffusion_model.*", "first_stage_model.*", "cond_stage_model.*", "conditioner.*", "model_ema.*",
    "betas", "alphas_cumprod*", "sqrt_*", "log_one_minus_alphas_cumprod", "posterior_*", "lvlb_weights",
    "logvar", "scale_factor", "denoiser.sigmas", NULL};
/* clang-format on */

static const eq_family families[] = {
    {EQ_FAMILY_ADM, "adm", "guided-diffusion or P2 U-Net", adm_required, adm_patterns},
    {EQ_FAMILY_DDPM, "ddpm", "SDEdit's DDPM U-Net", ddpm_required, ddpm_patterns},
    {EQ_FAMILY_LDM, "ldm", "latent diffusion in one file", ldm_required, ldm_patterns},
};

const eq_family *eq_family_at(int i)
{
    return i >= 0 && i < (int)(sizeof families / sizeof families[0]) ? &families[i] : NULL;
}

static bool matches(const char *pattern, const char *name)
{
    for (; *pattern; pattern++) {
        if (*pattern == '*')
            return true;
        if (*pattern == '#') {
            if (!isdigit((unsigned char)*name))
                return false;
            while (isdigit((unsigned char)*name))
                name++;
        } else if (*pattern != *name++) {
            return false;
        }
    }
    return *name == '\0';
}

static bool fits(const eq_family *family, const char *name)
{
    for (const char *const *pattern = family->patterns; *pattern; pattern++)
        if (matches(*pattern, name))
            return true;
    return false;
}

enum { SHOWN = 3 };

/* How far a file is from a family: the tensors that it lacks, and those that are none of the family's. */
typedef struct distance {
    size_t fitting, missing, foreign;
    const char *shown_missing[SHOWN], *shown_foreign[SHOWN];
} distance;

static distance measure(const eq_family *family, const eq_tensor_file *file)
{
    distance d = {0};
    for (const char *const *name = family->required; *name; name++)
        if (!eq_tensor_file_find(file, *name) && d.missing++ < SHOWN)
            d.shown_missing[d.missing - 1] = *name;
    for (size_t i = 0; i < file->count; i++) {
        if (fits(family, file->entries[i].name))
            d.fitting++;
        else if (d.foreign++ < SHOWN)
            d.shown_foreign[d.foreign - 1] = file->entries[i].name;
    }
    return d;
}

/* Appends "; it lacks a, b and 7 more" where there are any. Names may be long: they are cut. */
static void append_names(char *text, size_t size, const char *intro, const char *const *names, size_t count)
{
    size_t used = strlen(text);
    for (size_t i = 0; i < count && i < SHOWN && used < size; i++) {
        snprintf(text + used, size - used, "%s%.80s", i == 0 ? intro : ", ", names[i]);
        used = strlen(text);
    }
    if (count > SHOWN && used < size)
        snprintf(text + used, size - used, " and %zu more", count - SHOWN);
}

static eq_status unknown(eq_context *ctx, const eq_tensor_file *file, const eq_family *closest, const distance *d)
{
    char known[256] = "", details[800] = "";
    for (int i = 0; eq_family_at(i); i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "", families[i].title);
    if (d->fitting == 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: not a network that is known here (%s); its first tensor is %.80s",
                       file->path, known, file->count ? file->entries[0].name : "missing: there are none");
    append_names(details, sizeof details, "; it lacks ", d->shown_missing, d->missing);
    append_names(details, sizeof details, "; not part of that are ", d->shown_foreign, d->foreign);
    return eq_fail(ctx, EQ_BAD_INPUT,
                   "%s: not a network that is known here (%s). Closest is the %s, to which %zu of %zu tensors fit%s%s",
                   file->path, known, closest->title, d->fitting, file->count, details,
                   d->missing == 0 ? "; --allow-unused leaves them out" : "");
}

/* Warns of each tensor that is none of the family's. */
static void list_foreign(eq_context *ctx, const eq_family *family, const eq_tensor_file *file)
{
    for (size_t i = 0; i < file->count; i++)
        if (!fits(family, file->entries[i].name))
            eq_log(ctx, EQ_LOG_WARNING, "%s: not used: %s", file->path, file->entries[i].name);
}

eq_status eq_checkpoint_family(eq_context *ctx, const eq_tensor_file *file, const eq_family **out)
{
    const eq_family *closest = NULL;
    distance least = {0};
    for (int i = 0; eq_family_at(i); i++) {
        distance d = measure(&families[i], file);
        if (d.missing == 0 && (d.foreign == 0 || eq_allow_unused(ctx))) {
            list_foreign(ctx, &families[i], file);
            *out = &families[i];
            return EQ_OK;
        }
        if (!closest || d.fitting > least.fitting) {
            closest = &families[i];
            least = d;
        }
    }
    return unknown(ctx, file, closest, &least);
}
