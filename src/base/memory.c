#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { SMALL_ALIGNMENT = 64, HUGE_PAGE = 2 << 20 };

/* The size is not rounded up to whole huge pages: with hundreds of weights, what that touches is a tenth of all. */
void *eq_buffer_new(size_t bytes)
{
    size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : SMALL_ALIGNMENT;
    void *buffer;
    if (bytes > PTRDIFF_MAX - HUGE_PAGE)
        return NULL;
    size_t rounded = (bytes / SMALL_ALIGNMENT + 1) * SMALL_ALIGNMENT;
    if (posix_memalign(&buffer, alignment, rounded) != 0)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (alignment == HUGE_PAGE)
        madvise(buffer, rounded / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
    memset(buffer, 0, rounded);
    return buffer;
}

void eq_buffer_free(void *buffer)
{
    free(buffer);
}
