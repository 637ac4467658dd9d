/* Large aligned buffers. */
#ifndef EQ_BASE_MEMORY_H
#define EQ_BASE_MEMORY_H

#include <stddef.h>

/* Zeroed, aligned to 64 bytes (to 2 MiB and advised for huge pages when large). NULL when memory is out; a size of 0
 * gives a small buffer. Freed with eq_buffer_free. */
void *eq_buffer_new(size_t bytes);
void eq_buffer_free(void *buffer);

#endif
