/* h-vectors on disk: recorded while sampling or inverting, streamed when heads train, so that they never sit in memory
 * together. A safetensors file with one tensor "h", [timesteps, images, h_count] f16, and what they belong to in its
 * metadata. */
#ifndef EQ_TRAIN_H_STORE_H
#define EQ_TRAIN_H_STORE_H

#include "diffusion/sampling.h"
#include "io/safetensors.h"

/* A store being written: timestep by timestep, all images of one before the next. */
typedef struct eq_h_writer {
    eq_context *ctx;
    eq_safetensors_writer file;
    int timesteps;
    int64_t images, h_count;
    const int *step_of; /* [timesteps] the sampling steps at which it records; borrowed */
    int written;        /* timesteps so far */
    uint16_t *row;      /* [h_count] conversion buffer, owned */
} eq_h_writer;

/* timesteps [count] in the order in which they will be written, with the sampling step of each. */
eq_status eq_h_writer_open(eq_context *ctx, const char *path, const int64_t *timesteps, const int *steps, int count,
                           int64_t images, eq_shape h_shape, const char *model_hash, eq_h_writer *out);
/* h: [images, h_count] of the next timestep. */
eq_status eq_h_writer_add(eq_h_writer *writer, const float *h);
eq_status eq_h_writer_commit(eq_h_writer *writer);
void eq_h_writer_abort(eq_h_writer *writer);

/* Records h of a sampling run and leaves it unchanged. */
eq_h_hook eq_h_recorder(eq_h_writer *writer);

/* A store being read (mapped). */
typedef struct eq_h_store {
    eq_tensor_file file;
    int timesteps;
    int64_t *timestep; /* [timesteps], owned */
    int64_t images, h_count;
    eq_shape h_shape;
    const char *model_hash;
    const uint16_t *h; /* [timesteps, images, h_count] f16 */
} eq_h_store;

eq_status eq_h_store_open(eq_context *ctx, const char *path, eq_h_store *out);
void eq_h_store_close(eq_h_store *store);

#endif
