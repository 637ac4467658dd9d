/* What a latent diffusion model is trained on: the latents of a folder's images, as they are and mirrored, each with
 * the tokens of its captions. */
#ifndef EQ_TRAIN_LATENT_SET_H
#define EQ_TRAIN_LATENT_SET_H

#include "diffusion/model.h"
#include "io/tensor_file.h"
#include "text/tokenizer.h"

typedef struct eq_latent_source {
    const char *images;   /* folder */
    const char *captions; /* table, see io/captions.h */
    const char *cache;    /* file to keep the latents in; what it holds of the same images and autoencoder is used */
    int size;             /* pixels a side of the images */
    bool strict;          /* an unreadable image, or one without a caption, is an error rather than left out */
    eq_model_vae *vae;
    const eq_tokenizer *tokenizer;
    int length;     /* tokens of a caption, start, end and padding included */
    eq_dtype dtype; /* of the encoder's activations */
} eq_latent_source;

/* Owned, freed by eq_latent_set_close. */
typedef struct eq_latent_set {
    int64_t count; /* images with captions */
    int side, channels, length;
    eq_tensor_file cache;
    const uint16_t *latents; /* [all images, 2, side, side, channels] f16 in `cache`, times scaling_factor */
    int64_t *image;          /* [count] which of them */
    char **caption;          /* [captions] the texts, those of one image after another */
    int64_t *first;          /* [count + 1] first caption of each */
    int32_t *tokens;         /* [captions, length] */
    int32_t *empty;          /* [length] tokens of the empty text */
} eq_latent_set;

/* Encodes what is not in the cache, showing nothing; EQ_CANCELLED in between. */
eq_status eq_latent_set_open(eq_context *ctx, const eq_latent_source *source, eq_latent_set *out);
void eq_latent_set_close(eq_latent_set *set);

/* latent: [side, side, channels] of image `index`, mirrored if `flip`. */
void eq_latent_set_latent(const eq_latent_set *set, int64_t index, bool flip, float *latent);

#endif
