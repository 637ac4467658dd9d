/* Generating sets of images that follow targets. */
#ifndef EQUIPOISE_GENERATE_H
#define EQUIPOISE_GENERATE_H

#include <stddef.h>
#include <stdint.h>

#include "equipoise/target.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A diffusion model with its attribute predictors, ready to generate. */
typedef struct eq_pipeline eq_pipeline;

/* Opens a model folder (diffusers layout). Predictors in its folder adp/ come along. Freed with eq_pipeline_close.
 * EQ_BAD_INPUT names the file and the fault. */
EQ_API eq_status eq_pipeline_open(eq_context *ctx, const char *folder, eq_pipeline **out);
EQ_API void eq_pipeline_close(eq_pipeline *pipeline);

/* Puts another autoencoder in place of a latent model's own, before anything is generated: a folder of diffusers', or a
 * file with latent diffusion's names, bare or under "first_stage_model.". One for other latents is refused. */
EQ_API eq_status eq_pipeline_use_vae(eq_pipeline *pipeline, const char *path);

/* Adds a predictor from a file; one for an attribute that has one already takes its place. Heads of another model are
 * refused. */
EQ_API eq_status eq_pipeline_add_predictor(eq_pipeline *pipeline, const char *path);

/* The attributes that can be guided: *count of them, owned by the pipeline. */
EQ_API const eq_attribute *eq_pipeline_attributes(const eq_pipeline *pipeline, int *count);

/* Number of steps done of all; called after each. */
typedef void (*eq_generate_progress)(void *user, int64_t done, int64_t total);

/* Zeros and NULLs mean the default in brackets. */
typedef struct eq_generate_options {
    int64_t count;       /* images, 1 or more */
    int64_t first_index; /* number of the first image: with seed, it keys the noise */
    uint64_t seed;
    int steps;           /* [50] */
    const char *sampler; /* "ddim", "ddpm", "pndm", "euler", "euler-ancestral", "heun", "dpmsolver++", or "model": what
                            the model folder's scheduler is ["ddim", whose timesteps predictors are trained at] */
    const char *spacing; /* of the timesteps: "leading", "trailing", "linspace", "paper" [the model's] */
    double eta;          /* of DDIM, above 0 to 1 [1, the published value; 0 in preset sd] */
    int deterministic;   /* 1: DDIM without noise (eta 0); changes of h then weigh less */
    const char *method;  /* "none", "distribution", "sample", "assign", "latent-edit"; for models of pixels "universal";
                            for  models with a text encoder "prompt-quota", "fair-diffusion" ["distribution"; "none"
                            without  targets]. "rejection" is for runs in folders */
    const char *loss;    /* "chi2", "kl", "l2" ["chi2"] */
    const char *preset;  /* "p2" or "sd": the published settings; what is set here overrides them */
    double strength;     /* of guidance, multiplied by what calibration stored with each predictor [2 to 8, by the
                            method; 1 in presets] */
    double temperature;  /* [the predictor's] */
    int guide_first, guide_last;  /* guided steps, from 1; [all] */
    const char *guide_classifier; /* of universal and rejection: folder or file [classifier/ in the model's folder] */
    int jacobian;                 /* universal: 1: the gradient goes through the network, too, at four times the cost */
    int64_t coupled;              /* images that share one P [all; 100 in preset p2] */
    int64_t micro_batch;          /* images through the network at a time [chosen] */
    size_t memory_bytes; /* for the process as a whole; fewer images go through the network at a time, and less is
                            kept between encoder and decoder, to stay within [not bounded; a quarter of the
                            machine's for what is kept] */
    int bf16;            /* 1: bfloat16 activations, 0: float32 */
    /* Models with a text encoder: */
    const char *const *prompts;   /* [prompt_count] at least one. Images of different prompts share no P */
    const int64_t *prompt_images; /* [prompt_count] images of each, in this order [all, of the one prompt] */
    int prompt_count;
    const char *negative_prompt;    /* what not to show [nothing] */
    double cfg;                     /* scale of classifier-free guidance; 1: none [7.5] */
    const char *tokenizer;          /* folder of the tokenizer [the model folder's own] */
    const char *const *class_words; /* [class_word_count] "gender=female:woman,male:man": what classes are called in
                                       prompts [their names]; for the methods prompt-quota, which puts the words in the
                                       place of "{}" or behind the last "a" or "an", and fair-diffusion */
    int class_word_count;
    double edit_threshold; /* fair-diffusion: the share of numbers that are left alone, below 1; negative: 0 [0.95] */
    double edit_momentum, edit_momentum_decay; /* negative: 0 [0.5, 0.6] */
    /* Models with class embeddings: */
    int class_label; /* class of all images, from 0 */
    eq_generate_progress progress;
    void *progress_user;
} eq_generate_options;

/* Adds a predictor in the form in which the published code saves them: PyTorch linear heads "linears.{i}", one a
 * timestep of a run, the smallest first. The file does not name them: attribute does, its classes in the order of the
 * heads' outputs. Where there is a head for each of the run's timesteps that the options ask for, or for all but the
 * first, they are its heads; else those of a run of as many steps as there are heads (49: of the published one of 50
 * steps), and timesteps take the nearest. An attribute that has a predictor already gets this one. */
EQ_API eq_status eq_pipeline_import_predictor(eq_pipeline *pipeline, const char *path, const eq_attribute *attribute,
                                              const eq_generate_options *options);

/* What was generated. Owned by the caller, freed by eq_generation_free. */
typedef struct eq_generation {
    int64_t count;
    int width, height;
    uint8_t *pixels; /* [count, height, width, 3] RGB */
    int steps;
    double *timesteps;      /* [steps] */
    int attribute_count;    /* predictors that watched; order of eq_pipeline_attributes */
    float **predictions;    /* [attribute_count] [count, classes] at the last step */
    double **mean_per_step; /* [attribute_count] [steps, classes] P over the set, step by step */
    int64_t *indices;       /* [count] image numbers, which with the seed key the noise */
    int64_t *batches;       /* [count] of images that shared one P */
    int64_t *replaces;      /* [count] the number of the image whose place it took, -1: none */
    int target_count;
    int *cells;        /* [target_count, count] the cell an image was drawn to, -1: none of its own */
    uint8_t *moved;    /* [count] whether guidance changed the image at all */
    int64_t coupled;   /* images that shared one P */
    double *strengths; /* [attribute_count] that were used; 0 for what was only watched */
    double seconds, guidance_seconds;
    double unet_passes; /* of single images */
    /* Memory that was planned: the process before its network, with its libraries and predictors; activations; weights
     * packed for the kernels; what is kept between encoder and decoder; images; of latent models what decoding them
     * takes beyond that; of universal guidance its classifier and the Jacobian. */
    size_t process_bytes, arena_bytes, weight_bytes, carry_bytes, held_bytes, decoder_bytes, guidance_bytes;
} eq_generation;

/* Generates. targets may be empty. EQ_CANCELLED after eq_cancel: nothing is returned then. */
EQ_API eq_status eq_generate(eq_pipeline *pipeline, const eq_generate_options *options, const eq_targets *targets,
                             eq_generation *out);
EQ_API void eq_generation_free(eq_generation *generation);

/* Whether this processor computes bfloat16 faster than float32. */
EQ_API int eq_bf16_is_fast(void);

/* Finds, for each attribute of the targets, the factor by which strengths are multiplied: on a small batch, the one
 * that trades distance to the target best against drift from the unguided images of the same seeds (see doc/method.md).
 * It is remembered in the pipeline, and in the predictors' files where they can be written (a warning says if not). */
EQ_API eq_status eq_calibrate(eq_pipeline *pipeline, const eq_generate_options *options, const eq_targets *targets);

#ifdef __cplusplus
}
#endif
#endif
