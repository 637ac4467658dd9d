#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { SMALL_ALIGNMENT = 64, HUGE_PAGE = 2 << 20 };

void *eq_buffer_new(size_t bytes)
{
    size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : SMALL_ALIGNMENT;
    if (bytes > SIZE_MAX - alignment)
        return NULL;
    size_t rounded = (bytes / alignment + 1) * alignment;
    if (bytes && bytes % alignment == 0)
        rounded = bytes;
    void *buffer = aligned_alloc(alignment, rounded);
    if (!buffer)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (alignment == HUGE_PAGE)
        madvise(buffer, rounded, MADV_HUGEPAGE);
#endif
    memset(buffer, 0, rounded);
    return buffer;
}

void eq_buffer_free(void *buffer)
{
    free(buffer);
}
