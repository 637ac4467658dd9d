#include "threads.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

static const char spin_count[] = "GOMP_SPINCOUNT";

static bool is_settled(void)
{
    static const char *const names[] = {spin_count, "OMP_WAIT_POLICY", "KMP_BLOCKTIME"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (getenv(names[i]))
            return true;
    return false;
}

void eq_threads_wait_briefly(char **argv)
{
    if (is_settled() || setenv(spin_count, "1000", 1) != 0)
        return;
    execv("/proc/self/exe", argv);
}
