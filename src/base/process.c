#include "base/process.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

size_t eq_process_resident(void)
{
    /* Total and resident pages; only Linux has the file. */
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long total = 0, resident = 0;
    long page = sysconf(_SC_PAGE_SIZE);
    if (!file)
        return 0;
    if (fscanf(file, "%lu %lu", &total, &resident) != 2 || page < 1)
        resident = 0;
    fclose(file);
    return (size_t)resident * (size_t)page;
}

size_t eq_process_peak(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
#ifdef __APPLE__
    return (size_t)usage.ru_maxrss;
#else
    return (size_t)usage.ru_maxrss * 1024;
#endif
}

void eq_process_trim(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

size_t eq_machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGE_SIZE);
    return pages > 0 && page > 0 ? (size_t)pages * (size_t)page : (size_t)1 << 32;
}
