/* A folder of images in memory, and the order in which training sees it. */
#ifndef EQ_TRAIN_DATASET_H
#define EQ_TRAIN_DATASET_H

#include "base/error.h"
#include "base/rng.h"

/* pixels: [count, size, size, 3]; names: [count], relative to the folder. Owned. */
typedef struct eq_dataset {
    int64_t count;
    int size;
    uint8_t *pixels; /* NULL: names alone */
    char **names;
    int64_t skipped; /* unreadable files, each logged as a warning */
} eq_dataset;

/* Reads every PNG, JPEG and WebP below `folder`, sorted by name, cropped and scaled to size x size. strict: the first
 * unreadable file is an error, otherwise it is skipped. An empty result is an error. */
eq_status eq_dataset_open(eq_context *ctx, const char *folder, int size, bool strict, eq_dataset *out);
/* The same for more images than fit in memory: reads each, keeps the names of the first `most` readable ones alone. */
eq_status eq_dataset_list(eq_context *ctx, const char *folder, int size, bool strict, int64_t most, eq_dataset *out);
/* Reads images first..first + n - 1 again. pixels: [n, size, size, 3] out. */
eq_status eq_dataset_load(eq_context *ctx, const eq_dataset *dataset, const char *folder, int64_t first, int64_t n,
                          uint8_t *pixels);
void eq_dataset_close(eq_dataset *dataset);

/* image: [size, size, 3] in [-1, 1], mirrored if `flip`. */
void eq_dataset_image(const eq_dataset *dataset, int64_t index, bool flip, float *image);

/* The order of visits: every epoch is a permutation keyed by (seed, epoch), so that visit number v is the same image
 * whatever was run before it. */
typedef struct eq_order {
    uint64_t seed;
    uint32_t count;
    int64_t epoch;         /* that `permutation` belongs to; -1: none yet */
    uint32_t *permutation; /* [count], owned */
} eq_order;

eq_status eq_order_open(eq_context *ctx, uint64_t seed, int64_t count, eq_order *out);
void eq_order_close(eq_order *order);
/* The image of visit number `visit` (from 0). */
int64_t eq_order_at(eq_order *order, int64_t visit);

/* A batch of visits first, first + 1, ..., on all threads: `fill` makes row 0, 1, ... of it. batch: 1 to
 * EQ_ORDER_MAX_BATCH */
enum { EQ_ORDER_MAX_BATCH = 4096 };
typedef void eq_order_fill_fn(void *user, int row, int64_t visit, int64_t image);
void eq_order_fill(eq_order *order, int64_t first, int batch, eq_order_fill_fn *fill, void *user);

#endif
