/* The memory of this process, as the system sees it. */
#ifndef EQ_BASE_PROCESS_H
#define EQ_BASE_PROCESS_H

#include <stddef.h>

/* Bytes resident now, and the most that ever were; 0 where the system does not tell. */
size_t eq_process_resident(void);
size_t eq_process_peak(void);

/* Gives memory that was freed back to the system, where the C library keeps it. */
void eq_process_trim(void);

/* Bytes of memory that the machine has; 4 GiB where the system does not tell. */
size_t eq_machine_memory(void);

#endif
