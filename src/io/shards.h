/* A model over several files of tensors, with an index that says which tensor is where. */
#ifndef EQ_IO_SHARDS_H
#define EQ_IO_SHARDS_H

#include "io/tensor_file.h"

/* `path` is a "*.index.json" whose "weight_map" gives every tensor's file in the same folder; the files may be of any
 * container. EQ_BAD_INPUT names the index or the shard and the fault. */
eq_status eq_shards_open(eq_context *ctx, const char *path, eq_tensor_file *out);

/* Whether that is how the file was opened, and then its hash; see eq_tensor_file_hash. */
bool eq_shards_are(const eq_tensor_file *file);
eq_status eq_shards_hash(eq_context *ctx, const eq_tensor_file *file, char hex[65]);

#endif
