/* A model over several files of tensors, with an index that says which tensor is where. */
#ifndef EQ_IO_SHARDS_H
#define EQ_IO_SHARDS_H

#include "io/tensor_file.h"

/* `path` is a "*.index.json" whose "weight_map" gives every tensor's file in the same folder; the files may be of any
 * container. EQ_BAD_INPUT names the index or the shard and the fault. */
eq_status eq_shards_open(eq_context *ctx, const char *path, eq_tensor_file *out);

#endif
