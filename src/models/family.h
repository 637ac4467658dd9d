/* Which network a checkpoint file holds, told from the names of its tensors. */
#ifndef EQ_MODELS_FAMILY_H
#define EQ_MODELS_FAMILY_H

#include "io/tensor_file.h"

typedef enum eq_family_id {
    EQ_FAMILY_ADM,  /* guided-diffusion, ADM, P2 weighting: models/adm_unet.h */
    EQ_FAMILY_DDPM, /* SDEdit's DDPM: models/ddpm_unet.h */
    EQ_FAMILY_LDM,  /* latent diffusion and Stable Diffusion in one file */
} eq_family_id;

/* One row of the table in family.c. */
typedef struct eq_family {
    eq_family_id id;
    const char *name;            /* "adm" */
    const char *title;           /* for messages */
    const char *const *required; /* tensors that every such file has; ends with NULL */
    /* What all its tensors are called; ends with NULL. '#' is a number, '*' the rest of the name. */
    const char *const *patterns;
} eq_family;

/* Number i of the table, NULL past its end. */
const eq_family *eq_family_at(int i);

/* The family whose required tensors are all in the file and whose names all of the file's are. Others may be there
 * where the context allows unused ones, which are then warned of. Otherwise EQ_BAD_INPUT, naming the closest family and
 * the first tensors that are missing or do not fit it. */
eq_status eq_checkpoint_family(eq_context *ctx, const eq_tensor_file *file, const eq_family **out);

#endif
