/* h-vectors on disk: recorded while sampling or inverting, streamed when heads train, so that they never sit in memory
 * together. A safetensors file with one tensor "h", [timesteps, images, h_count] f16, and what they belong to in its
 * metadata. */
#ifndef EQ_TRAIN_H_STORE_H
#define EQ_TRAIN_H_STORE_H

#include "diffusion/sampling.h"
#include "io/safetensors.h"

enum { EQ_H_STORE_RESIDENT = 192 << 20 }; /* bytes of a store that may be in this process, before they are let go of */

/* A store being written, in groups of images: of each group timestep by timestep. */
typedef struct eq_h_writer {
    eq_context *ctx;
    eq_safetensors_writer file;
    int timesteps;
    int64_t images, h_count;
    const int *step_of;   /* [timesteps] the sampling steps at which it records; borrowed */
    int64_t first, group; /* the images being written: first, first + 1, ..., `group` of them */
    int written;          /* timesteps of the group so far */
    uint16_t *row;        /* [h_count] conversion buffer, owned */
} eq_h_writer;

/* timesteps [count] in the order in which they will be written, with the sampling step of each. EQ_IO_ERROR where the
 * disk has no room for it all. One group of all images is begun. */
eq_status eq_h_writer_open(eq_context *ctx, const char *path, const int64_t *timesteps, const int *steps, int count,
                           int64_t images, eq_shape h_shape, const char *model_hash, eq_h_writer *out);
/* Begins the group of n images from number `first` on, with its first timestep. Every image is to be of one group. */
void eq_h_writer_begin(eq_h_writer *writer, int64_t first, int64_t n);
/* h: [images of the group, h_count] of the next timestep. */
eq_status eq_h_writer_add(eq_h_writer *writer, const float *h);
eq_status eq_h_writer_commit(eq_h_writer *writer);
void eq_h_writer_abort(eq_h_writer *writer);

/* Records h of a sampling run and leaves it unchanged. */
eq_h_hook eq_h_recorder(eq_h_writer *writer);

/* A store being read (mapped). */
typedef struct eq_h_store {
    eq_mapping mapping;
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

/* Lets go of what was read, which would count as this process's memory; it is read anew where it is needed again. */
void eq_h_store_release(const eq_h_store *store);

#endif
