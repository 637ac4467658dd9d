/* PyTorch's containers of tensors, what torch.save writes: a zip archive with a pickle and the storages (.pt, .pth,
 * .ckpt, .bin), and the older sequence of pickles with the storages behind them. doc/formats.md says what is taken from
 * them. */
#ifndef EQ_IO_TORCH_FILE_H
#define EQ_IO_TORCH_FILE_H

#include "io/tensor_file.h"

/* Whether a file with these first bytes is one of either container; 512 bytes are enough. */
bool eq_torch_file_is(const uint8_t *bytes, size_t size);

/* Readers; see eq_tensor_file_open, which chooses among them. EQ_BAD_INPUT names the file, the byte, what was expected
 * and what was found. Tensors are views of the file where they are stored without compression, without gaps and aligned
 * for their type; others are copies. */
eq_status eq_torch_file_open(eq_context *ctx, const char *path, eq_tensor_file *out);
eq_status eq_torch_file_from_memory(eq_context *ctx, const uint8_t *bytes, size_t size, const char *name,
                                    eq_tensor_file *out);

#endif
